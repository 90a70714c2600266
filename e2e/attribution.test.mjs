// The page about attribution, on the real server with the demonstration's history: what it shows is what the API answers,
// for the eye and for the keyboard, light and dark, wide and narrow.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

let server;
let browser;
let site;
let storageState;

before(async () => {
  server = await Server.start();
  browser = await launchBrowser();
  site = (await server.api("GET", "/api/v1/sites")).items[0];
  await server.api("POST", `/api/v1/sites/${site.id}/goals`, {
    event_name: "add_to_cart",
    display_name: "Put into the cart",
  });
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(server.loginUrl);
  await page.waitForURL((url) => !url.pathname.startsWith("/login"));
  storageState = await context.storageState();
  await context.close();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The page in a browser of its own, whose own mistakes end the test. */
async function opened(options) {
  const context = await browser.newContext({ storageState, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (fault) => faults.push(fault.stack));
  await page.goto(`${server.origin}/sites/${site.id}/attribution`);
  await page.locator("[aria-busy=false]").waitFor();
  return { context, page, faults };
}

const ask = (more) =>
  server.api("POST", "/api/v2/attribution", { site_id: site.id, date_range: "30d", revenue: true, ...more });
const shown = (number) =>
  new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 }).format(Math.round(number * 10) / 10);

test("channels stand by models side by side, as the API says, and paths beneath", async () => {
  const answer = await ask({});
  assert.ok(answer.totals.conversions > 100 && answer.channels.length >= 5, "the history fills the page");
  const { context, page, faults } = await opened({ viewport: { width: 1440, height: 900 } });
  for (const { channel, credits } of answer.channels) {
    const row = page.getByRole("row").filter({ has: page.getByText(channel, { exact: true }) });
    const cells = await row.getByRole("cell").allInnerTexts();
    const wanted = answer.models.map(({ model }) => shown(credits[model].conversions));
    assert.deepEqual(cells.slice(1), wanted, channel);
  }
  // The model of the address puts the channels in order; its column says so.
  const sorted = page.locator("th[aria-sort=descending]");
  assert.equal(await sorted.innerText(), "Markov");
  await page.getByRole("button", { name: "Judge by First touch" }).press("Enter");
  await page.waitForURL(/model=first/);
  assert.equal(await sorted.innerText(), "First touch");
  const first = [...answer.channels].sort((a, b) => b.credits.first.conversions - a.credits.first.conversions);
  assert.match(await page.getByRole("rowheader").first().innerText(), new RegExp(`^${first[0].channel}`));
  await assertAccessible(page, "attribution");

  const paths = page.getByRole("region", { name: "Paths" });
  await paths.getByText(`1 to 10 of ${shown(answer.paths.total)}`).waitFor();
  await paths.getByRole("button", { name: "Next paths" }).press("Enter");
  await paths.getByText(`11 to 20 of ${shown(answer.paths.total)}`).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("conversion, dimension and look-back are chosen, and the address keeps them", async () => {
  const { context, page, faults } = await opened({ viewport: { width: 1440, height: 900 } });
  const choose = async (label, option) => {
    await page.getByRole("button", { name: new RegExp(`^${label}:`) }).press("Enter");
    await page.getByRole("menuitemradio", { name: option, exact: true }).press("Enter");
  };
  await choose("Conversion", "Put into the cart");
  await choose("Channels by", "Campaign");
  await choose("Look back", "7 days back");
  await page.getByLabel("Count advertisements that were only seen").check();
  await page.waitForURL(/goal=Put.*by=visit%3Autm_campaign.*lookback=7.*views=true/);
  await page.reload();
  const answer = await ask({
    revenue: undefined,
    goal: "Put into the cart",
    dimension: "visit:utm_campaign",
    lookback_days: 7,
    view_through: true,
  });
  await page.locator("[aria-busy=false]").waitFor();
  await page.getByText(shown(answer.totals.conversions), { exact: true }).waitFor();
  await page.getByRole("rowheader", { name: /^tents/ }).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

for (const [colorScheme, width] of [["dark", 1440], ["light", 390], ["dark", 390]]) {
  test(`it is readable ${colorScheme}, ${width} pixels wide`, async () => {
    const { context, page, faults } = await opened({ colorScheme, viewport: { width, height: 900 } });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${wide} pixels on a screen of ${width}`);
    await assertAccessible(page, `attribution, ${colorScheme}, ${width} wide`);
    // Where there is no room for all models, the one chosen is left, beside the range of all.
    const columns = width > 1100 ? 9 : 2;
    assert.equal(await page.getByRole("row").nth(1).getByRole("cell").count(), columns);
    if (process.env.SCREENS) {
      await page.screenshot({ path: `${process.env.SCREENS}/attribution-${colorScheme}-${width}.png`, fullPage: true });
    }
    assert.deepEqual(faults, []);
    await context.close();
  });
}
