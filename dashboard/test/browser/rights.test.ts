import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { Mock, type MockOptions } from "../mock/server.ts";
import { openBrowser, openPage } from "./browser.ts";

let browser: Browser;
before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

async function on(options: MockOptions, work: (page: Page, mock: Mock) => Promise<void>) {
  const mock = await new Mock(options).start();
  const { page, troubles } = await openPage(browser);
  try {
    await page.goto(`${mock.origin}/sites/1/rights`);
    await work(page, mock);
    assert.deepEqual(troubles, []);
  } finally {
    await page.context().close();
    await mock.stop();
  }
}

const button = (page: Page, name: string | RegExp) =>
  page.getByRole("button", typeof name === "string" ? { name, exact: true } : { name });

test("the inbox: what is overdue comes first, and what is closed is found again", async () => {
  await on({}, async (page) => {
    await page.getByText("2 requests wait, 1 overdue.").waitFor();
    const rows = page.getByRole("region", { name: "Requests" }).locator("li");
    assert.match((await rows.first().textContent()) ?? "", /Erasure.*ada-7.*2 days overdue/s);
    assert.match((await rows.last().textContent()) ?? "", /Copy.*carl@shop.*4 days left/s);
    await button(page, /^Which/).click();
    await page.getByRole("menuitemradio", { name: "Done" }).click();
    await button(page, /A visitor, on the privacy page/).click();
    const record = page.getByRole("dialog").locator("table");
    await record.getByText("Stays: the choices themselves, as proof.").waitFor();
    assert.equal(await button(page, "Refuse …").count(), 0, "what is closed stays closed");
  });
});

test("finding somebody, his copy, and the erasure that names the counts: by keyboard", async () => {
  await on({}, async (page, mock) => {
    await button(page, "Find").click();
    await page.getByText("Please fill this in.").waitFor();
    await page.getByLabel("Known by").selectOption({ label: "E-mail" });
    await page.getByLabel("Value").fill("ada@shop.example");
    await page.keyboard.press("Enter");
    const found = page.getByRole("region", { name: "Find somebody" });
    await found.getByText("What is held").waitFor();
    await found.getByText("1 browser is used by others as well").waitFor();
    await page.getByLabel("What is asked for").selectOption({ label: "Erasure" });
    await button(page, "Write down").press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.getByText("E-mail: ada@shop.example").waitFor();
    for (const name of ["To read", "For programs (JSON)"]) {
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        button(page, name).press("Enter"),
      ]);
      assert.match(file.suggestedFilename(), /^6C1E40A9B2D85F\d+\.(html|json)$/);
    }
    await dialog.getByText("Copy taken").last().waitFor();
    await button(page, "Erase …").press("Enter");
    await page
      .getByText("12 events, 3 visits, 1 account and 2 remembered values go from everywhere")
      .waitFor();
    await page.keyboard.press("Escape");
    assert.ok(
      !mock.requests.some((request) => request.endsWith("/erase")),
      "asking erases nothing",
    );
    await button(page, "Erase …").press("Enter");
    await button(page, "Erase now").press("Enter");
    await dialog.getByText("Everything is erased.").waitFor();
    await dialog.getByText("No longer kept").waitFor();
    await dialog.getByRole("rowheader", { name: "Events" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("2 requests wait, 1 overdue.").waitFor();
    assert.ok(
      mock.requests.every((request) => !request.includes("ada")),
      "no identifier stands in an address",
    );
  });
});

test("time is extended and a request refused for a reason only", async () => {
  await on({}, async (page) => {
    await button(page, /carl@shop/).click();
    await button(page, "Extend …").click();
    await button(page, "Extend the time").click();
    await page.getByText("Please fill this in.").waitFor();
    await page.getByLabel("Reason").fill("Three systems have to be asked.");
    await page.keyboard.press("Enter");
    await page.getByText("91 days left").first().waitFor();
    assert.equal(await button(page, "Extend …").count(), 0, "once");
    await button(page, "Refuse …").click();
    await page.getByLabel("Reason").fill("He could not be told by it.");
    await button(page, "Refuse the request").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Refused", { exact: true }).first().waitFor();
    await dialog.getByText("He could not be told by it.").first().waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("1 request waits, 1 overdue.").waitFor();
  });
});

test("how long data are kept: shown with what the job removed, chosen by the owner", async () => {
  await on({}, async (page, mock) => {
    const table = page.getByRole("region", { name: "How long data are kept" });
    await table.getByText("1,204 removed").waitFor();
    await table.getByText("as long as the site").waitFor();
    const days = page.getByLabel("Days for events and visits");
    assert.equal(await days.inputValue(), "", "the default is no choice");
    await days.fill("400");
    await page.keyboard.press("Enter");
    await table.getByText("Saved.").waitFor();
    assert.equal(await days.inputValue(), "400");
    assert.equal(mock.sites[0]?.privacy.retention?.events, 400);
    await days.fill("");
    await button(page, "Save").click();
    await page.waitForFunction(() => !document.querySelector("button:disabled"));
    await table.getByText("Saved.").waitFor();
    assert.equal(mock.sites[0]?.privacy.retention?.events, null);
  });
});

test("nobody waits: the page says so", async () => {
  await on({ visits: [] }, async (page) => {
    await page.getByText("Nobody waits for an answer.").waitFor();
    await page.getByLabel("Value").fill("nobody");
    await button(page, "Find").click();
    await page.getByText("Nothing is held of anybody with this.").waitFor();
  });
});
