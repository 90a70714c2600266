// The page about visits against the real server: the demonstration's history listed, filtered and opened by keyboard, and
// people of an import with what they bought; light, dark and narrow.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

/** Milliseconds within which what was sent is in the store. */
const STORED_MS = 30_000;
const MARKUP = "<img src=x onerror=alert(1)>";

let server;
let browser;
let page;
let demo;
let shop;

/** Two visits of somebody who is named, and one of nobody: an order, of which some is given back. */
async function imported() {
  const site = await server.api("POST", "/api/v1/sites", { name: "Shop", domain: "shop.example" });
  const goal = { event_name: "purchase", display_name: "Order placed" };
  await server.api("POST", `/api/v1/sites/${site.id}/goals`, goal);
  const day = new Date(Date.now() - 2 * 86_400_000).toISOString().slice(0, 10);
  const named = { user_id: "ada-7", traits: { name: "Ada", note: MARKUP } };
  const event = (time, name, path, more) => ({
    event: name,
    timestamp: `${day}T${time}:00Z`,
    url: `https://shop.example${path}`,
    ...more,
  });
  const order = { value: 59.9, currency: "EUR", order_id: "o-1" };
  const lines = [
    event("08:00", "page_view", "/p/stool", named),
    event("08:04", "page_view", `/thanks`, named),
    event("08:05", "purchase", "/thanks", { ...named, ...order, props: { note: MARKUP } }),
    event("09:30", "page_view", "/help", { visitor_id: "somebody" }),
    event("11:00", "page_view", "/account", named),
    event("11:01", "refund", "/account", { ...named, ...order, value: 9.9 }),
  ];
  const answer = await fetch(`${server.origin}/api/v1/sites/${site.id}/import`, {
    method: "POST",
    headers: { Authorization: `Bearer ${server.token}`, "Content-Type": "application/x-ndjson" },
    body: lines.map((line) => JSON.stringify(line)).join("\n"),
  });
  const told = await answer.json();
  assert.equal(told.accepted, lines.length, JSON.stringify(told));
  return site.id;
}

before(async () => {
  server = await Server.start();
  browser = await launchBrowser();
  const context = await browser.newContext({
    locale: "en-GB",
    timezoneId: "America/New_York",
    viewport: { width: 1440, height: 900 },
  });
  page = await context.newPage();
  page.setDefaultTimeout(30_000);
  await page.goto(server.loginUrl);
  await page.waitForURL(/\/sites\/\d+/);
  demo = `${new URL(page.url()).pathname}/visits`;
  shop = `/sites/${await imported()}/visits`;
});

after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, "SIGTERM ends it cleanly");
});

const rows = () => page.locator("main li .row");
const steps = () => page.locator("main ol .step");

/** Opens a list, and asks again until what was sent is stored. */
async function open(address, wanted = 1) {
  const until = Date.now() + STORED_MS;
  do {
    await page.goto(server.origin + address);
    await page.locator("main li .row, main .note").first().waitFor();
    if ((await rows().count()) >= wanted) return;
  } while (Date.now() < until);
  assert.fail(`${address} lists fewer than ${wanted}`);
}

test("the demonstration's visits go on page by page, are filtered, and open with the keyboard", async () => {
  await open(demo);
  assert.equal(await rows().count(), 50);
  await page.getByRole("button", { name: "Show more" }).click();
  await page.getByText("100 shown").waitFor();
  const times = await page.locator("main li time").evaluateAll((all) => all.map((one) => one.dateTime));
  assert.deepEqual(times, [...times].sort().reverse(), "the latest first, across pages");
  await open(`${demo}?period=7d&f=is,event:goal,Purchase`);
  assert.ok((await rows().count()) > 5);
  for (const text of await rows().allTextContents()) assert.match(text, /€[\d,.]+.*Purchase/);
  await rows().first().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await steps().filter({ hasText: "purchase" }).first().waitFor();
  await page.keyboard.press("Escape");
  await steps().first().waitFor({ state: "detached" });
  assert.ok(await rows().nth(1).evaluate((row) => row === document.activeElement));
});

test("an order's visit says what it brought without what was given back", async () => {
  await open(shop, 3);
  const texts = await rows().allTextContents();
  assert.equal(texts.length, 3);
  assert.match(texts[0], /11:00.*\/account/s, "in the site's zone, not the reader's");
  assert.match(texts[1], /09:30.*\/help/s);
  assert.match(texts[2], /08:00.*\/p\/stool to \/thanks.*2 page views · 5m 00s.*€50\.00.*Order placed/s);
  await rows().nth(2).click();
  await steps().first().waitFor();
  assert.equal(await steps().count(), 3);
  assert.match(await steps().first().textContent(), /purchase.*\/thanks.*€59\.90.*o-1/s);
  await page.getByText(MARKUP).waitFor();
  assert.equal(await page.locator("main img").count(), 0, "what was sent is text");
  await page.getByRole("link", { name: "All that this visitor did" }).click();
  await page.waitForURL(/list=visitors&open=/);
  await page.getByText(/^Another visit, /).waitFor();
  assert.equal(await steps().count(), 5, "both visits of this visitor");
});

test("people are those whom the site named, with what it claims about them", async () => {
  await open(`${shop}?list=people`);
  assert.equal(await rows().count(), 1, "who has no name is not listed");
  assert.match(await rows().textContent(), /Ada.*ada-7.*1 browser.*2 visits · 5 events/s);
  await rows().click();
  await page.getByText("Claimed, not proven").waitFor();
  await page.locator("dd").getByText(MARKUP).waitFor();
  await steps().first().waitFor();
  assert.equal(await steps().count(), 5);
  await page.reload();
  await steps().first().waitFor();
});

test("the page is accessible, light and dark, and fits a narrow window", async () => {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1440, 390]) {
      await page.setViewportSize({ width, height: 844 });
      for (const list of ["visits", "visitors", "people"]) {
        await open(`${shop}?list=${list}`);
        await rows().first().click();
        await steps().first().waitFor();
        await assertAccessible(page, `${list}, ${colorScheme}, ${width} pixels`);
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(beyond <= 0, `${list}: ${beyond} pixels beyond the window's edge`);
      }
    }
  }
});
