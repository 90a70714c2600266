import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { Mock } from "../mock/server.ts";
import { openBrowser, openPage } from "./browser.ts";

const NOW = Date.parse("2026-11-22T15:20:00Z");

let browser: Browser;
before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

async function on(path: string, work: (page: Page, mock: Mock) => Promise<void>) {
  const mock = await new Mock({ now: NOW }).start();
  const { page, troubles } = await openPage(browser);
  try {
    await page.clock.setFixedTime(NOW);
    await page.goto(mock.origin + path);
    await work(page, mock);
    assert.deepEqual(troubles, []);
  } finally {
    await page.context().close();
    await mock.stop();
  }
}

const rows = (page: Page) => page.getByRole("list", { name: "Visits" }).locator(".row");
const told = (page: Page) => page.getByRole("list", { name: "What was done, the latest first" });
const answered = (page: Page) =>
  page.waitForFunction(() => !document.querySelector('[aria-busy="true"], .stale'));

test("visits: the latest first, page by page, each opening what was done", async () => {
  await on("/sites/1/visits", async (page) => {
    await rows(page).first().waitFor();
    assert.equal(await rows(page).count(), 50);
    const times = await page
      .locator("li time")
      .evaluateAll((all) => all.map((one) => one.getAttribute("datetime") ?? ""));
    assert.deepEqual(times, times.toSorted().toReversed());
    await page.getByRole("button", { name: "Show more" }).click();
    await page.getByText("100 shown").waitFor();
    const buyer = rows(page).filter({ hasText: "Order placed" }).first();
    assert.match((await buyer.textContent()) ?? "", /€1,234\.50.*Order placed/);
    await buyer.click();
    await told(page).locator(".step").first().waitFor();
    assert.equal(await told(page).locator(".step").count(), 3, "a page of events");
    await page.getByRole("button", { name: "Show earlier" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".step").length > 3);
    assert.equal(await rows(page).count(), 100, "the list stays as it was");
  });
});

test("visits by keyboard: arrows go along, Enter opens, Escape closes and gives the focus back", async () => {
  await on("/sites/1/visits", async (page) => {
    await rows(page).first().focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    await page.waitForURL(/[?&]open=/);
    const second = rows(page).nth(1);
    assert.equal(await second.getAttribute("aria-expanded"), "true");
    await told(page).locator(".step").first().waitFor();
    await page.keyboard.press("Tab");
    assert.match((await page.locator(":focus").textContent()) ?? "", /All that this visitor did/);
    await page.keyboard.press("Escape");
    await page.waitForURL(/\/visits$/);
    assert.equal(await told(page).count(), 0);
    assert.ok(await second.evaluate((row) => row === document.activeElement));
    await page.goBack();
    await told(page).locator(".step").first().waitFor();
    await page.reload();
    await told(page).locator(".step").first().waitFor();
  });
});

test("days, filters and bots are those of the URL, as on the Overview", async () => {
  await on("/sites/1/visits?period=7d&f=is,visit:country,DE", async (page) => {
    await rows(page).first().waitFor();
    for (const text of await rows(page).allTextContents()) assert.match(text, /Germany/);
    await page.getByRole("list", { name: "Filters" }).waitFor();
    await page.keyboard.press("/");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Value").fill("/cart");
    await dialog.getByRole("button", { name: "Add" }).click();
    await page.waitForURL(/f=is,event:page,\/cart/);
    await answered(page);
    const before = await rows(page).count();
    assert.ok(before > 0 && before < 50);
    await page.getByRole("button", { name: /^Bots/ }).click();
    await page.getByRole("menuitemradio", { name: /only/i }).click();
    await page.waitForURL(/bots=only/);
    await page.getByRole("button", { name: /^Period:/ }).click();
    await page.getByRole("menuitemradio", { name: /^Yesterday/ }).click();
    await page.waitForURL(/period=yesterday.*bots=only/);
  });
});

test("visitors are told apart by permission, and a visit leads to all that its visitor did", async () => {
  await on("/sites/1/visits", async (page) => {
    await rows(page).first().click();
    await page.getByRole("link", { name: "All that this visitor did" }).click();
    await page.waitForURL(/list=visitors&open=/);
    await told(page).locator(".step").first().waitFor();
    const list = page.getByRole("list", { name: "Visitors" }).locator(".row");
    assert.ok((await list.filter({ hasText: "Known again" }).count()) > 0);
    assert.ok((await list.filter({ hasText: "Until midnight" }).count()) > 0);
    // Who is on no page that was loaded is told above the list.
    await page.goto(page.url().replace(/open=\w+/, "open=00000000000000ff"));
    await page.getByRole("heading", { name: "Visitor 0000ff" }).waitFor();
    await page.getByRole("button", { name: "Close", exact: true }).click();
    await page.waitForURL(/list=visitors$/);
  });
});

test("people: what is claimed about them is text and says that it is not proven", async () => {
  await on("/sites/1/visits", async (page) => {
    await rows(page).first().waitFor();
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("People");
    await page.keyboard.press("Enter");
    await page.waitForURL(/list=people/);
    const ada = page.getByRole("list", { name: "People" }).locator(".row");
    await ada.waitFor();
    assert.match((await ada.textContent()) ?? "", /Ada.*ada-7.*2 browsers/);
    await ada.press("Enter");
    await page.getByText("Claimed, not proven").waitFor();
    await page.getByText("<img src=x onerror=alert(1)>").waitFor();
    assert.equal(await page.locator("main img").count(), 0);
    await told(page)
      .getByText(/^Another visit, /)
      .first()
      .waitFor({ state: "attached" });
  });
});

test("the events behind a number lead to their visits, with the same days and filters", async () => {
  await on(
    "/sites/1?period=7d&f=is,visit:country,DE&events=is,visit:source,Google",
    async (page) => {
      await page.getByRole("link", { name: "Show the visits" }).click();
      await page.waitForURL(/\/visits\?period=7d&f=is,visit:country,DE&f=is,visit:source,Google$/);
      await rows(page).first().waitFor();
      for (const text of await rows(page).allTextContents()) assert.match(text, /Google.*Germany/);
    },
  );
});

test("where nothing passes, the page says so; what fails can be tried again", async () => {
  await on("/sites/1/visits?f=is,visit:country,XX", async (page) => {
    await page.getByText("No visit in these days passes the filters.").waitFor();
    await page.route("**/api/v2/visits", (route) => route.abort());
    await page.getByRole("button", { name: /^Remove/ }).click();
    await page.getByRole("button", { name: "Try again" }).waitFor();
    await page.unroute("**/api/v2/visits");
    await page.getByRole("button", { name: "Try again" }).click();
    await rows(page).first().waitFor();
  });
});
