import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ago,
  bucket,
  change,
  compact,
  country,
  csv,
  duration,
  exact,
  metricCompact,
  metricExact,
  range,
  share,
  tick,
} from "../../src/lib/format.ts";

const EN = "en-GB";

test("small numbers in full, large ones short, all of them exact on demand", () => {
  assert.equal(compact(0, EN), "0");
  assert.equal(compact(9_999, EN), "9,999");
  assert.equal(compact(12_449, EN), "12.4k");
  assert.equal(compact(1_000_000_000, "en-US"), "1B");
  assert.equal(exact(1_000_000_000, EN), "1,000,000,000");
  assert.equal(exact(12_449, "de-DE"), "12.449");
});

test("a share that exists is never called zero", () => {
  assert.equal(share(0, EN), "0%");
  assert.equal(share(0.04, EN), "<0.1%");
  assert.equal(share(3.21, EN), "3.2%");
  assert.equal(share(9.96, EN), "10%");
  assert.equal(share(100, EN), "100%");
});

test("durations in two units", () => {
  assert.equal(duration(0), "0s");
  assert.equal(duration(59.4), "59s");
  assert.equal(duration(59.6), "1m 00s");
  assert.equal(duration(125), "2m 05s");
  assert.equal(duration(3_840), "1h 04m");
});

test("each metric in its own unit; no value is no zero", () => {
  assert.equal(metricExact("bounce_rate", 51, EN), "51%");
  assert.equal(metricExact("views_per_visit", 2.7, EN), "2.70");
  assert.equal(metricExact("visit_duration", 61, EN), "1m 01s");
  assert.equal(metricCompact("visitors", 123_456, EN), "123.5k");
  assert.equal(metricExact("visitors", null, EN), "–");
});

test("a change says its direction, and whether it is good", () => {
  assert.deepEqual(change("visitors", 12, EN), { text: "+12%", size: "12%", tone: "better" });
  assert.deepEqual(change("visitors", -3, EN), { text: "-3%", size: "3%", tone: "worse" });
  assert.equal(change("visitors", 0, EN).tone, "same");
  assert.deepEqual(change("bounce_rate", -4, EN), {
    text: "-4 pts",
    size: "4 pts",
    tone: "better",
  });
  assert.equal(change("bounce_rate", 4, EN).tone, "worse");
});

test("ranges read as people say them", () => {
  assert.equal(range({ from: "2026-10-01", to: "2026-10-31" }, EN), "October 2026");
  assert.equal(range({ from: "2025-01-01", to: "2025-12-31" }, EN), "2025");
  assert.equal(range({ from: "2026-11-22", to: "2026-11-22" }, EN), "Sun, 22 Nov 2026");
  assert.match(range({ from: "2026-11-16", to: "2026-11-22" }, EN), /^16\s*–\s*22 Nov 2026$/);
});

test("labels of the time axis do not move with the reader's zone", () => {
  assert.equal(tick("2026-11-22", "day", false, EN), "22 Nov");
  assert.equal(tick("2026-11-22 09:00:00", "hour", false, EN), "9:00");
  assert.equal(tick("2026-11-01", "month", true, EN), "Nov 2026");
  assert.equal(bucket("2026-11-22", "day", EN), "Sun, 22 Nov 2026");
  assert.match(bucket("2026-11-19", "week", EN), /^19\s*–\s*22 Nov 2026$/);
  assert.equal(bucket("2026-11-01", "month", EN), "November 2026");
});

test("how long ago, in one unit", () => {
  const now = new Date("2026-11-22T12:00:00Z");
  const before = (seconds: number) => ago(new Date(now.getTime() - seconds * 1000), now, "en");
  assert.equal(before(-3), "just now");
  assert.equal(before(2), "just now");
  assert.match(before(42), /^42\s?s/);
  assert.match(before(3_599), /^59\s?m/);
  assert.match(before(90_000), /^1\s?d/);
});

test("countries by name, codes that are none as they are", () => {
  assert.equal(country("EE", "en"), "Estonia");
  assert.equal(country("EE", "de"), "Estland");
  assert.equal(country("", "en"), "Unknown");
  assert.equal(country("ZZ", "en"), "Unknown");
  assert.equal(country("?!", "en"), "?!");
});

test("a CSV file keeps its cells, and starts no formula", () => {
  const text = csv([
    ["a", 'say "hi", you'],
    ["=1+1", -2],
    ["@x", null],
  ]);
  assert.equal(text, `a,"say ""hi"", you"\r\n'=1+1,-2\r\n'@x,\r\n`);
});
