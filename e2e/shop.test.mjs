// The demo shop, the tracker, the server and the dashboard together: visitors buy, one who said yes,
// one who said no, one whose browser asks for privacy; then the numbers are read from the API and off
// the dashboard. Each visitor comes by a campaign of their own, which keeps them apart from the
// demonstration's history.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

/** Stored events are visible after at most two seconds; a busy machine gets some more. */
const VISIBLE_MS = 15_000;
const POLL_MS = 50;

// Three different browsers of today: without permission, agent and address are all there is to tell
// visitors apart, and a headless agent would rightly be taken for a bot.
const AGENT = (system) =>
  `Mozilla/5.0 (${system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36`;
const WINDOWS = AGENT("Windows NT 10.0; Win64; x64");
const MAC = AGENT("Macintosh; Intel Mac OS X 10_15_7");
const LINUX = AGENT("X11; Linux x86_64");

let browser;
let server;
let site;

before(async () => {
  [browser, server] = await Promise.all([launchBrowser(), Server.start()]);
  const { items } = await server.api("GET", "/api/v1/sites");
  assert.equal(items.length, 1, "the demonstration is one site");
  [site] = items;
});

after(async () => {
  await browser?.close();
  if (server) assert.equal(await server.stop(), 0, "SIGTERM ends it cleanly");
});

/** The days around now, so that a test that runs over midnight sees its events. */
function around() {
  const day = (offset) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);
  return [day(-1), day(1)];
}

async function query(campaign, metrics, dimensions = []) {
  const { results } = await server.api("POST", "/api/v2/query", {
    site_id: site.domain,
    metrics,
    dimensions,
    date_range: around(),
    filters: [["is", "visit:utm_campaign", [campaign]]],
  });
  return results;
}

/** Asks until the answer is the expected one, and shows the last answer when it never is. */
async function eventually(ask, expected) {
  const deadline = Date.now() + VISIBLE_MS;
  for (;;) {
    const answer = await ask();
    try {
      assert.deepEqual(answer, expected);
      return;
    } catch (difference) {
      if (Date.now() > deadline) throw difference;
    }
    await pause(POLL_MS);
  }
}

const names = async (campaign) =>
  Object.fromEntries(
    (await query(campaign, ["events"], ["event:name"])).map(({ dimensions, metrics }) => [
      dimensions[0],
      metrics[0],
    ]),
  );

const totals = async (campaign) => {
  const [row] = await query(campaign, ["visitors", "visits", "pageviews", "bounce_rate"]);
  return row.metrics;
};

async function visitor(userAgent, { gpc = false } = {}) {
  const context = await browser.newContext({
    userAgent,
    locale: "en-GB",
    extraHTTPHeaders: gpc ? { "Sec-GPC": "1" } : {},
  });
  if (gpc) {
    await context.addInitScript(() => {
      Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { get: () => true });
    });
  }
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults = [];
  page.on("pageerror", (fault) => faults.push(String(fault)));
  page.on("console", (line) => {
    if (["warning", "error"].includes(line.type())) faults.push(line.text());
  });
  const foreign = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(server.origin) && !request.url().startsWith("data:")) {
      foreign.push(request.url());
    }
  });
  return { context, page, faults, foreign };
}

/** Does something on the page and waits until the event that it reports is acknowledged. */
async function reporting(page, event, act) {
  const answered = page.waitForResponse(
    (answer) =>
      answer.url() === `${server.origin}/e` &&
      (event === "consent"
        ? !!answer.request().postDataJSON().consent
        : answer
            .request()
            .postDataJSON()
            .events.some((sent) => sent.event === event)),
  );
  await act();
  const answer = await answered;
  assert.equal(answer.status(), 202);
  return answer.request();
}

const choose = (page, answer) =>
  reporting(page, "consent", () => page.click(`#choice button[value=${answer}]`));

async function buy(page, article, email) {
  await reporting(page, "view_item", () => page.goto(`${server.origin}/demo/${article}.html`));
  await reporting(page, "add_to_cart", () => page.getByRole("button", { name: "Add to cart" }).click());
  await reporting(page, "page_view", () => page.getByRole("link", { name: "Go to the cart" }).click());
  await reporting(page, "begin_checkout", () => page.getByRole("link", { name: "Check out" }).click());
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Name").fill("Ada");
  const bought = await reporting(page, "purchase", () =>
    page.getByRole("button", { name: "Place the order" }).click(),
  );
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  return bought.postDataJSON().events.find(({ event }) => event === "purchase");
}

const enter = (page, campaign) =>
  reporting(page, "page_view", () =>
    page.goto(`${server.origin}/demo/?utm_source=letter&utm_medium=email&utm_campaign=${campaign}`),
  );

const cookieNames = async (context) => (await context.cookies()).map(({ name }) => name).sort();

/** What is stored of a campaign's visits, as far as the owner can see it. */
async function storedEvents(campaign) {
  const filters = encodeURIComponent(JSON.stringify([["is", "visit:utm_campaign", [campaign]]]));
  const { items } = await server.api(
    "GET",
    `/api/v1/sites/${site.id}/events?limit=100&filters=${filters}`,
  );
  return items;
}

/** The order is there, and nothing that says whose it was. */
async function assertNotKnown(campaign, purchase) {
  const items = await storedEvents(campaign);
  assert.deepEqual(
    items.filter(({ event }) => event === "purchase").map(({ order_id: id }) => id),
    [purchase.order_id],
  );
  assert.equal(/ada\.|customer-|"user_id"|"traits"/.exec(JSON.stringify(items)), null);
}

const BOUGHT = { pageview: 5, view_item: 1, add_to_cart: 1, begin_checkout: 1, purchase: 1 };

test("a visitor who says yes is recognised, and what they do is counted", async () => {
  const { context, page, faults, foreign } = await visitor(WINDOWS);
  await reporting(page, "page_view", () => page.goto(`${server.origin}/demo/`));
  assert.deepEqual(await cookieNames(context), [], "nothing before a choice");
  await choose(page, "yes");
  assert.deepEqual(await cookieNames(context), ["cairn_consent", "cairn_id"]);
  const id = (await context.cookies()).find(({ name }) => name === "cairn_id");
  assert.ok(id.httpOnly && id.sameSite === "Lax", "out of reach of the page's scripts");

  await enter(page, "e2e-yes");
  const purchase = await buy(page, "ember", "ada.yes@shop.example");
  assert.equal(purchase.value, 59.9);
  await page.reload();
  await page.getByRole("heading", { name: "Thank you" }).waitFor();

  await eventually(() => names("e2e-yes"), { ...BOUGHT, pageview: 6, identify: 1 });
  await eventually(() => totals("e2e-yes"), [1, 1, 6, 0]);
  assert.deepEqual(
    (await query("e2e-yes", ["visits"], ["visit:identification"])).map((row) => row.dimensions[0]),
    ["identified"],
  );
  assert.deepEqual(faults, []);
  assert.deepEqual(foreign, [], "the shop asks nobody else for anything");
  await context.close();
});

test("a visitor who says no is counted, and not known", async () => {
  const { context, page, faults } = await visitor(MAC);
  await enter(page, "e2e-no");
  await choose(page, "no");
  const asked = [];
  page.on("request", (request) => request.url() === `${server.origin}/m` && asked.push(request));
  const purchase = await buy(page, "dawn", "ada.no@shop.example");
  assert.equal(asked.length, 0, "nothing is to be remembered, so nothing is asked");
  assert.deepEqual(await cookieNames(context), ["cairn_consent"], "only the choice is kept");

  await eventually(() => names("e2e-no"), BOUGHT);
  await eventually(() => totals("e2e-no"), [1, 1, 5, 0]);
  assert.deepEqual(
    (await query("e2e-no", ["visits"], ["visit:identification"])).map((row) => row.dimensions[0]),
    ["anonymous"],
  );
  await assertNotKnown("e2e-no", purchase);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a visitor who says nothing is counted, not known, and keeps no cookie", async () => {
  const { context, page, faults } = await visitor(WINDOWS.replace("156", "155"));
  await enter(page, "e2e-silent");
  const purchase = await buy(page, "brook", "ada.silent@shop.example");
  assert.deepEqual(await cookieNames(context), []);

  await eventually(() => totals("e2e-silent"), [1, 1, 5, 0]);
  await assertNotKnown("e2e-silent", purchase);
  assert.deepEqual(faults, []);
  await context.close();
});

test("Global Privacy Control: the shop says so, and a yes leaves advertising out", async () => {
  const { context, page, faults } = await visitor(LINUX, { gpc: true });
  await reporting(page, "page_view", () => page.goto(`${server.origin}/demo/`));
  await page.getByText("Your browser sends Global Privacy Control").waitFor();
  const told = await choose(page, "yes");
  assert.equal((await told.allHeaders())["sec-gpc"], "1");
  const { age_ms, ...said } = told.postDataJSON().consent;
  assert.ok(age_ms >= 0);
  assert.deepEqual(said, { analytics: "granted", ads: "denied", functional: "granted" });

  await enter(page, "e2e-gpc");
  await buy(page, "glow", "ada.gpc@shop.example");
  await eventually(() => names("e2e-gpc"), { ...BOUGHT, identify: 1 });
  await eventually(() => totals("e2e-gpc"), [1, 1, 5, 0]);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a choice can be changed on every page, and the cookie goes with the yes", async () => {
  const { context, page } = await visitor(WINDOWS);
  await reporting(page, "page_view", () => page.goto(`${server.origin}/demo/`));
  await choose(page, "yes");
  await page.getByRole("button", { name: "Privacy choices" }).click();
  await page.getByText("At the moment your visits are counted").waitFor();
  await choose(page, "no");
  assert.deepEqual(await cookieNames(context), ["cairn_consent"]);
  await context.close();
});

test("cart, address and what was looked at are remembered of who said yes", async () => {
  const { context, page, faults } = await visitor(WINDOWS.replace("156", "154"));
  const told = (name) =>
    page.waitForResponse(
      (answer) =>
        answer.url() === `${server.origin}/m` &&
        name in (answer.request().postDataJSON()?.remember ?? {}),
    );
  await reporting(page, "page_view", () => page.goto(`${server.origin}/demo/`));
  await choose(page, "yes");
  const seen = told("recently_seen");
  await page.goto(`${server.origin}/demo/brook.html`);
  await seen;
  const kept = told("cart");
  await page.getByRole("button", { name: "Add to cart" }).click();
  assert.equal((await (await kept).json()).allowed, true);
  // The browser's own storage is lost: the cart comes back.
  await page.evaluate(() => localStorage.removeItem("shop.cart"));
  await page.goto(`${server.origin}/demo/cart.html`);
  await page.locator('[data-line="brook"]').waitFor();
  await page.goto(`${server.origin}/demo/`);
  await page.getByRole("region", { name: "You looked at" }).getByRole("link", { name: "Brook" }).waitFor();
  await buy(page, "glow", "ada.back@shop.example");
  await page.goto(`${server.origin}/demo/scree.html`);
  await page.getByRole("button", { name: "Add to cart" }).click();
  await page.goto(`${server.origin}/demo/checkout.html`);
  await page.waitForFunction(
    () => document.querySelector("#email").value === "ada.back@shop.example",
  );
  await page.locator("#summary li").waitFor();
  assert.equal(await page.locator("#summary li").count(), 1, "what was bought is in no cart");
  assert.deepEqual(faults, []);
  await context.close();
});

test("what the pixel's settings ask for is loaded, reported and stored", async () => {
  const path = `/api/v1/sites/${site.id}/pixels`;
  const { items } = await server.api("GET", path);
  const [{ key, settings }] = items.filter(({ kind }) => kind === "web");
  const all = ["clicks", "forms", "not_found", "scroll", "search", "sections", "vitals"];
  await server.api("PATCH", `${path}/${key}`, {
    settings: Object.fromEntries(all.map((part) => [part, true])),
  });
  try {
    const { context, page, faults, foreign } = await visitor(LINUX.replace("156", "155"));
    const loaded = [];
    page.on("response", (answer) => {
      const part = /\/cairn\/(\w+)-\w+\.js$/.exec(new URL(answer.url()).pathname)?.[1];
      if (part) loaded.push(`${answer.status()} ${part}`);
    });
    await enter(page, "e2e-parts");
    // A module that was loaded is not fetched again: this only waits until each part runs.
    const written = await (await fetch(`${server.origin}/cairn.json?key=${key}`)).json();
    const sources = Object.values(written).map(({ src }) => `/${src}`);
    assert.equal(sources.length, all.length);
    await page.evaluate((sources) => Promise.all(sources.map((source) => import(source))).then(() => 0), sources);
    await reporting(page, "click", () => page.locator("[data-add=ember]").click());
    const scrolledAt = await page.evaluate(() => {
      document.querySelector("[data-cairn-section=catalogue]").scrollIntoView({ behavior: "instant" });
      return performance.now();
    });
    await page.waitForFunction((until) => performance.now() > until, scrolledAt + 600);
    // A page that a script makes is left without leaving: the answer to its reports can be seen.
    const answered = page.waitForResponse(
      (answer) => answer.request().postDataJSON()?.events?.some(({ section }) => section),
    );
    await page.evaluate(() => history.pushState({}, "", "find?q=kettle"));
    const report = await answered;
    const told = await report.json();
    const { events } = report.request().postDataJSON();
    assert.deepEqual([told.accepted, told.rejected], [events.length, []], "all of it is understood");
    const [engagement] = events.filter(({ engagement_ms: ms }) => ms);
    assert.ok(engagement.scroll_percent > 20 && engagement.props.lcp_ms > 0);
    assert.ok(events.some(({ section }) => section?.id === "catalogue" && section.visible_ms > 0));
    assert.deepEqual(
      loaded.sort(),
      all.map((part) => `200 ${part}`),
    );
    await eventually(() => names("e2e-parts"), { pageview: 2, click: 1, add_to_cart: 1, view_search_results: 1 });
    await eventually(
      async () =>
        (await query("e2e-parts", ["scroll_depth"], ["event:page"]))
          .filter(({ dimensions }) => dimensions[0] === "/demo/")
          .map(({ metrics }) => metrics[0]),
      [engagement.scroll_percent],
    );
    const totalsOf = async (metrics) => (await query("e2e-parts", metrics))[0].metrics;
    assert.deepEqual(await totalsOf(["lcp_p75_ms", "vitals_samples"]), [engagement.props.lcp_ms, 1]);
    const seen = events.filter(({ section }) => section);
    const rows = await query(
      "e2e-parts",
      ["section_views", "section_time_total_s", "section_read_rate"],
      ["event:page", "event:section"],
    );
    assert.deepEqual(
      rows
        .filter(({ dimensions }) => dimensions[0] === "/demo/")
        .map(({ dimensions, metrics }) => [dimensions[1], ...metrics])
        .sort(),
      seen
        .map(({ section: { id, visible_ms }, props: { reading } }) => [
          id,
          1,
          Math.round(visible_ms / 1000),
          reading === "read" ? 100 : 0,
        ])
        .sort(),
    );
    assert.deepEqual(await query("e2e-parts", ["events"], ["event:element"]), [
      { dimensions: ["Add Ember to the cart"], metrics: [1] },
    ]);
    assert.deepEqual(faults, []);
    assert.deepEqual(foreign, []);
    await context.close();
  } finally {
    await server.api("PATCH", `${path}/${key}`, { settings });
  }
});

test("a program that opens a mail is counted apart, though reports leave bots out", async () => {
  const campaign = "e2e-mail";
  const { open_url: open } = await server.api("POST", `/api/v1/sites/${site.id}/emails`, { campaign });
  assert.equal((await fetch(`${server.origin}${new URL(open).pathname}`)).status, 200);
  await eventually(
    () =>
      query(
        campaign,
        ["email_opens", "email_machine_opens", "email_human_opens", "visitors"],
        ["event:props:campaign"],
      ),
    [{ dimensions: [campaign], metrics: [1, 1, 0, 0] }],
  );
});

test("the dashboard shows the same numbers, and the next click arrives live", async () => {
  assert.ok(server.loginUrl, "a link that signs in was printed");
  const { context, page, faults } = await visitor(WINDOWS);
  await page.goto(server.loginUrl);
  await page.waitForURL((url) => !url.pathname.startsWith("/login"));
  const [from, to] = around();
  const overview = (campaign) =>
    `${server.origin}/sites/${site.id}?from=${from}&to=${to}&f=${encodeURIComponent(`is,visit:utm_campaign,${campaign}`)}`;
  const card = (name, value) =>
    page.getByRole("button", { name: new RegExp(`^${name}:?\\s*${value}(?![\\d.,])`) }).waitFor();

  for (const [campaign, pageviews] of [
    ["e2e-yes", 6],
    ["e2e-no", 5],
    ["e2e-gpc", 5],
  ]) {
    await page.goto(overview(campaign));
    await card("Visitors", 1);
    await card("Visits", 1);
    await card("Page views", pageviews);
  }

  await page.goto(overview("e2e-live"));
  await card("Page views", 0);
  const other = await visitor(MAC.replace("156", "155"));
  await enter(other.page, "e2e-live");
  await card("Page views", 1);
  assert.deepEqual(faults, []);
  await other.context.close();
  await context.close();
});
