// The page about pixels: its charts, its snippets, the live test, and what is made for mails and ads.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { Mock, type MockOptions } from "../mock/server.ts";
import { openBrowser, openPage } from "./browser.ts";

const KINDS = ["image", "email", "ad", "server", "app"];

let browser: Browser;
before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

async function on(
  path: string,
  work: (page: Page, mock: Mock) => Promise<void>,
  options: MockOptions = { kinds: KINDS },
) {
  const mock = await new Mock(options).start();
  const { page, troubles } = await openPage(browser, {
    permissions: ["clipboard-read", "clipboard-write"],
  });
  try {
    await page.goto(`${mock.origin}/sites/1/pixels${path}`);
    await page.waitForSelector("main pre");
    await work(page, mock);
    assert.deepEqual(troubles, []);
  } finally {
    await page.context().close();
    await mock.stop();
  }
}

const received = {
  hit: 1,
  stage: "received",
  passed: true,
  event: "page_view",
  road: "script",
  origin: "shop.example",
  key: "this",
  certain: true,
};

const marks = (page: Page) =>
  page
    .locator(".stages li")
    .evaluateAll((all) =>
      all.map((one) => ["passed", "failed"].find((name) => one.classList.contains(name)) ?? "–"),
    );

test("every kind is listed with its chart, and shows what it needs to be installed", async () => {
  await on("", async (page) => {
    const list = page.getByRole("navigation", { name: "Your pixels" });
    assert.deepEqual(await list.locator("h2").allTextContents(), [
      "Web page (script)",
      "Web page (image only)",
      "E-mail",
      "Advertisement",
      "Your server",
      "Phone app",
    ]);
    const charts = list.getByRole("img", { name: /^\d+ events, last 24 hours; most / });
    await charts.first().waitFor();
    assert.equal(await charts.count(), 6);
    assert.equal(await charts.first().locator("rect").count(), 24);
    for (const [name, tabs] of [
      ["Our image", ["HTML", "Tag Manager", "React"]],
      ["Our email", ["Image", "API"]],
      ["Our ad", ["HTML", "API"]],
      ["Our server", ["curl", "Node.js", "Segment SDK"]],
      ["Our app", ["iOS", "Android", "curl"]],
    ] as const) {
      await list.getByRole("link", { name }).click();
      await page.getByRole("heading", { name, exact: true }).waitFor();
      assert.deepEqual(await page.getByRole("tab").allTextContents(), tabs);
    }
    await page.getByRole("tab", { name: "iOS" }).focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForURL("**&tab=android");
    await page.getByText("com.segment.analytics.kotlin.android.Analytics").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Android");

    await page.getByRole("button", { name: /Shown in the small charts/ }).click();
    await page.getByRole("menuitemradio", { name: "Last 30 days" }).click();
    await page.waitForURL("**period=30d**");
    const days = page.getByRole("img", { name: /^\d+ events, last 30 days; most / });
    await days.first().waitFor();
    assert.equal(await days.first().locator("rect").count(), 30);
  });
});

test("the live test opens the page and lights up stage by stage, and says it aloud", async () => {
  await on("", async (page, mock) => {
    await page.getByLabel("Page to open").fill("javascript:alert(1)");
    const button = page.getByRole("button", { name: "Start the live test" });
    await button.click();
    await page.getByText("The URL must begin with http:// or https://.").waitFor();
    assert.equal(page.context().pages().length, 1, "no tab is left behind");

    await page.getByLabel("Page to open").fill("");
    const [tab] = await Promise.all([page.context().waitForEvent("page"), button.click()]);
    await tab.waitForURL(/\/landing\?cairn_test=0123456789abcdef$/);
    await page.getByText("Waiting for the first hit").waitFor();
    await page.waitForFunction(() => document.querySelectorAll(".stages li").length === 4);
    while (!mock.isFollowed) await page.evaluate(() => new Promise(requestAnimationFrame));
    assert.deepEqual(await marks(page), ["–", "–", "–", "–"]);

    mock.tell("nothing", { after_s: 10, script: true, check: ["script_blocked", "wrong_host"] });
    await page.getByText("Nothing has arrived for 10 seconds").waitFor();
    await page.getByText("The script was loaded").waitFor();

    mock.tell("stage", received);
    await page.getByText("page_view by the script, from shop.example.", { exact: true }).waitFor();
    assert.equal(await page.getByText("Nothing has arrived").count(), 0);
    mock.tell("stage", {
      hit: 1,
      stage: "permission",
      passed: false,
      verdict: "drop",
      outcome: "dropped:policy",
      reason: "the site keeps nothing without a yes",
    });
    const spoken = page.locator('.sr[aria-live="polite"]');
    await spoken.getByText("Permission: failed. Nothing may be kept.").waitFor();
    assert.deepEqual(await marks(page), ["passed", "failed", "–", "–"]);

    mock.tell("stage", { ...received, hit: 2, event: "sign_up" });
    await page.getByText("on its way").waitFor();
    mock.tell("stage", { hit: 2, stage: "stored", passed: true, after_ms: 42 });
    await page.getByText("stored", { exact: true }).waitFor();

    mock.tell("end", { after_s: 300 });
    await page.getByText("The test is over.").waitFor();
    await page.getByRole("button", { name: "Test again" }).waitFor();
  });
});

test("a mail is made with its links, and what is wrong stands at its field", async () => {
  await on("?key=k2_email", async (page) => {
    const form = page.getByRole("region", { name: "Make a tracked mail" });
    await form.getByRole("button", { name: "Make the mail" }).click();
    await form.getByText("Please fill this in.").waitFor();
    assert.equal(await form.getByLabel("Campaign").getAttribute("aria-invalid"), "true");
    await form.getByLabel("Campaign").fill("spring-sale");
    await form.getByLabel("The mail’s HTML").fill("<script></script>");
    await form.getByRole("button", { name: "Make the mail" }).click();
    await form.getByText("The HTML could not be read.").waitFor();

    await form.getByLabel("The mail’s HTML").fill('<a href="https://shop.example/sale">x</a>');
    await form.getByRole("radio", { name: "One recipient" }).check();
    await form.getByLabel("User id").fill("customer-7");
    await form.getByLabel("Agreed to opens").selectOption("granted");
    const asked = page.waitForRequest("**/api/v1/sites/1/emails");
    await form.getByRole("button", { name: "Make the mail" }).click();
    assert.deepEqual((await asked).postDataJSON(), {
      campaign: "spring-sale",
      pixel: "k2_email",
      expires_days: 90,
      recipient: { user_id: "customer-7", opens: "granted" },
      html: '<a href="https://shop.example/sale">x</a>',
    });
    await form.getByText("Opens are counted for the recipient").waitFor();
    assert.equal(
      await page.evaluate(() => document.activeElement?.textContent),
      "The tracked mail",
    );
    await form.getByText("1 to unsubscribe").waitFor();
    await form.getByRole("button", { name: "Copy: HTML to send" }).click();
    await form.getByText("Copied").waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(copied, '<a href="https://cairn.shop.example/l/AQAB">See it</a>');
  });
});

test("a link and an ad tag are made", async () => {
  await on("?key=k2_email", async (page) => {
    const form = page.getByRole("region", { name: "Make a tracked link" });
    await form.getByLabel("Leads to").fill("shop");
    await form.getByLabel("Campaign").fill("poster");
    await form.getByRole("button", { name: "Make the link" }).click();
    await form.getByText("The URL must be absolute.").waitFor();
    await form.getByLabel("Leads to").fill("https://shop.example/sale");
    await form.getByRole("button", { name: "Make the link" }).click();
    await form.getByText("https://cairn.shop.example/l/AQAC").waitFor();

    await page.getByRole("link", { name: "Our ad" }).click();
    const ad = page.getByRole("region", { name: "Make an ad tag" });
    await ad.getByLabel("Leads to").fill("https://shop.example/sale");
    await ad.getByLabel("Campaign").fill("spring-sale");
    assert.equal(await ad.getByLabel("Ad server").inputValue(), "none");
    await ad.getByLabel("Ad server").selectOption("google_ad_manager");
    await ad.getByLabel("Creative").fill("banner");
    await ad.getByLabel("Amount").fill("2,50");
    await ad.getByRole("button", { name: "Make the tag" }).click();
    await ad.getByText("The amount must be a number.").waitFor();
    await ad.getByLabel("Amount").fill("2.50");
    const asked = page.waitForRequest("**/api/v1/sites/1/ads");
    await ad.getByRole("button", { name: "Make the tag" }).click();
    assert.deepEqual((await asked).postDataJSON(), {
      campaign: "spring-sale",
      target: "https://shop.example/sale",
      ad_server: "google_ad_manager",
      pixel: "k3_ad",
      expires_days: 90,
      creative: "banner",
      cost: { amount: "2.50", currency: "EUR", per: "thousand_impressions" },
    });
    await ad.getByText("%%CLICK_URL_UNESC%%").waitFor();
    const note = ad.getByText("replace {CLICKURL} by your server’s click macro, or delete it");
    assert.equal(await note.count(), 0);
    await ad.getByLabel("Ad server", { exact: true }).selectOption("Another one (generic macros)");
    await ad.getByRole("button", { name: "Make the tag" }).click();
    await note.waitFor();
  });
});
