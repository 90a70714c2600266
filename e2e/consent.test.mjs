// Asking and answering against the real server: what a browser holds after a yes, a no and an objection, and
// that nobody is asked twice. The page is http://shop.test, the collector http://stats.shop.test.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

let server;
let browser;
let pages;
let context;
let page;
let collector;
let shop;
/** Settings of the site → the key of its pixel. */
const keys = {};
/** Path → key of the pixel on that page. */
const paths = { "/": "asked", "/fr": "asked", "/open": "open", "/managed": "managed" };
const data = process.env.CAIRN_SHARED_DATA ?? fileURLToPath(new URL("../../shared/data", import.meta.url));

before(async () => {
  server = await Server.start();
  const { port } = new URL(server.origin);
  collector = `http://stats.shop.test:${port}`;
  pages = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://any.test");
    const key = keys[paths[pathname]];
    const host = pathname === "/managed" ? collector.replace("shop", "managed") : collector;
    const lang = pathname === "/fr" ? "fr" : "en";
    const html = `<!doctype html><html lang="${lang}"><head><meta charset="utf-8"><title>Shop</title>
      <link rel="icon" href="data:,"><script async src="${host}/cairn.js?key=${key}"></script></head>
      <body><main><h1>Shop</h1><p data-cairn-gpc></p><button data-cairn-preferences>Privacy</button></main></body></html>`;
    response.writeHead(key ? 200 : 404, { "Content-Type": "text/html" }).end(html);
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  shop = `http://shop.test:${pages.address().port}`;
  const make = async (domain, privacy, settings = { banner: true }) => {
    const site = await server.api("POST", "/api/v1/sites", { name: "Shop", domain, privacy });
    const pixels = `/api/v1/sites/${site.id}/pixels`;
    const { key } = await server.api("POST", pixels, { name: "Shop", kind: "web" });
    await server.api("PATCH", `${pixels}/${key}`, { settings });
    return key;
  };
  keys.asked = await make("shop.test", { notice: { policy_url: "https://shop.test/privacy" } });
  keys.open = await make("other.test", { policy: "opt_out" });
  keys.managed = await make("managed.test", {}, { consent_managers: ["tcf"] });
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  pages?.close();
  assert.equal(await server?.stop(), 0);
});

beforeEach(async () => {
  context = await browser.newContext({ locale: "en-GB" });
  page = await context.newPage();
  page.setDefaultTimeout(15_000);
});

afterEach(() => context.close());

/** Opens a page and answers with what its collector said about asking. */
async function visit(path = "/") {
  const answer = page.waitForResponse((response) => response.url().includes("/consent.json"));
  await page.goto(shop + path);
  return (await answer).json();
}

/** Does something, and waits until its choice was taken. */
async function choose(act) {
  const taken = page.waitForResponse(
    (response) => response.url() === `${collector}/e` && /"signal"/.test(response.request().postData()),
  );
  await act();
  const response = await taken;
  assert.equal(response.status(), 202);
  // Cookies of an answer are there once its body is.
  await response.finished();
}

/** What `look` finds, once that is something; each look waits for the server's answer. */
async function eventually(look) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, "never came");
  }
}

const cookies = async () =>
  Object.fromEntries((await context.cookies(collector)).map(({ name, value }) => [name, value]));
const button = (name) => page.getByRole("button", { name, exact: true });
const asks = () => page.locator("cairn-consent").count();

test("a no: the next visit is neither asked nor recognised", async () => {
  assert.equal((await visit()).ask, true);
  await button("Refuse all").waitFor();
  assert.deepEqual(await cookies(), {}, "nothing before a choice");
  await choose(() => button("Refuse all").click());
  const kept = await cookies();
  assert.deepEqual(Object.keys(kept), ["cairn_consent"]);
  assert.match(kept.cairn_consent, /^v1\.analytics=0\.ads=0\.personalization=0\.functional=0\.t=/);
  const again = await visit();
  assert.equal(again.ask, false);
  assert.equal(again.choices.analytics, "denied");
  assert.equal(await asks(), 0);
  assert.deepEqual(await cookies(), kept);
});

test("a yes: recognised, not asked again, and withdrawn as easily", async () => {
  await visit();
  await choose(() => button("Accept all").click());
  const kept = await cookies();
  assert.match(kept.cairn_consent, /^v1\.analytics=1\./);
  assert.match(kept.cairn_id, /^[0-9a-f]{32}$/);
  assert.equal((await visit()).ask, false);
  await button("Privacy").click();
  const statistics = page.getByRole("checkbox", { name: "Statistics" });
  await statistics.waitFor();
  assert.equal(await statistics.isChecked(), true, "what he chose before");
  await choose(() => button("Refuse all").click());
  const after = await cookies();
  assert.equal(after.cairn_id, undefined);
  assert.match(after.cairn_consent, /^v1\.analytics=0\./);
});

test("two tabs: the no of one holds in the other, which said yes before", async () => {
  await visit();
  const other = await context.newPage();
  other.setDefaultTimeout(15_000);
  const told = async (tab, act) => {
    const taken = tab.waitForResponse((response) => response.url() === `${collector}/e`);
    await act();
    await (await taken).finished();
  };
  const happened = (tab, name) => told(tab, () => tab.evaluate((name) => cairn("event", name), name));
  await choose(() => button("Accept all").click());
  const { cairn_id: id } = await cookies();
  assert.match(id, /^[0-9a-f]{32}$/);
  await happened(page, "with_permission");
  await told(other, () => other.goto(shop + "/"));
  await other.getByRole("button", { name: "Privacy" }).click();
  await told(other, () => other.getByRole("button", { name: "Refuse all", exact: true }).click());
  const refused = await cookies();
  assert.deepEqual(Object.keys(refused), ["cairn_consent"]);
  assert.match(refused.cairn_consent, /^v1\.analytics=0\.ads=0\.personalization=0\.functional=0\.t=/);

  // The first tab knows of nothing, and goes on.
  await page.evaluate(() => cairn("identify", "user-7", { email: "ada@shop.test" }));
  for (const name of ["left_open", "left_open_again"]) await happened(page, name);
  assert.deepEqual(await cookies(), refused, "the no stands");

  // A new word there is newer than the no.
  await page.getByRole("button", { name: "Privacy" }).click();
  await choose(() => button("Accept all").click());
  assert.match((await cookies()).cairn_consent, /^v1\.analytics=1\./);
  await happened(other, "left_open_with_no");
  assert.match((await cookies()).cairn_consent, /^v1\.analytics=1\./, "nor does the old no undo it");

  const sites = (await server.api("GET", "/api/v1/sites")).items;
  const { id: site } = sites.find(({ domain }) => domain === "shop.test");
  const names = ["with_permission", "left_open", "left_open_again", "left_open_with_no"];
  const withBots = encodeURIComponent(JSON.stringify([["is", "visit:bot", ["true", "false"]]]));
  const events = await eventually(async () => {
    const { items } = await server.api("GET", `/api/v1/sites/${site}/events?limit=200&filters=${withBots}`);
    return names.every((name) => items.some(({ event }) => event === name)) && items;
  });
  const verdicts = names.map((name) => events.find(({ event }) => event === name).why.verdict);
  assert.deepEqual(verdicts, ["full", "anonymous", "anonymous", "full"]);
  for (const name of ["left_open", "left_open_again"]) {
    const event = events.find((event) => event.event === name);
    assert.ok(!event.user_id && !event.user_key, JSON.stringify(event));
  }
  const { items: receipts } = await server.api("GET", `/api/v1/sites/${site}/receipts`);
  const mine = receipts.slice(0, 3).map(({ signal, choices }) => [signal, choices.analytics]);
  assert.deepEqual(mine, [
    ["preference_centre", "granted"],
    ["preference_centre", "denied"],
    ["banner", "granted"],
  ]);
});

test("one by one: only what was chosen", async () => {
  await visit();
  await button("Choose one by one").click();
  await page.getByRole("checkbox", { name: "Advertising" }).check();
  await choose(() => button("Save choice").click());
  const kept = await cookies();
  assert.match(kept.cairn_consent, /^v1\.analytics=0\.ads=1\.personalization=0\.functional=0\./);
  assert.equal(kept.cairn_id, undefined);
});

test("the page's language comes before the browser's", async () => {
  await visit("/fr");
  await button("Tout refuser").waitFor();
  assert.equal(await page.locator("cairn-consent").getAttribute("lang"), "fr");
});

test("Global Privacy Control: the page shows that it is honoured, and a yes that was given under it holds", async () => {
  await context.setExtraHTTPHeaders({ "Sec-GPC": "1" });
  assert.equal((await visit()).gpc, true);
  await button("Accept all").waitFor();
  assert.match(await page.locator("[data-cairn-gpc]").textContent(), /Global Privacy Control/);
  await choose(() => button("Accept all").click());
  assert.match((await cookies()).cairn_consent, /\.ads=1g\./);
});

test("where silence is no refusal nobody is asked", async () => {
  const answer = page.waitForResponse((response) => response.url().includes("/consent.json"));
  await page.goto(`${shop.replace("shop.test", "www.other.test")}/open`);
  assert.equal((await (await answer).json()).ask, false);
  assert.equal(await asks(), 0);
});

for (const colorScheme of ["light", "dark"]) {
  test(`axe-core finds nothing serious: ${colorScheme}`, async () => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await visit();
    await button("Refuse all").waitFor();
    await assertAccessible(page, "banner");
    await button("Choose one by one").click();
    await page.getByRole("checkbox", { name: "Statistics" }).waitFor();
    await assertAccessible(page, "preference centre");
    await page.goto(`${collector}/opt-out?key=${keys.asked}`);
    await assertAccessible(page, "opt-out page");
  });
}

test("the opt-out page: by keyboard, without scripts, on a small screen", async () => {
  const plain = await browser.newContext({
    javaScriptEnabled: false,
    locale: "de-DE",
    viewport: { width: 320, height: 480 },
  });
  try {
    const form = await plain.newPage();
    await form.goto(`${collector}/opt-out?key=${keys.asked}`);
    await form.getByText("Sie haben in diesem Browser nicht widersprochen.").waitFor();
    await form.keyboard.press("Tab");
    await form.keyboard.press("Enter");
    await form.getByRole("status").getByText("Sie haben widersprochen.").waitFor();
    const [kept, ...others] = await plain.cookies(collector);
    assert.deepEqual(others, []);
    assert.match(kept.value, /^v1\.ads=0\.t=/);
    await form.getByRole("link", { name: "Español" }).click();
    await form.getByText("Se ha opuesto.").waitFor();
    await form.getByRole("button", { name: "Permitirlo" }).click();
    await form.getByText("Usted permite la venta").waitFor();
    const size = await form.locator("main").boundingBox();
    assert.ok(size.width <= 320, `${size.width}`);
  } finally {
    await plain.close();
  }
});

test("an objection leaves the question about statistics open, and is shown in the preference centre", async () => {
  await page.goto(`${collector}/opt-out?key=${keys.asked}`);
  await button("Opt out").click();
  await page.getByText("You have opted out.").waitFor();
  const asked = await visit();
  assert.deepEqual([asked.ask, asked.choices], [true, { ads: "denied" }]);
});

test("a form on another site objects for nobody", async () => {
  await page.goto(shop + "/");
  const refused = page.waitForResponse(`${collector}/opt-out`);
  await page.evaluate(
    ([action, key]) => {
      const form = Object.assign(document.createElement("form"), { method: "post", action });
      for (const [name, value] of Object.entries({ key, choice: "opt_in" }))
        form.append(Object.assign(document.createElement("input"), { name, value }));
      document.body.append(form);
      form.submit();
    },
    [`${collector}/opt-out`, keys.asked],
  );
  assert.equal((await refused).status(), 403);
  assert.deepEqual(await cookies(), {});
});

test("TCF: a yes recognises, its withdrawal by the manager forgets", async (run) => {
  const file = `${data}/../vectors/tcf.json`;
  if (!existsSync(file)) {
    console.error(`NOT RUN: ${run.name}: ${file} is missing`);
    return;
  }
  const { vectors } = JSON.parse(readFileSync(file, "utf8"));
  const [yes, no] = ["accept_all_small", "reject_all"].map((wanted) => {
    const { tc_string: tcString } = vectors.find(({ id }) => id === wanted);
    const consents = { 1: true, 8: true, 9: true };
    return { tcString, eventStatus: "useractioncomplete", purpose: { consents: wanted === "reject_all" ? {} : consents } };
  });
  await page.addInitScript(() => {
    window.__tcfapi = (command, version, answer) => {
      window.change = (data) => answer({ gdprApplies: true, ...data }, true);
    };
  });
  const held = collector.replace("stats.shop.test", "stats.managed.test");
  const change = async (data) => {
    const taken = page.waitForResponse(
      (response) => response.url() === `${held}/e` && response.request().postData().includes(data.tcString),
    );
    await page.evaluate((data) => window.change(data), data);
    await (await taken).finished();
    const kept = await context.cookies(held);
    return kept.map(({ name }) => name).sort();
  };
  await page.goto(`${shop.replace("shop.test", "managed.test")}/managed`);
  await page.waitForFunction(() => window.change);
  assert.deepEqual(await change(yes), ["cairn_consent", "cairn_id"]);
  assert.deepEqual(await change(no), ["cairn_consent"]);
});

test("the statement on Global Privacy Control", async () => {
  const answer = await page.goto(`${collector}/.well-known/gpc.json`);
  assert.deepEqual(Object.keys(await answer.json()), ["gpc", "lastUpdate"]);
});
