// An advertisement's whole way in a real browser against the real server: shown on a publisher's page, in view for a
// second, clicked, landed on a page with the tracker, and paid for by a postback.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

/** Stored events are visible after at most two seconds; a busy machine gets some more. */
const VISIBLE_MS = 20_000;
const POLL_MS = 50;
const AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

let browser;
let server;
let pages;
/** Host name → the HTML of its page. */
const html = {};

before(async () => {
  pages = createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(`<!doctype html><link rel="icon" href="data:,">${html[request.headers.host]}`);
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  [browser, server] = await Promise.all([launchBrowser(), Server.start()]);
});

after(async () => {
  await browser?.close();
  pages.closeAllConnections();
  pages.close();
  if (server) assert.equal(await server.stop(), 0, "SIGTERM ends it cleanly");
});

/** Every event of a site, oldest first, once one of this name is among them. */
async function storedWith(siteId, name) {
  const deadline = Date.now() + VISIBLE_MS;
  for (;;) {
    const { items } = await server.api("GET", `/api/v1/sites/${siteId}/events?limit=1000`);
    const found = items.some(({ event }) => event === name);
    if (found || Date.now() > deadline) return items.reverse();
    await pause(POLL_MS);
  }
}

test("shown, seen, clicked, landed and paid", async () => {
  const port = pages.address().port;
  const [shop, news] = [`shop.test:${port}`, `news.test:${port}`];
  const site = await server.api("POST", "/api/v1/sites", {
    name: "Shop",
    domain: "shop.test",
    timezone: "Europe/Berlin",
    currency: "EUR",
    privacy: { policy: "opt_out" },
  });
  const pixel = (kind) =>
    server.api("POST", `/api/v1/sites/${site.id}/pixels`, { name: kind, kind });
  const [web, own] = [await pixel("web"), await pixel("server")];
  // The browser reaches the server by its public name.
  const stats = server.origin.replace("127.0.0.1", "stats.shop.test");
  const named = (text) => text.replaceAll(server.origin, stats);
  html[shop] = named(web.snippet);
  const ad = await server.api("POST", `/api/v1/sites/${site.id}/ads`, {
    campaign: "spring",
    source: "news",
    creative: "blue",
    placement: "top",
    ad_server: "none",
    target: `http://${shop}/offer?a=1#top`,
    cost: { amount: 2.5, currency: "EUR", per: "thousand_impressions" },
  });
  const creative = '<span style="display:block;width:300px;height:250px">An offer</span>';
  html[news] = named(ad.tag).replace("<!-- your image here -->", creative);

  const context = await browser.newContext({ userAgent: AGENT, locale: "de-AT" });
  const page = await context.newPage();
  const seen = page.waitForResponse((answer) => answer.url().endsWith("?v=1"));
  await page.goto(`http://${news}/`);
  assert.equal((await seen).headers()["cairn-outcome"], "accepted");
  const opened = context.waitForEvent("page");
  await page.getByText("An offer").click();
  const landing = await opened;
  await landing.waitForLoadState();
  const address = new URL(landing.url());
  assert.equal(`${address.host}${address.pathname}${address.hash}`, `${shop}/offer#top`);
  assert.equal(address.searchParams.get("a"), "1");
  const click = address.searchParams.get("cairn_click");

  await storedWith(site.id, "click_landed");
  const paid = new URLSearchParams({ key: own.key, order_id: "7", payout: "59.90", click_id: click });
  const answer = await fetch(`${server.origin}/postback?${paid}`);
  assert.deepEqual(await answer.json(), { outcome: "accepted", click: "known" });

  const events = await storedWith(site.id, "purchase");
  await context.close();
  const names = events.map(({ event }) => event).filter((name) => name !== "engagement");
  assert.deepEqual(names.toSorted(), [
    "ad_click",
    "ad_impression",
    "ad_viewable",
    "click_landed",
    "page_view",
    "purchase",
  ]);
  const one = (name) => events.find(({ event }) => event === name);
  assert.ok(!JSON.stringify(events).includes(click), "the parameter is stored nowhere");
  assert.equal(one("page_view").url, "https://shop.test/offer?a=1");
  assert.equal(one("ad_impression").props.cost, "0.0025");
  assert.equal(one("ad_impression").props.placement, "top");
  for (const name of ["ad_impression", "ad_viewable", "ad_click", "click_landed"]) {
    assert.equal(one(name).props.verdict, "human", JSON.stringify(one(name)));
  }
  assert.equal(one("click_landed").props.click, "ad_click");
  assert.equal(one("purchase").utm.campaign, "spring");
  assert.equal(one("purchase").visitor_id, one("page_view").visitor_id, "whose click it was");
});
