// A link from one of the owner's domains to another carries the visit: in real browsers, with a collector on each domain,
// against the real server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

const AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

let server;
let browser;
let pages;
let site;
let one;
let two;

before(async () => {
  server = await Server.start();
  const made = { name: "Links", domain: "own.test", hosts: ["sister.test"], privacy: { policy: "opt_in" } };
  site = await server.api("POST", "/api/v1/sites", made);
  const pixel = { name: "Links", kind: "web", settings: { links: true } };
  const { key } = await server.api("POST", `/api/v1/sites/${site.id}/pixels`, pixel);
  const { port } = new URL(server.origin);
  pages = createServer((request, response) => {
    const host = request.headers.host.split(":")[0];
    const { pathname } = new URL(request.url, "http://any.test");
    const silent = pathname === "/silent" ? "" : 'cairn("consent",{analytics:"granted"})';
    const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">
      <script>window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)};${silent}</script>
      <script async src="http://stats.${host}:${port}/cairn.js?key=${key}"></script></head>
      <body><h1>Shop</h1><a href="${two}/shoes?sku=7#top">Our other shop</a> <a href="/inside">Inside</a></body></html>`;
    response.writeHead(200, { "Content-Type": "text/html" }).end(html);
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  [one, two] = ["own.test", "sister.test"].map((host) => `http://${host}:${pages.address().port}`);
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  pages?.close();
  if (server) assert.equal(await server.stop(), 0);
});

async function newPage() {
  const context = await browser.newContext({ userAgent: AGENT });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  return page;
}

/** Does something that brings a page's first report, and waits for its answer. */
async function viewed(page, act) {
  const answer = page.waitForResponse(
    (response) => response.url().endsWith("/e") && /page_view/.test(response.request().postData()),
  );
  await act();
  await (await answer).finished();
}

const link = (page) => page.getByRole("link", { name: "Our other shop" });

/** Points at the link until its word has come. */
async function point(page) {
  const answer = page.waitForResponse((response) => response.url().includes("/link.json"));
  await link(page).hover();
  const response = await answer;
  await response.finished();
  return (await response.json()).link;
}

/** The visitors of the views of a page on a host, the newest first; empty where nobody was known. */
async function visitors(path, count) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const { items } = await server.api("GET", `/api/v1/sites/${site.id}/events?limit=200`);
    assert.ok(!JSON.stringify(items).includes("cairn_link"), "no event holds the word");
    const views = items.filter(({ event, url }) => event === "page_view" && url.includes(path));
    if (views.length >= count) {
      return views.map((view) => (view.identification === "identified" ? view.visitor_id : ""));
    }
    assert.ok(Date.now() < deadline, `never stored: ${path}`);
  }
}

test("the visit goes over with the link, and with nobody whom the address is passed on to", async () => {
  const page = await newPage();
  await viewed(page, () => page.goto(`${one}/start`));
  assert.match(await point(page), /^[\w-]+$/);
  const arrived = page.waitForRequest((request) => request.url().startsWith(`${two}/shoes`));
  await viewed(page, () => link(page).click());
  const address = (await arrived).url();
  assert.match(address, /\/shoes\?sku=7&cairn_link=[\w-]+/);
  await page.waitForFunction(() => !location.href.includes("cairn_link"));
  assert.equal(page.url(), `${two}/shoes?sku=7#top`, "nothing else of the address changed");
  const [start] = await visitors("/start", 1);
  const [shoes] = await visitors("/shoes", 1);
  assert.match(start, /^[0-9a-f]{16}$/);
  assert.equal(shoes, start);
  const ids = (await page.context().cookies()).filter(({ name }) => name === "cairn_id");
  assert.deepEqual(ids.map(({ domain }) => domain).sort(), ["stats.own.test", "stats.sister.test"]);
  assert.equal(ids[0].value, ids[1].value);

  const other = await newPage();
  await viewed(other, () => other.goto(address));
  const [stranger] = await visitors("/shoes", 2);
  assert.match(stranger, /^[0-9a-f]{16}$/);
  assert.notEqual(stranger, start);
  await other.context().close();
  await page.context().close();
});

test("the link that stands on the page stays what it was, for whoever copies it", async () => {
  const page = await newPage();
  await viewed(page, () => page.goto(`${one}/copied`));
  await point(page);
  assert.equal(await link(page).getAttribute("href"), `${two}/shoes?sku=7#top`);
  await page.evaluate(() => {
    addEventListener("click", (click) => {
      window.followed = click.target.href;
      click.preventDefault();
    });
  });
  await link(page).click();
  assert.match(await page.evaluate(() => window.followed), /cairn_link=/);
  await page.waitForFunction((href) => document.querySelector("a").getAttribute("href") === href, `${two}/shoes?sku=7#top`);
  await page.context().close();
});

test("without permission there is no word, and links on the own domain are left alone", async () => {
  const page = await newPage();
  const asked = [];
  page.on("request", (request) => request.url().includes("/link.json") && asked.push(request.url()));
  await viewed(page, () => page.goto(`${one}/silent`));
  assert.equal(await point(page), null);
  await page.getByRole("link", { name: "Inside" }).hover();
  const before = page.url();
  await viewed(page, () => link(page).click());
  assert.notEqual(page.url(), before);
  assert.equal(page.url(), `${two}/shoes?sku=7#top`);
  assert.equal(asked.length, 1, "for the other domain only");
  await page.context().close();
});
