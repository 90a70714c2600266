// The Overview on the real server, with the demonstration's figures: goals, notes, segments, the events behind a number,
// what may be taken along, the palette, and data that would like to be markup or a formula.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

let server;
let browser;
let context;
let site;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launchBrowser()]);
  site = (await server.api("GET", "/api/v1/sites")).items[0];
  context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  await page.goto(server.loginUrl);
  await page.waitForURL((url) => !url.pathname.startsWith("/login"));
  await page.close();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A page of the Overview that has its answers; its own mistakes end the test. */
async function overview(search, work) {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const faults = [];
  page.on("pageerror", (fault) => faults.push(String(fault)));
  page.on("console", (line) => {
    if (["warning", "error"].includes(line.type())) faults.push(line.text());
  });
  await page.goto(`${server.origin}/sites/${site.id}${search}`);
  await settled(page);
  await work(page);
  assert.deepEqual(faults, []);
  await page.close();
}

async function settled(page) {
  await page.locator("canvas").first().waitFor();
  await page.waitForFunction(
    () =>
      !document.querySelector("main [aria-busy=true], main .stale") &&
      document.querySelectorAll("main .card .skeleton").length === 0,
  );
}

const ask = (body) => server.api("POST", "/api/v2/query", { site_id: site.id, ...body });

const card = (page, name) => page.getByRole("button", { name: new RegExp(`^${name} `) });

/** The exact number of a card. */
async function numberOf(page, name) {
  const text = await card(page, name).locator(".value").getAttribute("title");
  return Number(text.replace(/[^\d.]/g, ""));
}

/** The days that the page shows unless told otherwise, by its own question. */
async function questionOf(page, what = "Visitors") {
  await page.getByRole("button", { name: `Copy or download: ${what}` }).click();
  await page.getByRole("menuitem", { name: "Copy as query (JSON)" }).click();
  await page.getByText("Copied", { exact: true }).waitFor();
  return JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
}

test("conversions, revenue and return are those of orders and costs, as on the page about campaigns", async () => {
  await overview("", async (page) => {
    const { date_range } = await questionOf(page);
    const metrics = ["conversions", "revenue", "roas"];
    const [row] = (await ask({ metrics, date_range })).results;
    const [conversions, revenue, roas] = row.metrics;
    assert.ok(conversions > 100 && revenue.value > 1000 && roas > 1);
    assert.equal(await numberOf(page, "Conversions"), conversions);
    assert.equal(await numberOf(page, "Revenue"), Math.round(revenue.value * 100) / 100);
    assert.equal(await numberOf(page, "Return on ads"), Math.round(roas * 100) / 100);
    // A goal that counts something else changes no money.
    const goals = (await server.api("GET", `/api/v1/sites/${site.id}/goals`)).items;
    assert.ok(goals.some((goal) => goal.display_name !== "Purchase"), "the demonstration has other goals");
    const [high, wide] = await page.evaluate(() => {
      const { scrollHeight, scrollWidth } = document.documentElement;
      return [scrollHeight, scrollWidth];
    });
    assert.ok(high <= 900 && wide <= 1440, `one screen without scrolling: ${wide} x ${high}`);

    await page.getByRole("img", { name: /^Visitors, / }).focus();
    await page.keyboard.press("Home");
    await page.getByText(/, Visitors \d.*Revenue €/).waitFor({ state: "attached" });
    await card(page, "Revenue").click();
    await page.waitForURL(/metric=revenue/);
    await page.getByRole("img", { name: /^Revenue, / }).waitFor();
  });
});

test("goals, funnels and returns stand beside the sources, and a goal filters", async () => {
  await overview("", async (page) => {
    const panel = (name) => page.getByRole("region", { name, exact: true });
    const goal = panel("Goals").locator(".row").first();
    await panel("Goals").getByRole("tab", { name: "Funnels" }).click();
    await page.waitForURL(/goals=funnel/);
    const funnel = panel("Goals").getByRole("link").first();
    await funnel.waitFor();
    const { items } = await server.api("GET", `/api/v1/sites/${site.id}/funnels`);
    assert.equal((await funnel.locator(".name").textContent()).trim(), items[0].name);
    await panel("Sources").getByRole("tab", { name: "ROI" }).click();
    await page.waitForURL(/sources=return/);
    await panel("Sources").getByRole("button", { name: /^tents Cost: €.*Revenue: €.*ROI: / }).waitFor();
    await panel("Pages").getByRole("tab", { name: "Sections" }).click();
    await page.waitForURL(/pages=section/);
    await settled(page);
    await assertAccessible(page, "goals, funnels and returns");
    await panel("Goals").getByRole("tab", { name: "All" }).click();
    await goal.click();
    await page.waitForURL(/f=is,event:goal,/);
    await settled(page);
    await panel("Goals").locator(".row[aria-pressed=true]").waitFor();
  });
});

test("a day is noted, found by the keyboard, changed and forgotten", async () => {
  await overview("", async (page) => {
    await page.getByRole("button", { name: /Autumn sale began$/ }).waitFor();
    await page.keyboard.press("o");
    const dialog = page.getByRole("dialog", { name: "Notes" });
    await dialog.getByRole("button", { name: "Add note" }).click();
    await dialog.getByText("Please fill this in.").waitFor();
    await dialog.getByLabel("Note", { exact: true }).fill("New <b>prices</b>");
    await dialog.getByRole("button", { name: "Add note" }).click();
    await dialog.getByRole("listitem").filter({ hasText: "New <b>prices</b>" }).waitFor();
    await assertAccessible(page, "notes");
    await page.keyboard.press("Escape");
    const mark = page.getByRole("button", { name: /New <b>prices<\/b>$/ });
    await mark.focus();
    await page.keyboard.press("Enter");
    await dialog.getByRole("button", { name: "Change the note “New <b>prices</b>”" }).click();
    await dialog.getByLabel("Note", { exact: true }).fill("Old prices");
    await dialog.getByRole("button", { name: "Save", exact: true }).click();
    await dialog.getByRole("button", { name: "Remove the note “Old prices”" }).click();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /prices/ }).waitFor({ state: "detached" });
  });
});

test("filters become a segment, which is chosen, left and removed", async () => {
  await overview("?f=is,visit:source,Google&f=is,visit:device,mobile", async (page) => {
    const visitors = await numberOf(page, "Visitors");
    await page.keyboard.press("s");
    await page.getByLabel("Name of the segment").fill("Phones from Google");
    await page.getByRole("button", { name: "Save these filters" }).click();
    await page.waitForURL((url) => url.searchParams.has("segment") && !url.searchParams.has("f"));
    await page.getByRole("button", { name: "Leave the segment “Phones from Google”" }).waitFor();
    await settled(page);
    assert.equal(await numberOf(page, "Visitors"), visitors);
    await page.keyboard.press("s");
    await page.getByRole("menuitemradio", { name: "No segment" }).click();
    await page.waitForURL((url) => !url.searchParams.has("segment"));
    await settled(page);
    assert.ok((await numberOf(page, "Visitors")) > visitors);

    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("segment phones google");
    await page.keyboard.press("Enter");
    await page.waitForURL(/segment=/);
    await page.keyboard.press("s");
    await page.getByRole("button", { name: "Remove the segment “Phones from Google”" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await page.waitForURL((url) => !url.searchParams.has("segment"));
  });
});

test("numbers open their events, and closing them leaves the place as it was", async () => {
  await overview("", async (page) => {
    await page.getByRole("button", { name: "Events behind Page views" }).click();
    await page.waitForURL(/events=is,event:name,pageview/);
    const rows = page.getByRole("dialog").locator("tbody tr");
    await rows.first().waitFor();
    const names = await rows.locator("td:nth-child(2)").allTextContents();
    assert.deepEqual([...new Set(names)], ["page_view"]);
    await page.getByRole("button", { name: "Show more" }).click();
    await page.waitForFunction(() => document.querySelectorAll("dialog tbody tr").length === 100);
    await assertAccessible(page, "events");
    await page.goBack();
    await page.getByRole("dialog").waitFor({ state: "detached" });

    await page.getByRole("button", { name: "All rows of Sources" }).click();
    const details = page.getByRole("dialog", { name: /^Sources/ });
    await details.getByRole("button", { name: "Events behind Bing" }).click();
    const events = page.getByRole("dialog", { name: "Events: Bing" });
    await events.locator("tbody tr").first().waitFor();
    const from = await events.locator("tbody td:nth-child(4)").allTextContents();
    assert.ok(from.every((text) => text.startsWith("Bing")));
    await page.keyboard.press("Escape");
    await details.getByRole("button", { name: "Events behind Bing" }).waitFor();
    await page.keyboard.press("Escape");

    // An interval of the chart, by the keyboard.
    await page.getByRole("img", { name: /^Visitors, / }).focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("Enter");
    await page.waitForURL(/events=\d{4}-\d\d-\d\d\.\.\d{4}-\d\d-\d\d/);
    await page.getByRole("dialog").locator("tbody tr").first().waitFor();
  });
});

test("what is shown is taken along: as a question, as a command, with all rows", async () => {
  await overview("?f=is,visit:source,Google", async (page) => {
    const question = await questionOf(page);
    const { results } = await server.api("POST", "/api/v2/query", question);
    assert.equal(results.length, 30);
    await page.getByRole("button", { name: "Copy or download: Visitors" }).click();
    await page.getByRole("menuitem", { name: "Copy as curl" }).click();
    await page.waitForFunction(async () => (await navigator.clipboard.readText()).startsWith("curl "));
    const command = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok(command.includes(`'${server.origin}/api/v2/query'`) && command.includes("$CAIRN_TOKEN"));

    await page.getByRole("button", { name: "All rows of Pages" }).click();
    const dialog = page.getByRole("dialog");
    const [, all] = /of (\d+) rows/.exec(await dialog.getByText(/of \d+ rows/).innerText());
    await dialog.getByRole("button", { name: "Copy or download: Page" }).click();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      dialog.getByRole("menuitem", { name: "Download as CSV, all rows" }).click(),
    ]);
    const lines = (await readFile(await file.path(), "utf8")).trimEnd().split("\r\n");
    assert.match(lines[0], /^event:page,visitors,/);
    assert.equal(lines.length - 1, Number(all));
  });
});

test("the palette and the list of keys are for everybody", async () => {
  await overview("", async (page) => {
    await page.getByRole("button", { name: "Search commands" }).click();
    const input = page.getByRole("combobox");
    await input.fill("last 7");
    await assertAccessible(page, "palette");
    await page.keyboard.press("Enter");
    await page.waitForURL(/period=7d/);
    await page.keyboard.press("Control+k");
    await input.fill("pixels");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/pixels$/);
    // Where there is no Overview its commands are not offered.
    await page.keyboard.press("Control+k");
    await input.fill("last 7");
    await page.getByText("Nothing is called so.").waitFor();
    await page.keyboard.press("Escape");
    await page.goBack();
    await settled(page);
    await page.keyboard.press("?");
    const keys = page.getByRole("dialog", { name: "Keyboard" });
    await keys.getByText("All commands").waitFor();
    await assertAccessible(page, "keys");
  });
});

test("dragging over the chart zooms in", async () => {
  await overview("", async (page) => {
    const box = await page.locator("canvas").first().boundingBox();
    await page.mouse.move(box.x + box.width * 0.4, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL(/from=\d{4}-\d\d-\d\d&to=\d{4}-\d\d-\d\d/);
  });
});

test("what visitors send is text: no markup, no formula", async () => {
  const EVIL = `<img src=x onerror="window.owned=1">`;
  const FORMULA = "=HYPERLINK(1)";
  const lines = [FORMULA, EVIL].map((utm_source, index) =>
    JSON.stringify({
      event: "page_view",
      timestamp: new Date(Date.now() - 60_000).toISOString(),
      url: `${site.domain.includes("://") ? "" : "http://"}${site.domain}/${encodeURIComponent(EVIL)}?utm_source=${encodeURIComponent(utm_source)}&utm_campaign=hostile`,
      title: EVIL,
      visitor_id: `hostile-${index}`,
      geo: { country: "DE", city: EVIL },
    }),
  );
  const answer = await fetch(`${server.origin}/api/v1/sites/${site.id}/import`, {
    method: "POST",
    headers: { Authorization: `Bearer ${server.token}` },
    body: lines.join("\n"),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  const filters = [["is", "visit:utm_campaign", ["hostile"]]];
  const segment = await server.api("POST", `/api/v1/sites/${site.id}/segments`, { name: EVIL, filters });
  // Today, where the site is.
  const date = new Intl.DateTimeFormat("en-CA", { timeZone: site.timezone }).format();
  await server.api("POST", `/api/v1/sites/${site.id}/annotations`, { date, note: EVIL });
  await overview(`?segment=${segment.id}`, async (page) => {
    const sources = page.getByRole("region", { name: "Sources" });
    await sources.getByRole("button", { name: FORMULA }).first().waitFor();
    await sources.getByText(EVIL).waitFor();
    await page.getByRole("img", { name: /^Visitors, / }).focus();
    await page.keyboard.press("End");
    await page.locator(".chart-tip").getByText(EVIL).waitFor();
    await page.getByRole("button", { name: "All rows of Sources" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(EVIL).waitFor();
    await dialog.getByRole("button", { name: "Copy or download: Source" }).click();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      dialog.getByRole("menuitem", { name: "Download as CSV, all rows" }).click(),
    ]);
    const text = await readFile(await file.path(), "utf8");
    assert.ok(text.includes(`"'${FORMULA}",1,`), text);
    await dialog.getByRole("button", { name: `Events behind ${FORMULA}` }).click();
    await page.getByRole("dialog", { name: /^Events/ }).locator("tbody tr").first().waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("onerror");
    await page.getByRole("option").getByText(EVIL).waitFor();
    assert.equal(await page.evaluate(() => window.owned), undefined);
  });
});

for (const [colorScheme, width, height] of [
  ["light", 1440, 900],
  ["dark", 1440, 900],
  ["light", 390, 844],
  ["dark", 390, 844],
]) {
  test(`everybody can use it: ${colorScheme}, ${width} wide`, async () => {
    await overview("", async (page) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      await settled(page);
      await assertAccessible(page, `overview, ${colorScheme}, ${width} wide`);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    });
  });
}
