import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { EMAIL, Mock, type MockOptions, PASSWORD, makeSite } from "../mock/server.ts";
import { openBrowser, openPage } from "./browser.ts";

let browser: Browser;
before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

async function on(
  path: string,
  options: MockOptions,
  work: (page: Page, mock: Mock) => Promise<void>,
) {
  const mock = await new Mock(options).start();
  const { page, troubles } = await openPage(browser, {
    permissions: ["clipboard-read", "clipboard-write"],
  });
  try {
    await page.goto(mock.origin + path);
    await work(page, mock);
    assert.deepEqual(troubles, []);
  } finally {
    await page.context().close();
    await mock.stop();
  }
}

test("from the terminal's link to a visit: account, site, pixel, first hit", async () => {
  const options = { setupNeeded: true, signedIn: false, sites: [], visits: [] };
  await on("/setup?token=setup-token", options, async (page, mock) => {
    await page.getByLabel("E-mail").fill("owner@taken.example");
    await page.getByLabel("Password").fill("short");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByText("At least 10 characters, please.").waitFor();
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByText("This address cannot be used.").waitFor();
    assert.equal(await page.getByLabel("E-mail").getAttribute("aria-invalid"), "true");
    await page.getByLabel("E-mail").fill(EMAIL);
    await page.getByRole("button", { name: "Create account" }).click();

    await page.waitForURL("**/sites/new");
    await page.getByLabel("Domain").fill("nodots");
    await page.getByRole("button", { name: "Add site" }).click();
    await page.getByText("A domain has at least one dot.").waitFor();
    await page.getByLabel("Domain").fill("https://Shop.example/start?x=1");
    await page.getByRole("button", { name: "Add site" }).click();
    await page.waitForURL("**/sites/1/pixels");
    assert.deepEqual(
      [mock.sites[0]?.domain, mock.sites[0]?.name],
      ["shop.example", "shop.example"],
    );

    await page.getByRole("button", { name: "Add pixel" }).click();
    await page.getByText("Please fill this in.").waitFor();
    await page.getByLabel("Name").fill("Main site");
    await page.getByRole("button", { name: "Add pixel" }).click();
    await page.getByText("Waiting for the first visit").waitFor();
    await page.waitForURL("**/pixels?key=*");

    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Copied").waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(copied, mock.pixels.get("1")?.[0]?.snippet);

    await page.getByRole("tab", { name: "React" }).click();
    await page.waitForURL("**&tab=react");
    await page.getByText('import { useEffect } from "react";').waitFor();

    mock.arrive("1", "/welcome");
    await page.getByRole("status").getByText("Receiving").waitFor();
    await page.getByText("/welcome").waitFor();
    await page.getByRole("link", { name: "See it in the overview" }).click();
    await page.waitForURL("**/sites/1");
    await page.waitForSelector("canvas");
  });
});

test("a password signs in, a wrong one is told, and the wanted page opens", async () => {
  await on("/sites/1/filtered", { signedIn: false }, async (page) => {
    await page.waitForURL("**/login?next=%2Fsites%2F1%2Ffiltered");
    await page.getByLabel("E-mail").fill(EMAIL);
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("The e-mail or the password is wrong.").waitFor();
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL("**/sites/1/filtered");
  });
});

test("sign-in never leads to another site", async () => {
  await on("/login?next=//evil.example/", { signedIn: false }, async (page, mock) => {
    await page.getByLabel("E-mail").fill(EMAIL);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL("**/sites/1");
    assert.equal(new URL(page.url()).origin, mock.origin);
  });
});

test("a one-time link signs in at once and leaves the address bar", async () => {
  await on("/login?token=one-time", { signedIn: false }, async (page) => {
    await page.waitForURL("**/sites/1");
    await page.goBack();
    assert.ok(!page.url().includes("one-time"));
  });
});

test("a spent link says so and offers the password", async () => {
  await on("/login?token=spent", { signedIn: false }, async (page) => {
    await page.getByText("This link has been used or has expired.").waitFor();
    assert.ok(!page.url().includes("spent"));
    await page.getByLabel("Password").waitFor();
  });
});

test("signing out ends the session; a session that ended elsewhere leads to sign-in", async () => {
  await on("/sites/1/filtered", {}, async (page, mock) => {
    await page.getByRole("button", { name: "Account and appearance" }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.waitForURL("**/login");
    assert.equal(mock.signedIn, false);
    mock.signedIn = true;
    await page.goto(`${mock.origin}/sites/1/filtered`);
    await page.waitForSelector("tbody tr");
    mock.signedIn = false;
    await page.getByRole("button", { name: /^Since:/ }).click();
    await page.getByRole("menuitemradio", { name: "Last 7 days" }).click();
    await page.waitForURL("**/login?next=*");
  });
});

test("filtered traffic: every outcome in words, and they add up", async () => {
  await on("/sites/1/filtered", {}, async (page) => {
    const table = page.getByRole("region", { name: "What became of every hit" });
    await table.getByText("Unknown key", { exact: true }).waitFor();
    const counts = await table.locator("tbody td:nth-child(2)").allTextContents();
    const sum = counts.reduce((total, text) => total + Number(text.replace(/\D/g, "")), 0);
    const received = await page.locator("dd").first().textContent();
    assert.equal(sum, Number(received?.replace(/\D/g, "")));
    await page.getByText("Says so itself: googlebot").waitFor();
    await page.getByRole("link", { name: "See them in the overview" }).click();
    await page.waitForURL("**/sites/1?bots=only");
  });
});

test("a site's settings: what is wrong is said at its field, what is right is kept", async () => {
  await on("/sites/1", {}, async (page, mock) => {
    await page.getByRole("link", { name: "Settings" }).click();
    await page.waitForURL("**/sites/1/settings");
    const save = page.getByRole("button", { name: "Save" });
    const nameField = page.getByRole("region", { name: "Site", exact: true }).getByLabel("Name");
    await nameField.fill(" ");
    await save.click();
    await page.getByText("Please fill this in.").waitFor();
    assert.ok(await nameField.evaluate((field) => field === document.activeElement));
    await nameField.fill("Stone");
    const hosts = page.getByLabel("Further hosts");
    await hosts.fill("cdn.example\nnot a host");
    await save.click();
    await page.getByText("“not a host” is not a host such as shop.example.").waitFor();
    await hosts.fill("cdn.example\nnodots");
    await save.click();
    await page.getByText("The entry must be a host name.").waitFor();
    assert.ok(await hosts.evaluate((field) => field === document.activeElement));
    assert.equal(mock.sites[0]?.name, "Stone & Linen");

    await hosts.fill("https://CDN.example/a\n\npay.example");
    await page.getByLabel("Time zone").selectOption("Europe/Tallinn");
    await page.getByLabel("Currency").selectOption("USD");
    const policy = page.getByRole("radio", { name: "By region" });
    assert.ok(await policy.isChecked());
    await policy.focus();
    await page.keyboard.press("ArrowDown");
    await page.getByRole("button", { name: "Add a place" }).click();
    await save.click();
    await page.getByText("Please fill this in.").waitFor();
    const place = page.getByRole("combobox", { name: "Place" });
    await place.fill("Germany");
    await save.click();
    await page.getByText("A place is a country (DE)").waitFor();
    await place.fill("DE");
    await page.getByText("As we read it: nothing without permission.").waitFor();
    const rule = page.getByRole("group", { name: "Rule for DE" });
    await rule.getByRole("combobox").last().selectOption({ label: "Nothing without permission" });
    await page.getByLabel("Address of your privacy policy").fill("https://shop.example/privacy");
    await page.getByRole("radio", { name: "Denies everything" }).check();
    await save.click();
    await page.getByRole("status").getByText("Saved.").waitFor();
    const { name, timezone, currency, hosts: kept, privacy } = mock.sites[0] ?? {};
    assert.deepEqual([name, timezone, currency], ["Stone", "Europe/Tallinn", "USD"]);
    assert.deepEqual(kept, ["cdn.example", "pay.example"]);
    assert.deepEqual(privacy, {
      policy: "opt_in",
      gpc: "all",
      retention: { events: null, people: null, mail_choices: null },
      places: { DE: "opt_in_strict" },
      notice: { policy_url: "https://shop.example/privacy" },
    });
    assert.equal(await hosts.inputValue(), "cdn.example\npay.example");
    await page.getByRole("button", { name: "Switch site: Stone" }).waitFor();
    await page.reload();
    assert.ok(await page.getByRole("radio", { name: "Only with permission" }).isChecked());
  });
});

test("an identity secret is shown once, replaced and removed", async () => {
  await on("/sites/1/settings", {}, async (page, mock) => {
    await page.getByText("There is none: no identification is a signed one.").waitFor();
    await page.getByRole("button", { name: "Make a secret" }).click();
    const made = page.getByRole("heading", { name: "Made", exact: true });
    await made.waitFor();
    assert.ok(await made.evaluate((heading) => heading === document.activeElement));
    const shown = () => page.getByLabel("Identity secret", { exact: true }).locator("code");
    const first = await shown().innerText();
    assert.match(first, /^ids_/);
    await page.getByRole("button", { name: "Replace it" }).click();
    const dialog = page.getByRole("dialog", { name: "Replace the identity secret?" });
    await dialog.getByRole("button", { name: "Replace it" }).click();
    await page.waitForSelector("dialog", { state: "detached" });
    assert.notEqual(await shown().innerText(), first);
    await page.reload();
    await page.getByText("There is one, made").waitFor();
    assert.equal(await page.getByText("ids_").count(), 0, "never again");
    await page.getByRole("button", { name: "Remove it" }).click();
    const removal = page.getByRole("dialog", { name: "Remove the identity secret?" });
    await removal.getByRole("button", { name: "Remove it" }).click();
    await page.getByRole("button", { name: "Make a secret" }).waitFor();
    assert.equal(mock.secrets.size, 0);
  });
});

test("the cookie report says what is set and for how long, also as text", async () => {
  await on("/sites/1/settings", {}, async (page) => {
    const table = page.getByRole("table", { name: "How long cairn_memory lives in browsers" });
    await table.getByRole("row", { name: /Safari 7 to 395 days/ }).waitFor();
    await table.getByRole("row", { name: /Firefox 395 days/ }).waitFor();
    await page.getByText("Set with permission for functional. By: Main site.").waitFor();
    const text = page.getByRole("button", { name: "Text for your privacy policy" }).first();
    assert.equal(await text.getAttribute("aria-expanded"), "false");
    await text.click();
    await page.getByText("## Cookies").waitFor();
  });
});

test("a site is deleted only when its domain is typed", async () => {
  const sites = [makeSite("1", "One", "one.example"), makeSite("2", "Two", "two.example")];
  await on("/sites/1/settings", { sites }, async (page, mock) => {
    const begin = page.getByRole("button", { name: "Delete this site" });
    await begin.click();
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    assert.ok(await begin.evaluate((button) => button === document.activeElement));
    await begin.click();
    const dialog = page.getByRole("dialog", { name: "Delete One?" });
    const action = dialog.getByRole("button", { name: "Delete site" });
    await action.click();
    await dialog.getByText("Please fill this in.").waitFor();
    await dialog.getByLabel("Type one.example to confirm").fill("two.example");
    await action.click();
    await dialog.getByText("This is not one.example.").waitFor();
    assert.equal(mock.sites.length, 2);
    await dialog.getByLabel("Type one.example to confirm").fill("one.example");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/sites");
    await page.getByText("two.example").waitFor();
    assert.equal(await page.getByText("one.example").count(), 0);
    assert.deepEqual(
      mock.sites.map((site) => site.id),
      ["2"],
    );
  });
});

test("what a script reports is ticked where its pixel is edited", async () => {
  await on("/sites/1/pixels", {}, async (page, mock) => {
    await page.getByRole("button", { name: "Edit", exact: true }).click();
    const edit = page.getByRole("dialog", { name: "Edit the pixel" });
    const tick = (name: string) => edit.getByRole("checkbox", { name, exact: true });
    assert.equal(await tick("Scroll depth").isChecked(), true);
    await tick("Scroll depth").uncheck();
    assert.equal(await edit.getByLabel("Endings of downloads").count(), 0);
    await tick("Clicks").check();
    await edit.getByLabel("Endings of downloads").fill("pdf, tar.gz");
    await tick("Site search").check();
    await edit.getByLabel("Parameters of the search page").fill("q suche");
    await tick("Ask for permission").check();
    await tick("IAB TCF").check();
    const cookies = edit.getByRole("radiogroup", {
      name: "Cookies on your pages of other domains",
    });
    assert.equal(await cookies.getByRole("radio", { name: "None" }).isChecked(), true);
    await cookies.getByText("Warning: this follows people across sites").waitFor();
    await cookies.getByRole("radio", { name: "Partitioned" }).check();
    await edit.getByRole("button", { name: "Save" }).click();
    await edit.getByText("Endings of files have 1 to 10 letters or digits").waitFor();
    await edit.getByLabel("Endings of downloads").fill("pdf, zip");
    await edit.getByRole("button", { name: "Save" }).click();
    await page.waitForSelector("dialog", { state: "detached" });
    assert.deepEqual(mock.pixels.get("1")?.[0]?.settings, {
      clicks: true,
      forms: false,
      not_found: false,
      scroll: false,
      search: true,
      sections: false,
      vitals: false,
      banner: true,
      links: false,
      hash_routes: false,
      consent_managers: ["tcf"],
      download_extensions: ["pdf", "zip"],
      search_parameters: ["q", "suche"],
    });
    assert.equal(mock.pixels.get("1")?.[0]?.cross_site_cookies, "partitioned");
  });
});

test("a pixel is renamed, and deleted after a question", async () => {
  await on("/sites/1/pixels", {}, async (page, mock) => {
    await page.getByRole("button", { name: "Edit", exact: true }).click();
    const edit = page.getByRole("dialog", { name: "Edit the pixel" });
    assert.equal(await edit.getByLabel("Name").inputValue(), "Main site");
    await edit.getByLabel("Name").fill("Shop window");
    await edit.getByLabel("Page or site address").fill("shop.example");
    await edit.getByRole("button", { name: "Save" }).click();
    await edit.getByText("The URL must begin with http:// or https://.").waitFor();
    await edit.getByLabel("Page or site address").fill("https://shop.example/");
    await edit.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: "Shop window" }).waitFor();
    await page.waitForSelector("dialog", { state: "detached" });
    const [pixel] = mock.pixels.get("1") ?? [];
    assert.deepEqual([pixel?.name, pixel?.url], ["Shop window", "https://shop.example/"]);

    const remove = page.getByRole("button", { name: "Delete", exact: true });
    await remove.click();
    await page.getByRole("button", { name: "Cancel" }).click();
    assert.equal(mock.pixels.get("1")?.length, 1);
    await remove.click();
    await page.getByRole("button", { name: "Delete pixel" }).click();
    await page.getByText("No pixel yet.").waitFor();
    assert.deepEqual(mock.pixels.get("1"), []);
  });
});

test("an address that is none says so", async () => {
  await on("/nowhere/at/all", {}, async (page) => {
    await page.getByText("There is no page at this address.").waitFor();
    await page.getByRole("link", { name: "Go to your sites" }).click();
    await page.waitForURL("**/sites/1");
  });
});

test("leaving a page closes its live view", async () => {
  await on("/sites/1", {}, async (page, mock) => {
    await page.getByText("23 now").waitFor();
    assert.equal(mock.listeners("1"), 1);
    const closed = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/live"));
    await page.getByRole("link", { name: "Filtered traffic" }).first().click();
    await closed;
  });
});

test("permission: rates by region, receipts by filter and page, and the file of all of them", async () => {
  await on("/sites/1/permission", {}, async (page, mock) => {
    const rates = page.getByRole("region", { name: "How often permission is given" });
    await rates.getByText("27 of 40").waitFor();
    await rates.getByRole("button", { name: "United States" }).click();
    await page.waitForURL("**/permission?region=US");
    await rates.getByText("of 10").first().waitFor();
    await rates.getByRole("button", { name: "All" }).click();
    await rates.getByText("27 of 40").waitFor();

    const list = page.getByRole("region", { name: "Receipts", exact: true });
    await list.getByText("A person was erased from 1 receipt").waitFor();
    assert.equal(await list.locator("tbody tr").count(), 25);
    await list.getByRole("button", { name: "Show more" }).click();
    await list.getByRole("rowheader", { name: "1", exact: true }).waitFor();
    assert.equal(await list.locator("tbody tr").count(), 41);
    await list.getByRole("button", { name: /^Choice:/ }).click();
    await list.getByRole("menuitemradio", { name: "Analytics refused" }).click();
    await list.getByText("names nobody").first().waitFor();
    await page.waitForFunction(
      () =>
        document.querySelectorAll("section[aria-labelledby=receipts-title] tbody tr").length === 13,
    );
    assert.equal(await list.locator("tbody code").count(), 0, "no refusal names anybody");
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      list.getByRole("button", { name: "CSV", exact: true }).click(),
    ]);
    assert.equal(file.suggestedFilename(), "receipts.csv");
    assert.ok(mock.requests.includes("GET /api/v1/sites/1/receipts/export"));
  });
});

test("permission: the chain is checked, and an event says why it was kept", async () => {
  await on("/sites/1/permission", {}, async (page, mock) => {
    const chain = page.getByRole("region", { name: "Chain of receipts" });
    await chain.getByRole("status").getByText("Unchanged: 41 receipts").waitFor();
    mock.soundReceipts = false;
    await chain.getByRole("button", { name: "Check again" }).click();
    await chain.getByRole("status").getByText("The receipts were changed").waitFor();
    await chain.getByText("Receipt 7: the entry does not hash to what stands in it").waitFor();
    const kept = page.getByRole("region", { name: "Why was this kept?" });
    await kept.locator("summary").first().click();
    await kept.getByText("The visitor's yes came with the event.").first().waitFor();
    await kept
      .getByText(/^Number 7 of .*, Banner, shown: 2026-11-a, de/)
      .first()
      .waitFor();
  });
});
