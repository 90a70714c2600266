import assert from "node:assert/strict";
import { test } from "node:test";
import type { Annotation, Answer } from "../../src/lib/api/client.ts";
import { asCurl } from "../../src/lib/copying.ts";
import { instantsOf } from "../../src/lib/dates.ts";
import { csv, metricCompact, metricExact } from "../../src/lib/format.ts";
import { eventsQuestion, moneyChartQuestion, moneyQuestion } from "../../src/lib/questions.ts";
import { metricOf, seriesOf } from "../../src/lib/series.ts";
import { readView } from "../../src/lib/view.ts";

const TODAY = "2026-11-22";
const at = (date: string, note: string): Annotation => ({ id: note, date, note, created_at: "" });

test("an hour's instants follow the clocks of the zone", () => {
  const of = (label: string, zone: string) => instantsOf(label, zone);
  assert.deepEqual(of("2026-11-22 09:00:00", "Europe/Berlin"), [
    "2026-11-22T08:00:00.000Z",
    "2026-11-22T08:59:59.000Z",
  ]);
  assert.deepEqual(of("2026-11-22 09:00:00", "Asia/Kathmandu"), [
    "2026-11-22T03:15:00.000Z",
    "2026-11-22T04:14:59.000Z",
  ]);
  // The clocks are set back: the hour comes twice, and is taken whole.
  assert.deepEqual(of("2026-10-25 02:00:00", "Europe/Berlin"), [
    "2026-10-25T00:00:00.000Z",
    "2026-10-25T01:59:59.000Z",
  ]);
  // They are set forward: there is no such hour.
  assert.equal(of("2026-03-29 02:00:00", "Europe/Berlin"), undefined);
});

test("money is asked beside the visits, as on the page about campaigns", () => {
  const view = readView("?f=is,visit:source,Google");
  const asked = moneyChartQuestion("1", view, TODAY);
  assert.deepEqual(asked.metrics, ["conversions", "revenue", "roas"]);
  assert.deepEqual(asked.dimensions, ["time:day"]);
  assert.deepEqual(asked.filters, [["is", "visit:source", ["Google"]]]);
  assert.equal(moneyQuestion("1", view, TODAY).include?.comparisons?.mode, "previous_period");
});

test("notes stand at the interval of their day, and revenue beside the line", () => {
  const money = (value: number) => ({ value, currency: "EUR", short: "", long: "" });
  const time_labels = ["2026-11-09", "2026-11-16"];
  const part = {
    meta: { time_labels },
    query: { metrics: ["visitors"], dimensions: ["time:week"] },
  };
  const answer = { ...part, results: [] } as unknown as Answer;
  const earned = {
    ...part,
    results: [{ dimensions: ["2026-11-16"], metrics: [3, money(12.5), null] }],
  } as unknown as Answer;
  const notes = [
    at("2026-11-15", "a"),
    at("2026-11-16", "b"),
    at("2026-11-08", "c"),
    at("2026-12-01", "d"),
  ];
  const series = seriesOf(answer, "visitors", TODAY, "", "UTC", { earned, currency: "EUR", notes });
  assert.deepEqual(
    [...series.notes].map(([index, found]) => [index, found.map((one) => one.id)]),
    [
      [0, ["a"]],
      [1, ["b"]],
    ],
  );
  assert.deepEqual(series.revenue, [null, 12.5]);
  assert.equal(metricOf(answer, "revenue"), "visitors", "an old answer is no revenue");
  const of = (metrics: string[]) => ({ query: { metrics } }) as unknown as Answer;
  const ofMoney = of(["conversions", "revenue", "roas"]);
  assert.equal(metricOf(ofMoney, "roas"), "roas");
  assert.equal(metricOf(ofMoney, "visitors"), "conversions", "an old answer is no visitors");
  const drawn = seriesOf(earned, "revenue", TODAY, "", "UTC", { earned });
  assert.deepEqual(
    drawn.points.map((point) => point.value),
    [0, 12.5],
  );
  const returned = seriesOf(earned, "roas", TODAY, "", "UTC");
  assert.deepEqual(
    returned.points.map((point) => point.value),
    [null, null],
    "no cost is no nought",
  );
});

test("the list of events has the filters of the view and its own", () => {
  const view = readView(
    "?period=7d&segment=3&events=2026-11-20..2026-11-20;is,event:goal,Purchase",
  );
  assert.ok(view.events);
  assert.deepEqual(eventsQuestion(view, view.events, TODAY, "UTC"), {
    filters: [
      ["is", "event:goal", ["Purchase"]],
      ["is", "segment", [3]],
    ],
    date_range: '["2026-11-20","2026-11-20"]',
  });
  const all = eventsQuestion(view, { filters: [] }, TODAY, "UTC");
  assert.equal(all.date_range, '["2026-11-16","2026-11-22"]');
  assert.equal(
    eventsQuestion(readView("?period=all"), { filters: [] }, TODAY, "UTC").date_range,
    undefined,
  );
});

test("a command for the shell runs nothing but itself", () => {
  const question = {
    site_id: "1",
    metrics: ["visitors"],
    date_range: "7d",
    filters: [["is", "event:page", ["/it's $(rm -rf)"]]] as [string, string, string[]][],
  };
  const text = asCurl(question, "https://stats.example");
  assert.match(text, /^curl -X POST 'https:\/\/stats\.example\/api\/v2\/query' \\\n/);
  assert.ok(text.includes(String.raw`/it'\''s $(rm -rf)`));
});

test("amounts are written in their currency", () => {
  assert.equal(metricExact("revenue", 1234.5, "en-GB", "EUR"), "€1,234.50");
  assert.equal(metricCompact("revenue", 123_456, "en-GB", "EUR"), "€123.5k");
  assert.equal(metricCompact("revenue", 12.5, "en-GB", "EUR"), "€12.50");
  assert.equal(metricExact("conversions", 7, "en-GB", "EUR"), "7");
});

test("wide signs begin no formula either", () => {
  assert.equal(csv([["\uFF1D1+1", "\n=1"]]), "'\uFF1D1+1,\"'\n=1\"\r\n");
});
