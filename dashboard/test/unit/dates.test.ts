import assert from "node:assert/strict";
import { test } from "node:test";
import {
  PRESETS,
  addDays,
  addMonths,
  hourIn,
  intervalsOf,
  isDay,
  lastOfMonth,
  lengthOf,
  progressOf,
  rangeOf,
  step,
  todayIn,
  weekdayOf,
  weeksOf,
} from "../../src/lib/dates.ts";

const TODAY = "2026-11-22";

test("a day is a real day, written in full", () => {
  for (const good of ["2026-11-22", "2024-02-29", "1999-12-31"]) assert.ok(isDay(good), good);
  for (const bad of [
    "2026-2-1",
    "2026-02-30",
    "2025-02-29",
    "26-01-01",
    "",
    null,
    "2026-11-22T00",
  ]) {
    assert.ok(!isDay(bad), String(bad));
  }
});

test("today is the site's day, not the reader's", () => {
  const now = new Date("2026-11-22T18:30:00Z");
  assert.equal(todayIn("UTC", now), "2026-11-22");
  assert.equal(todayIn("Asia/Kathmandu", now), "2026-11-23");
  assert.equal(hourIn("Asia/Kathmandu", now), "2026-11-23 00:00:00");
  assert.equal(hourIn("America/St_Johns", now), "2026-11-22 15:00:00");
});

test("days and months add up over leap years, year ends and clock changes", () => {
  assert.equal(addDays("2024-02-28", 1), "2024-02-29");
  assert.equal(addDays("2026-12-31", 1), "2027-01-01");
  assert.equal(addDays("2026-03-29", 1), "2026-03-30");
  assert.equal(addMonths("2026-03-31", -1), "2026-02-28");
  assert.equal(addMonths("2024-03-31", -1), "2024-02-29");
  assert.equal(addMonths("2026-01-15", -1), "2025-12-15");
  assert.equal(lastOfMonth("2024-02-10"), "2024-02-29");
});

test("presets end today, or before it", () => {
  assert.deepEqual(rangeOf("today", TODAY), { from: TODAY, to: TODAY });
  assert.deepEqual(rangeOf("yesterday", TODAY), { from: "2026-11-21", to: "2026-11-21" });
  assert.deepEqual(rangeOf("last_month", "2026-01-31"), { from: "2025-12-01", to: "2025-12-31" });
  assert.deepEqual(rangeOf("month", TODAY), { from: "2026-11-01", to: TODAY });
  assert.deepEqual(rangeOf("12mo", TODAY), { from: "2025-12-01", to: TODAY });
  for (const [preset, days] of [
    ["7d", 7],
    ["30d", 30],
    ["90d", 90],
  ] as const) {
    assert.equal(lengthOf(rangeOf(preset, TODAY)), days);
    assert.equal(rangeOf(preset, TODAY).to, TODAY);
  }
  for (const preset of PRESETS) {
    if (preset !== "all") assert.ok(rangeOf(preset, TODAY).to <= TODAY, preset);
  }
});

test("stepping keeps the kind of the range and never enters the future", () => {
  const week = rangeOf("7d", TODAY);
  assert.deepEqual(step(week, -1, TODAY), { from: "2026-11-09", to: "2026-11-15" });
  assert.equal(step(week, 1, TODAY), undefined);
  const october = { from: "2026-10-01", to: "2026-10-31" };
  assert.deepEqual(step(october, -1, TODAY), { from: "2026-09-01", to: "2026-09-30" });
  assert.deepEqual(step(october, 1, TODAY), { from: "2026-11-01", to: TODAY });
  assert.deepEqual(step(rangeOf("month", TODAY), -1, TODAY, "month"), october);
  assert.deepEqual(step(rangeOf("year", TODAY), -1, TODAY, "year"), {
    from: "2025-01-01",
    to: "2025-12-31",
  });
  assert.deepEqual(step({ from: "2025-01-01", to: "2025-12-31" }, 1, TODAY), {
    from: "2026-01-01",
    to: TODAY,
  });
});

test("the interval fits the range", () => {
  const first = (from: string, to: string) => intervalsOf({ from, to })[0];
  assert.equal(first(TODAY, TODAY), "hour");
  assert.equal(first("2026-11-16", TODAY), "day");
  assert.equal(first("2026-06-01", TODAY), "week");
  assert.equal(first("2025-12-01", TODAY), "month");
  assert.deepEqual(intervalsOf(undefined), []);
});

test("the running interval is found, and those after it have not begun", () => {
  const days = ["2026-11-20", "2026-11-21", "2026-11-22"];
  assert.deepEqual(progressOf(days, "day", TODAY, ""), { running: 2, future: 3 });
  assert.deepEqual(progressOf(days, "day", "2026-12-01", ""), { running: -1, future: 3 });
  const hours = ["2026-11-22 08:00:00", "2026-11-22 09:00:00", "2026-11-22 10:00:00"];
  assert.deepEqual(progressOf(hours, "hour", TODAY, "2026-11-22 09:00:00"), {
    running: 1,
    future: 2,
  });
  assert.deepEqual(progressOf(["2026-11-09", "2026-11-16"], "week", TODAY, ""), {
    running: 1,
    future: 2,
  });
  assert.deepEqual(progressOf(["2026-11-09", "2026-11-16"], "week", "2026-11-23", ""), {
    running: -1,
    future: 2,
  });
  assert.deepEqual(progressOf(["2026-10-01", "2026-11-01"], "month", TODAY, ""), {
    running: 1,
    future: 2,
  });
  assert.deepEqual(progressOf([], "day", TODAY, ""), { running: -1, future: 0 });
});

test("a repeated hour counts as begun in both of its rows", () => {
  const labels = ["2026-10-25 01:00:00", "2026-10-25 01:00:00", "2026-10-25 02:00:00"];
  const at = progressOf(labels, "hour", "2026-10-25", "2026-10-25 01:00:00");
  assert.deepEqual(at, { running: 1, future: 2 });
});

test("a calendar shows whole weeks from Monday", () => {
  const weeks = weeksOf("2026-11-10");
  assert.equal(weeks.length, 6);
  assert.equal(weeks[0]?.[0], "2026-10-26");
  assert.ok(weeks.every((week) => week.length === 7 && weekdayOf(week[0] ?? "") === 0));
  assert.ok(weeks.flat().includes("2026-11-30"));
});
