import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { kindOf, outcomeLines, refusedOf } from "../../src/lib/outcomes.ts";
import { t } from "../../src/lib/texts.ts";

const page = new URL("../../../docs/outcomes.md", import.meta.url);
const documented = [...readFileSync(page, "utf8").matchAll(/^\| `([^`]+)` \|/gm)].map(
  ([, name = ""]) => name,
);

test("every documented outcome is told in words", () => {
  assert.ok(documented.length >= 15, `${documented.length}`);
  const untold = documented.filter((name) => t.outcomes[name] === undefined);
  assert.deepEqual(untold, []);
});

test("a choice alone is kept, not refused", () => {
  const outcomes = { outcomes: { accepted: 2, consent: 3, "rejected:malformed": 1 }, bots: {} };
  const counted = { ...outcomes, received: 6, since: "" } as Parameters<typeof refusedOf>[0];
  assert.equal(kindOf("consent"), "kept");
  assert.equal(refusedOf(counted), 1);
  assert.deepEqual(
    outcomeLines(counted).map((line) => line.key),
    ["consent", "accepted", "rejected:malformed"],
  );
});
