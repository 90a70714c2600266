// The page about goals against the real server and the demonstration's history: goals with targets, the saved funnel, who
// comes back and journeys, used with the keyboard, on a wide and on a narrow window, light and dark.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

let server;
let browser;
let context;
let page;
let address;

before(async () => {
  server = await Server.start();
  browser = await launchBrowser();
  context = await browser.newContext({ locale: "en-GB", viewport: { width: 1440, height: 900 } });
  page = await context.newPage();
  page.setDefaultTimeout(30_000);
  await page.goto(server.loginUrl);
  await page.waitForURL(/\/sites\/\d+/);
  address = `${new URL(page.url()).pathname}/goals`;
});

after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, "SIGTERM ends it cleanly");
});

/** The numbers of a funnel's steps as they are shown. */
async function numbers(part) {
  const texts = await part.locator(".line strong").allTextContents();
  return texts.map((text) => Number(text.replaceAll(",", "")));
}

/** Opens the page and waits until every part of it has its answer. */
async function open(query = "") {
  await page.goto(new URL(address + query, server.origin).href);
  await page.getByText(/get through/).waitFor();
  await page.getByText(/visits with \//).waitFor();
  await page.locator("td.cell").first().waitFor();
  await page.getByRole("meter").first().waitFor();
}

test("the demonstration's funnel shows who goes on, and where the others go", async () => {
  await open();
  const funnel = page.getByRole("region", { name: "Funnel" });
  const steps = await numbers(funnel);
  assert.equal(steps.length, 4);
  assert.ok(steps.every((count, step) => count > 0 && (step === 0 || count < steps[step - 1])));
  const dropped = funnel.locator("summary").first();
  await dropped.focus();
  await page.keyboard.press("Enter");
  const places = funnel.locator("details[open] li > span:last-child");
  await places.first().waitFor();
  const counts = (await places.allTextContents()).map((text) => Number(text.replaceAll(",", "")));
  const sum = counts.reduce((one, other) => one + other, 0);
  assert.equal(sum, steps[0] - steps[1], "everyone who dropped out went somewhere, or left");
  await open("?by=visit:device");
  const groups = page.getByRole("region", { name: "Funnel" }).locator(".groups > div");
  assert.ok((await groups.count()) > 2, "all together, and each device");
  const firsts = await Promise.all((await groups.all()).map((group) => numbers(group)));
  const [all, ...devices] = firsts.map((steps) => steps[0]);
  assert.equal(devices.reduce((one, other) => one + other, 0), all);
});

test("a goal with a target and a funnel are made and removed", async () => {
  await open();
  await page.getByRole("button", { name: "Add a goal" }).click();
  const form = page.getByRole("dialog", { name: "Add a goal" });
  await form.getByRole("button", { name: "Save" }).click();
  await form.getByText("Please fill this in.").waitFor();
  await form.getByLabel("Path of the page").fill("/demo/cart*");
  await form.getByLabel("Name", { exact: true }).fill("Cart seen");
  await form.getByLabel("Target").selectOption("conversions");
  await form.getByLabel("To be reached").fill("1000000");
  await form.getByLabel("Until").fill("2099-12-31");
  await assertAccessible(page, "the form for goals");
  await form.getByRole("button", { name: "Save" }).click();
  await form.waitFor({ state: "detached" });
  const row = page.getByRole("row", { name: /Cart seen/ });
  await row.getByText("running").waitFor();

  await page.getByRole("button", { name: "New funnel" }).click();
  const steps = page.getByRole("dialog", { name: "New funnel" });
  await steps.getByLabel("Name", { exact: true }).fill("Cart to thanks");
  await steps.getByLabel("Path of the page").first().fill("/demo/cart.html");
  await steps.getByLabel("Path of the page").last().fill("/demo/thanks.html");
  await steps.getByLabel("Time for all steps").selectOption("1440");
  await assertAccessible(page, "the form for funnels");
  await steps.getByRole("button", { name: "Save" }).click();
  await steps.waitFor({ state: "detached" });
  await page.getByText("2. Visit /demo/thanks.html").waitFor();
  assert.match(page.url(), /funnel=\d+/, "the address is the state");

  for (const name of ["Cart to thanks", "Cart seen"]) {
    await page.getByRole("button", { name: `Remove “${name}”` }).click();
    const sure = page.getByRole("dialog", { name: `Remove “${name}”?` });
    await sure.getByRole("button", { name: "Remove" }).click();
    await sure.waitFor({ state: "detached" });
  }
  await page.getByText("1. Product").waitFor();
  assert.equal(await row.count(), 0);
});

test("journeys are followed both ways, and cohorts by day", async () => {
  await open("?page=/demo/cart.html");
  const journeys = page.getByRole("region", { name: "Journeys" });
  await journeys.getByText("/demo/checkout.html").first().waitFor();
  await journeys.getByRole("button", { name: /^Shown/ }).click();
  await page.getByRole("menuitemradio", { name: "What came before" }).click();
  await page.waitForURL(/way=before/);
  await journeys.getByText("add_to_cart").first().waitFor({ state: "attached" });
  const cohorts = page.getByRole("region", { name: "Who comes back" });
  await cohorts.getByRole("button", { name: /^Periods/ }).click();
  await page.getByRole("menuitemradio", { name: "Days" }).click();
  await cohorts.getByRole("columnheader", { name: "Day 1", exact: true }).waitFor();
});

test("the page is accessible, light and dark, and fits a narrow window", async () => {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await open();
    await assertAccessible(page, `the page about goals, ${colorScheme}`);
  }
  await page.setViewportSize({ width: 390, height: 844 });
  await open();
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(beyond <= 0, `${beyond} pixels beyond the window's edge`);
  await assertAccessible(page, "the page about goals, narrow");
});
