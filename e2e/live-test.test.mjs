// The live test in a browser: the owner presses the button, his own site opens in a new tab, and the
// dashboard shows what became of the visit. Server, tracker and dashboard are the real ones; the site
// is a page of this test, on an origin of its own.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

const AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const STAGES = ["Received", "Permission", "Recognised", "Stored"];

let browser;
let server;
let shop;
/** Where the browser finds the server: on the site's own domain, as an owner sets it up. */
let stats;
let site;
let pixel;

/** Pages of the shop, by path: what stands in their head, and their policy. */
const pages = new Map();

before(async () => {
  shop = createServer((request, response) => {
    const path = new URL(request.url, "http://shop.test").pathname;
    const page = pages.get(path);
    if (!page) return response.writeHead(404).end();
    const policy = page.policy ? { "Content-Security-Policy": page.policy } : {};
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", ...policy });
    response.end(`<!doctype html><title>Shop</title>${page.head}<p>${"Stones. ".repeat(50)}</p>`);
  });
  shop.listen(0, "127.0.0.1");
  await once(shop, "listening");
  server = await Server.start();
  browser = await launchBrowser();
  stats = server.origin.replace("127.0.0.1", "stats.shop.test");
  site = await server.api("POST", "/api/v1/sites", { name: "Shop", domain: "shop.test" });
  pixel = await add("web", address("shop.test", "/"));
  const image = await add("image", address("shop.test", "/image"));
  const script = (key) => `<script async src="${stats}/cairn.js?key=${key}"></script>`;
  const yes =
    "<script>window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)};" +
    'cairn("consent",{analytics:"granted"})</script>';
  pages.set("/", { head: script(pixel.key) });
  pages.set("/consent", { head: yes + script(pixel.key) });
  pages.set("/old", { head: script("px_of_a_pixel_that_is_gone") });
  pages.set("/strict", { head: script(pixel.key), policy: "script-src 'self'" });
  pages.set("/quiet", { head: script(pixel.key), policy: `script-src ${stats}; connect-src 'self'` });
  pages.set("/image", { head: image.snippet.replaceAll(server.origin, stats) });
});

after(async () => {
  await browser?.close();
  shop?.close();
  if (server) assert.equal(await server.stop(), 0, "SIGTERM ends it cleanly");
});

const address = (host, path) => `http://${host}:${shop.address().port}${path}`;

const add = (kind, url) =>
  server.api("POST", `/api/v1/sites/${site.id}/pixels`, { name: `Our ${kind}`, kind, url });

/** The dashboard's page of a pixel, with its owner signed in. */
async function dashboard(work, key = pixel.key) {
  const context = await browser.newContext({ userAgent: AGENT, locale: "en-GB" });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const faults = [];
  page.on("pageerror", (fault) => faults.push(String(fault)));
  try {
    // The link that the server prints works once; a session of the same account is asked for anew.
    await context.addCookies([await session()]);
    await page.goto(`${stats}/sites/${site.id}/pixels?key=${key}`);
    await work(page, context);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
}

let kept;
async function session() {
  if (kept) return kept;
  const context = await browser.newContext();
  const page = await context.newPage();
  const link = new URL(server.loginUrl);
  await page.goto(stats + link.pathname + link.search);
  await page.getByRole("link", { name: "Shop", exact: false }).first().waitFor();
  kept = (await context.cookies(stats)).find(({ httpOnly }) => httpOnly);
  await context.close();
  return kept;
}

/** Presses the button; answers with the tab that opens. */
async function start(page, context, url) {
  if (url) await page.getByLabel("Page to open").fill(url);
  const [tab] = await Promise.all([
    context.waitForEvent("page"),
    page.getByRole("button", { name: /^(Start the live test|Test again)$/ }).click(),
  ]);
  await tab.waitForURL(/cairn_test=[0-9a-f]{16}/);
  assert.equal(await tab.evaluate(() => window.opener), null, "the page has no hold on the dashboard");
  return tab;
}

/** Waits until the first hit came as far as it comes; answers with the marks and words of its stages. */
async function stages(page, last = "Stored") {
  const stage = page.locator(".stages li").filter({ hasText: last });
  await stage.and(page.locator(".passed, .failed")).waitFor();
  const lines = page.locator(".stages li");
  assert.deepEqual(await lines.locator(".name").allTextContents(), STAGES);
  const marks = await lines.evaluateAll((all) =>
    all.map((one) => ["passed", "failed"].find((name) => one.classList.contains(name)) ?? "waiting"),
  );
  return { marks, words: await lines.locator(".about").allTextContents() };
}

const ALL_PASSED = ["passed", "passed", "passed", "passed"];

test("a visit with consent lights up stage by stage, and the code is in no report", async () => {
  await dashboard(async (page, context) => {
    const tab = await start(page, context, address("shop.test", "/consent?sku=7"));
    const { marks, words } = await stages(page);
    assert.deepEqual(marks, ALL_PASSED);
    assert.equal(words[0], "page_view by the script, from shop.test.");
    assert.equal(words[1], "May be recognised. The page sent a yes along.");
    assert.match(words[2], /^A new visitor, who gets a first-party cookie · Chrome, Linux, desktop/);
    assert.match(words[3], /^In the reports \d.* s after it arrived\.$/);
    const spoken = page.locator('.sr[aria-live="polite"]').filter({ hasText: ": passed." });
    assert.match(await spoken.textContent(), /^\w+: passed\. ./);

    // The same browser again: its cookie is known now.
    await tab.close();
    await start(page, context);
    const again = await stages(page);
    assert.match(again.words[2], /^A visitor who was here before/);

    const { items } = await server.api("GET", `/api/v1/sites/${site.id}/events?limit=20`);
    assert.ok(items.some((event) => event.page === "/consent"));
    assert.ok(!JSON.stringify(items).includes("cairn_test"));
  });
});

test("a visit without consent is counted without being recognised, and says by which rule", async () => {
  await dashboard(async (page, context) => {
    const tab = await start(page, context);
    assert.equal(new URL(tab.url()).origin, new URL(pixel.url).origin);
    const { marks, words } = await stages(page);
    assert.deepEqual(marks, ALL_PASSED);
    assert.match(words[1], /^Counted without being recognised: .* the region is unknown/);
    assert.match(words[2], /^An anonymous visitor · Chrome/);
    assert.deepEqual(await context.cookies(address("shop.test", "/")), []);
  });
});

test("an origin that the site does not list is named as the reason", async () => {
  await dashboard(async (page, context) => {
    await start(page, context, address("stranger.test", "/consent"));
    const { marks, words } = await stages(page);
    assert.deepEqual(marks, ALL_PASSED);
    assert.match(words[0], /from stranger\.test\.$/);
    assert.match(words[1], /^Counted without being recognised: .*The page’s origin is not one of the site/);
    // What the browser repeats without cookies is counted once.
    await page.getByText("a repetition, counted once").first().waitFor();
  });
});

test("the key of a pixel that is gone ends at the first stage", async () => {
  await dashboard(async (page, context) => {
    await start(page, context, address("shop.test", "/old"));
    const { marks, words } = await stages(page, "Received");
    assert.deepEqual(marks, ["failed", "waiting", "waiting", "waiting"]);
    assert.match(words[0], /The page has a key that no pixel has/);
  });
});

test("a page that blocks the tracker is told what to look at", async () => {
  await dashboard(async (page, context) => {
    await start(page, context, address("shop.test", "/strict"));
    const nothing = page.getByRole("status").filter({ hasText: "Nothing has arrived" });
    await nothing.getByText("Content-Security-Policy forbids it").waitFor();
    assert.equal(await nothing.getByText("The script was loaded").count(), 0);

    // Its policy lets the script in and the events not out.
    await start(page, context, address("shop.test", "/quiet"));
    await nothing.getByText("The script was loaded").waitFor();
  });
});

test("an image is told, although browsers keep the page's address from it", async () => {
  const { items } = await server.api("GET", `/api/v1/sites/${site.id}/pixels`);
  const image = items.find(({ kind }) => kind === "image");
  await dashboard(async (page, context) => {
    await start(page, context);
    const { marks, words } = await stages(page);
    assert.deepEqual(marks, ALL_PASSED);
    assert.equal(words[0], "page_view by the image, from shop.test.");
  }, image.key);
});

test("a server's pixel is watched as a whole", async () => {
  const secret = await add("server", "");
  await dashboard(async (page) => {
    await page.getByRole("button", { name: "Start the live test" }).click();
    await page.getByText("Waiting for the first hit").waitFor();
    const events = [{ event: "purchase", user_id: "customer-7", value: 5, currency: "EUR" }];
    const send = (body) => fetch(`${server.origin}/e`, { method: "POST", body: JSON.stringify(body) });
    const answer = await send({ key: secret.key, consent: "analytics:granted", events });
    assert.equal(answer.status, 202);
    const { marks, words } = await stages(page);
    assert.deepEqual(marks, ALL_PASSED);
    assert.equal(words[0], "purchase without a browser.");
    assert.match(words[2], /^A visitor named by an id that was sent/);
    assert.ok(!(await page.locator("body").textContent()).includes("customer-7"));
    await send({ key: secret.key, events: [{ event: "purchase", colour: "red" }] });
    await page.getByText("Unknown field", { exact: true }).waitFor();
  }, secret.key);
});
