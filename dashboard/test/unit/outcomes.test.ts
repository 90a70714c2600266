import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { botLines, kindOf, outcomeLines, refusedOf } from "../../src/lib/outcomes.ts";
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

/** Reasons of machines in a table of docs/email.md or docs/ads.md. */
function machineReasons(file: string): string[] {
  const text = readFileSync(new URL(`../../../docs/${file}`, import.meta.url), "utf8");
  return [...text.matchAll(/^\| (`[^|]+`) \| machine \|/gm)].flatMap(([, names = ""]) =>
    [...names.matchAll(/`([^`:]+)[^`]*`/g)].map(([, name = ""]) => name),
  );
}

test("every documented reason of a bot is told in words", () => {
  const bots = readFileSync(new URL("../../../docs/bots.md", import.meta.url), "utf8");
  const agents = [...bots.matchAll(/^\| `([a-z_]+)(?::NAME)?` \|/gm)].map(([, name = ""]) => name);
  const [mails, ads] = [machineReasons("email.md"), machineReasons("ads.md")];
  assert.ok(agents.length >= 7 && mails.length >= 11 && ads.length >= 9, "read from the tables");
  const keys = [
    ...agents,
    ...mails.map((name) => `mail:${name}`),
    ...ads.map((name) => `ad:${name}`),
  ];
  const outcomes = { outcomes: {}, bots: Object.fromEntries(keys.map((key) => [key, 1])) };
  const lines = botLines({ ...outcomes, received: keys.length, since: "" } as Parameters<
    typeof botLines
  >[0]);
  const general = [t.botReasons["mail"]?.[1], t.botReasons["ad"]?.[1]];
  assert.deepEqual(
    lines.filter(({ meaning }) => meaning === "" || general.includes(meaning)),
    [],
  );
  assert.equal(t.botReasons["hosting"], undefined, "a data centre alone is no verdict");
});
