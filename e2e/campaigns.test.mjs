// The page about campaigns against the real server: costs from a file with a mapping, exchange rates, and what comes of them
// beside orders that were sold, given back and repeated.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

let server;
let browser;
let site;
let context;
let page;

const daysAgo = (days) =>
  new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);
const DAY = daysAgo(3);

/** A visit by a link of a campaign, and what was bought in it. */
function visit(visitor_id, query, orders) {
  const line = (event, more) =>
    JSON.stringify({
      event,
      visitor_id,
      timestamp: `${DAY}T10:00:00Z`,
      url: `https://shop.test/${query}`,
      ...more,
    });
  return [
    line("page_view", {}),
    ...orders.map(([event, more]) => line(event, more)),
  ];
}

before(async () => {
  server = await Server.start();
  // Those of the demonstration: this site begins without any.
  const removed = await fetch(`${server.origin}/api/v1/instance/rates`, {
    method: "DELETE",
    headers: { Authorization: `Bearer ${server.token}` },
  });
  assert.equal(removed.status, 204);
  site = await server.api("POST", "/api/v1/sites", {
    name: "Shop",
    domain: "shop.test",
    currency: "EUR",
  });
  const google = "?utm_source=google&utm_medium=cpc&utm_campaign=tents";
  const lines = [
    ...visit("a", google, [
      ["purchase", { order_id: "1", value: 300, currency: "EUR" }],
      ["purchase", { order_id: "1", value: 300, currency: "EUR" }],
      ["refund", { order_id: "1", value: 50, currency: "EUR" }],
    ]),
    ...visit("b", google, [
      ["purchase", { order_id: "2", value: 125, currency: "USD" }],
    ]),
    ...visit("c", "?utm_source=newsletter&utm_campaign=news", [
      ["purchase", { order_id: "3", value: 9, currency: "CHF" }],
    ]),
  ];
  const answer = await fetch(
    `${server.origin}/api/v1/sites/${site.id}/import`,
    {
      method: "POST",
      headers: {
        Authorization: `Bearer ${server.token}`,
        "Content-Type": "application/x-ndjson",
      },
      body: lines.join("\n"),
    },
  );
  assert.equal(answer.status, 200);
  assert.deepEqual((await answer.json()).rejected, []);
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, "SIGTERM ends it cleanly");
});

beforeEach(async () => {
  context = await browser.newContext({ locale: "en-GB" });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
});

afterEach(() => context.close());

/** The cells of a row of the table. */
const cells = (name) =>
  page
    .getByRole("row", { name: new RegExp(`^${name}`) })
    .getByRole("cell")
    .allTextContents();

test("costs and rates are read from files, and the page tells what came back", async () => {
  await page.goto(server.loginUrl);
  await page.waitForURL((address) => !/login|setup/.test(address.pathname));
  await page.goto(`${server.origin}/sites/${site.id}/campaigns`);
  await page.getByRole("row", { name: /^tents/ }).waitFor();
  const apart = page.getByText(
    "Not converted, for no rate is known: 1 order of US$125.00.",
  );
  await apart.waitFor();
  await page
    .getByText("1 purchase repeats an order and is not counted.")
    .waitFor();

  // Rates: the dollar's, of the day of the order.
  await page.getByRole("button", { name: "Add a file" }).click();
  await page.getByLabel("CSV file").setInputFiles({
    name: "rates.csv",
    mimeType: "text/csv",
    buffer: Buffer.from(`Date,USD,\n${DAY},1.25,\n`),
  });
  await page.getByRole("button", { name: "Read it" }).click();
  await page.getByText("1 rates are new, 0 were replaced.").waitFor();
  await apart.waitFor({ state: "detached" });

  // Costs: a fault first, told with its place; then looked at and taken, with a mapping.
  await page.getByRole("button", { name: "Add costs" }).click();
  const dialog = page.getByRole("dialog", { name: "Costs from a file" });
  const file = (text) => ({
    name: "costs.csv",
    mimeType: "text/csv",
    buffer: Buffer.from(text),
  });
  const rows = (amount) =>
    `Day,Campaign,Net,Clicks\n${DAY},Tents,${amount},40\n${DAY},Stoves,20,5\n`;
  await dialog.getByLabel("CSV file").setInputFiles(file(rows("one hundred")));
  await dialog.getByText("1 place is wrong; nothing was taken.").waitFor();
  await dialog.getByLabel("Cost", { exact: true }).selectOption("Net");
  await dialog.getByRole("button", { name: "Look at it" }).click();
  await dialog.getByText("line 2, column “Net”").waitFor();
  await dialog.getByLabel("CSV file").setInputFiles(file(rows("100.00")));
  await dialog.getByLabel("Cost", { exact: true }).selectOption("Net");
  const fixed = dialog.getByRole("group", {
    name: "Where the table does not say it",
  });
  await fixed.getByLabel("Source (utm_source)").fill("google");
  await fixed.getByLabel("Medium (utm_medium)").fill("cpc");
  await dialog.getByRole("button", { name: "Look at it" }).click();
  await dialog.getByText("2 rows about 2 days of campaigns").waitFor();
  await assertAccessible(page, "costs before they are taken");
  await dialog.getByRole("button", { name: "Take 2 costs" }).click();
  await dialog.getByText("Taken: 2 new, 0 replaced.").waitFor();
  await dialog.getByRole("button", { name: "Close" }).last().click();

  // 100 paid; 300 and 125 dollars at 1.25 earned, 50 given back. Capitals of the table are those of the visits.
  await page
    .getByRole("cell", { name: "€100.00", exact: true })
    .first()
    .waitFor();
  assert.deepEqual(
    (await cells("tents")).map((text) => text.trim()),
    ["€100.00", "40", "2", "€50.00", "€400.00", "€350.00", "4.00×", "250%"],
  );
  assert.deepEqual(
    (await cells("Stoves")).map((text) => text.trim()),
    ["€20.00", "5", "0", "–", "€0.00", "€0.00", "0.00×", "-100%"],
  );
  await page
    .getByText("Not converted, for no rate is known: 1 order of CHF")
    .waitFor();
  await assertAccessible(page, "campaigns");

  // By source and in another order, by keyboard; the address says so.
  await page.getByRole("button", { name: "Rows: Campaign" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitemradio", { name: "Source" }).click();
  await page.waitForURL("**/campaigns?by=source");
  await page.getByRole("row", { name: /^Google/ }).waitFor();
  await page.getByRole("button", { name: "Sort by ROI" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/campaigns?by=source&sort=roi");
  await page
    .locator('th[aria-sort="descending"]', { hasText: "ROI" })
    .waitFor();
});
