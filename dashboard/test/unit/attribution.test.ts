import assert from "node:assert/strict";
import { test } from "node:test";
import { questionOf, searchOf, stepsOf, stretch, viewOf } from "../../src/lib/attribution.ts";
import { t } from "../../src/lib/texts.ts";

test("the address keeps what is chosen, and what is usual is left out", () => {
  assert.equal(searchOf(viewOf("")), "");
  const search = "?goal=Sale+%26+more&period=7d&by=visit%3Asource&views=true&model=first&page=2";
  assert.equal(searchOf(viewOf(search)), search);
  assert.deepEqual(viewOf("?period=soon&by=event%3Apage&lookback=0&model=x&page=-1"), viewOf(""));
});

test("a question is about a goal, or else about every purchase", () => {
  const usual = questionOf("1", viewOf(""));
  assert.deepEqual([usual.revenue, usual.goal, usual.lookback_days], [true, undefined, 30]);
  const chosen = questionOf("1", viewOf("?goal=Sale&lookback=7&views=true&page=2"));
  assert.deepEqual([chosen.revenue, chosen.goal, chosen.lookback_days], [undefined, "Sale", 7]);
  assert.deepEqual([chosen.view_through, chosen.pagination], [true, { limit: 10, offset: 20 }]);
});

test("the same touch in a row is told once", () => {
  const touch = (channel: string, via = "visit") => ({ channel, via });
  const steps = stepsOf([touch("A"), touch("A"), touch("A", "view"), touch("B"), touch("A")]);
  const told = steps.map(({ channel, via, times }) => `${channel} ${via} ${times}`);
  assert.deepEqual(told, ["A visit 2", "A view 1", "B visit 1", "A visit 1"]);
});

test("a range is a stretch of the line to the largest value", () => {
  assert.deepEqual(stretch(5, 10, 20), { left: 25, width: 25 });
  assert.deepEqual(stretch(-5, 10, 20), { left: 0, width: 50 });
  assert.deepEqual(stretch(0, 0, 0), { left: 0, width: 0 });
});

test("times are told in hours, then in days", () => {
  assert.equal(t.attribution.hours(47.5), "47.5 h");
  assert.equal(t.attribution.hours(50), "2.1 days");
});
