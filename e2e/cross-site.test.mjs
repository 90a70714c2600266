// Cookies on two sites of one owner whose collector is on a third one: none, partitioned and third-party, in a browser that
// allows third-party cookies and in one that blocks them.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launchKept } from "./browser.mjs";
import { serveHttps } from "./https.mjs";
import { Server } from "./server.mjs";

const COLLECTOR = "stats.third.test";
const KINDS = ["none", "partitioned", "third_party"];
const AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

let server;
let https;
let site;
/** What was chosen → the key of its pixel. */
const keys = {};

before(async () => {
  server = await Server.start({ CAIRN_SERVER__TRUSTED_PROXIES: "127.0.0.1" });
  const made = { name: "Shops", domain: "one.test", hosts: ["two.test"], privacy: { policy: "opt_in" } };
  site = await server.api("POST", "/api/v1/sites", made);
  for (const kind of KINDS) {
    const pixel = { name: kind, kind: "web", cross_site_cookies: kind };
    ({ key: keys[kind] } = await server.api("POST", `/api/v1/sites/${site.id}/pixels`, pixel));
  }
  https = await serveHttps(COLLECTOR, server.origin, (_host, path) => {
    const key = keys[path.slice(1)];
    return (
      key &&
      `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">
<script async src="https://${COLLECTOR}:${https.port}/cairn.js?key=${key}"></script></head><body><h1>Shop</h1></body></html>`
    );
  });
});

after(async () => {
  await https?.stop();
  if (server) assert.equal(await server.stop(), 0);
});

/** A browser of its own that allows third-party cookies or blocks them. */
async function withBrowser(blocks, run) {
  const profile = await mkdtemp(join(tmpdir(), "cairn-cross-"));
  try {
    await mkdir(join(profile, "Default"));
    const preferences = { profile: { cookie_controls_mode: blocks ? 1 : 0, block_third_party_cookies: blocks } };
    await writeFile(join(profile, "Default", "Preferences"), JSON.stringify(preferences));
    const context = await launchKept(profile, { userAgent: AGENT, ignoreHTTPSErrors: true });
    try {
      await run(context);
    } finally {
      await context.close();
    }
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Visits a page, says yes, and does something there under this name; each answer has come. */
async function visit(context, host, kind, name) {
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const answered = async (act) => {
    const answer = page.waitForResponse((response) => response.url().endsWith("/e"));
    await act();
    const response = await answer;
    assert.equal(response.status(), 202);
    await response.finished();
  };
  await answered(() => page.goto(`https://${host}:${https.port}/${kind}`));
  await answered(() => page.evaluate(() => window.cairn("consent", { analytics: "granted" })));
  for (const again of ["", "_again"]) await answered(() => page.evaluate((name) => window.cairn("event", name), name + again));
  await page.close();
}

/** Who did what, by name: `anonymous` or the visitor. */
async function visitors(...names) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const { items } = await server.api("GET", `/api/v1/sites/${site.id}/events?limit=200`);
    const found = names.map((name) => items.find(({ event }) => event === name));
    if (found.every(Boolean)) {
      return found.map((event) => (event.identification === "identified" ? event.visitor_id : "anonymous"));
    }
    assert.ok(Date.now() < deadline, `never stored: ${names}`);
  }
}

/** The collector's cookies: the sites in which they are kept apart. */
const kept = async (context) => {
  const all = await context.cookies();
  return all
    .filter(({ name }) => name === "cairn_id")
    .map(({ partitionKey }) => partitionKey ?? "")
    .sort();
};

for (const blocks of [false, true]) {
  const how = blocks ? "blocked" : "allowed";

  test(`nothing chosen, third-party cookies ${how}: anonymous`, () =>
    withBrowser(blocks, async (context) => {
      await visit(context, "one.test", "none", `none_${how}`);
      assert.deepEqual(await visitors(`none_${how}`, `none_${how}_again`), ["anonymous", "anonymous"]);
      assert.deepEqual(await context.cookies(), []);
    }));

  test(`partitioned cookies, third-party ones ${how}: known on each site, never across them`, () =>
    withBrowser(blocks, async (context) => {
      await visit(context, "one.test", "partitioned", `one_apart_${how}`);
      await visit(context, "two.test", "partitioned", `two_apart_${how}`);
      await visit(context, "one.test", "partitioned", `one_later_${how}`);
      const names = ["one_apart", "one_apart", "two_apart", "one_later"].map((name) => `${name}_${how}`);
      const [one, again, two, later] = await visitors(names[0], names[1] + "_again", names[2], names[3]);
      assert.match(one, /^[0-9a-f]{16}$/);
      assert.deepEqual([again, later], [one, one]);
      assert.match(two, /^[0-9a-f]{16}$/);
      assert.notEqual(two, one);
      assert.deepEqual(await kept(context), ["https://one.test", "https://two.test"]);
    }));
}

test("third-party cookies, allowed: the same visitor on both sites", () =>
  withBrowser(false, async (context) => {
    await visit(context, "one.test", "third_party", "one_joined");
    await visit(context, "two.test", "third_party", "two_joined");
    const [one, two] = await visitors("one_joined", "two_joined");
    assert.match(one, /^[0-9a-f]{16}$/);
    assert.equal(two, one);
    assert.deepEqual(await kept(context), [""]);
  }));

test("third-party cookies, blocked: anonymous, and nothing is kept", () =>
  withBrowser(true, async (context) => {
    await visit(context, "one.test", "third_party", "one_blocked");
    await visit(context, "two.test", "third_party", "two_blocked");
    const names = ["one_blocked", "one_blocked_again", "two_blocked", "two_blocked_again"];
    assert.deepEqual(await visitors(...names), names.map(() => "anonymous"));
    assert.deepEqual(await context.cookies(), []);
  }));
