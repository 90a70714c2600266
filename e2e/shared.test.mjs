// A shared report, from the owner's settings to a stranger's browser: server and dashboard are the real ones, the figures
// those of the demonstration.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

let server;
let browser;
let site;

before(async () => {
  server = await Server.start();
  browser = await launchBrowser();
  site = (await server.api("GET", "/api/v1/sites")).items[0];
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A browser of its own, whose page's own mistakes end the test. */
async function visitor(options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (fault) => faults.push(fault.stack));
  return { context, page, faults };
}

test("an owner makes a link, a stranger reads it, and it ends", async () => {
  const owner = await visitor({ viewport: { width: 1280, height: 900 } });
  await owner.page.goto(server.loginUrl);
  await owner.page.waitForURL((url) => !url.pathname.startsWith("/login"));
  await owner.page.goto(`${server.origin}/sites/${site.id}/settings`);
  const panel = owner.page.getByRole("region", { name: "Shared reports" });
  await panel.getByLabel("For whom").fill("The press");
  await panel.getByLabel("Fewest visitors in a group").fill("2");
  await panel.getByRole("button", { name: "Make a link" }).click();
  await panel.getByText("The number must be from 3 to 1000.").waitFor();
  await panel.getByLabel("Fewest visitors in a group").fill("500");
  await panel.getByRole("button", { name: "Make a link" }).click();
  const link = await panel.locator("pre").innerText();
  assert.match(link, /\/shared#share_[0-9a-z]{40}$/);
  await assertAccessible(owner.page, "settings with a shared report");

  for (const [colorScheme, width] of [["light", 1280], ["dark", 390]]) {
    const reader = await visitor({ colorScheme, viewport: { width, height: 900 } });
    const told = [];
    reader.page.on("request", (request) => told.push(request.url()));
    await reader.page.goto(link);
    await reader.page.getByRole("heading", { name: `Visits to ${site.name}` }).waitFor();
    const sources = reader.page.getByRole("region", { name: "Sources" });
    await sources.getByRole("row", { name: /Google/ }).waitFor();
    await reader.page.locator("[aria-busy=false]").waitFor();
    await reader.page.waitForLoadState("networkidle");
    await assertAccessible(reader.page, `shared report, ${colorScheme}, ${width} wide`);
    const wide = await reader.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${wide} pixels on a screen of ${width}`);
    assert.deepEqual(told.filter((url) => url.includes("share_")), [], "the link stays in the browser");
    // The same figures over the API: what is shown is what the owner sees, rounded and without the small groups.
    const asked = { site_id: site.id, metrics: ["visitors"], date_range: "30d" };
    const all = await server.api("POST", "/api/v2/query", asked);
    const card = reader.page.locator("dd").first();
    assert.equal(
      await card.getAttribute("title"),
      new Intl.NumberFormat("en-US").format(Math.round(all.results[0].metrics[0] / 500) * 500),
    );
    const countries = await server.api("POST", "/api/v2/query", { ...asked, dimensions: ["visit:country"] });
    const large = countries.results.filter(({ metrics }) => metrics[0] >= 500);
    assert.ok(large.length < countries.results.length, "there are small groups");
    const places = reader.page.getByRole("region", { name: "Places" });
    const shown = await places.getByRole("row").count();
    assert.ok(shown - 1 <= Math.min(10, large.length), `${shown - 1} of ${large.length} large ones`);
    await places.getByText(/left out/).waitFor();
    assert.deepEqual(reader.faults, []);
    await reader.context.close();
  }

  await panel.getByRole("button", { name: "End “The press”" }).click();
  await owner.page.getByRole("dialog").getByRole("button", { name: "End", exact: true }).click();
  await panel.getByText("Nothing is shared.").waitFor();
  assert.deepEqual(owner.faults, []);
  await owner.context.close();
  const late = await visitor();
  await late.page.goto(link);
  await late.page.getByText("This link opens nothing (any more).").waitFor();
  await late.context.close();
});
