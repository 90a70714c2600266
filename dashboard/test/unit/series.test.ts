import assert from "node:assert/strict";
import { test } from "node:test";
import type { Answer } from "../../src/lib/api/client.ts";
import { botLines, kindOf, outcomeLines, refusedOf } from "../../src/lib/outcomes.ts";
import { growth, seriesOf } from "../../src/lib/series.ts";
import type { Outcomes } from "../../src/lib/api/client.ts";

const answerOf = (part: unknown) => part as Answer;

test("a restart marks the interval it is in, in the zone of the site", () => {
  const restarted = (time_labels: string[], interval: string, zone: string) => {
    const anonymous_restarts = ["2026-11-19T23:30:00Z", "2026-11-20T10:05:00Z"];
    const meta = { time_labels, anonymous_restarts };
    const answer = answerOf({ results: [], meta, query: { dimensions: [`time:${interval}`] } });
    return [...seriesOf(answer, "visitors", "2026-11-22", "", zone).restarted];
  };
  const days = ["2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21"];
  assert.deepEqual(restarted(days, "day", "UTC"), [1, 2]);
  assert.deepEqual(restarted(days, "day", "Europe/Berlin"), [2]);
  assert.deepEqual(restarted(["2026-11-18", "2026-11-23"], "week", "UTC"), [0]);
  assert.deepEqual(restarted(["2026-10-01", "2026-11-01"], "month", "UTC"), [1]);
  const hours = ["2026-11-20 09:00:00", "2026-11-20 10:00:00", "2026-11-20 11:00:00"];
  assert.deepEqual(restarted(hours, "hour", "UTC"), [1]);
  assert.deepEqual(restarted(hours, "hour", "Europe/Berlin"), [2]);
});

test("intervals without a row count zero, and have no rate", () => {
  const answer = answerOf({
    results: [{ dimensions: ["2026-11-20"], metrics: [3, 4, 9, 50, 20] }],
    meta: { time_labels: ["2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"] },
    query: { dimensions: ["time:day"] },
  });
  const visitors = seriesOf(answer, "visitors", "2026-11-22", "", "UTC");
  assert.deepEqual(
    visitors.points.map((p) => p.value),
    [0, 3, 0, 0, null],
  );
  assert.equal(visitors.running, 3);
  const bounce = seriesOf(answer, "bounce_rate", "2026-11-22", "", "UTC");
  assert.deepEqual(
    bounce.points.map((p) => p.value),
    [null, 50, null, null, null],
  );
  const depth = seriesOf(answer, "views_per_visit", "2026-11-22", "", "UTC");
  assert.deepEqual(
    depth.points.map((p) => p.value),
    [null, 2.25, null, null, null],
  );
});

test("the earlier value stands beside each interval", () => {
  const answer = answerOf({
    results: [
      {
        dimensions: ["2026-11-22"],
        metrics: [0, 0, 0, 0, 0],
        comparison: { dimensions: ["2026-11-21"], metrics: [5, 6, 7, 40, 9], change: [] },
      },
    ],
    meta: {},
    query: { dimensions: ["time:day"] },
  });
  const [point] = seriesOf(answer, "visits", "2026-11-22", "", "UTC").points;
  assert.deepEqual(point, {
    label: "2026-11-22",
    value: 0,
    earlier: { label: "2026-11-21", value: 6 },
  });
});

test("an hour that the clocks repeat keeps both of its rows", () => {
  const label = "2026-10-25 02:00:00";
  const answer = answerOf({
    results: [
      { dimensions: [label], metrics: [1, 1, 1, 0, 0] },
      { dimensions: [label], metrics: [2, 2, 2, 0, 0] },
    ],
    meta: { time_labels: ["2026-10-25 01:00:00", label, label, "2026-10-25 03:00:00"] },
    query: { dimensions: ["time:hour"] },
  });
  const series = seriesOf(answer, "visitors", "2026-10-26", "2026-10-26 09:00:00", "UTC");
  assert.deepEqual(
    series.points.map((p) => p.value),
    [0, 1, 2, 0],
  );
});

test("growth follows the rules of the API", () => {
  assert.equal(growth("visitors", 15, 10), 50);
  assert.equal(growth("visitors", 3, 0), 100);
  assert.equal(growth("visitors", 0, 0), 0);
  assert.equal(growth("bounce_rate", 40, 50), -10);
  assert.equal(growth("bounce_rate", 40, 0), null);
  assert.equal(growth("visitors", null, 5), null);
});

const outcomes = {
  since: "",
  received: 16,
  outcomes: {
    accepted: 7,
    duplicate: 2,
    "rejected:origin": 3,
    "unavailable:log_full": 4,
    "dropped:policy": 0,
  },
  bots: { "declared:googlebot": 2, something_new: 5, headless: 0 },
} as Outcomes;

test("outcomes are grouped by what can be done about them", () => {
  assert.deepEqual(["accepted", "dropped:policy", "rejected:origin", "unavailable:x"].map(kindOf), [
    "kept",
    "skipped",
    "refused",
    "failing",
  ]);
  assert.equal(refusedOf(outcomes), 7);
  assert.deepEqual(
    outcomeLines(outcomes).map((line) => line.key),
    ["accepted", "duplicate", "rejected:origin", "unavailable:log_full"],
  );
});

test("a reason that is new to us is still shown, in words", () => {
  assert.deepEqual(
    botLines(outcomes).map((line) => line.name),
    ["Something new", "Says so itself: googlebot"],
  );
});
