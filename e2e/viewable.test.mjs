// When an advertisement was in view: the script as the server sends it, in the page itself and in a frame of another
// origin, as ad servers put it. Absence is shown by another advertisement that reports afterwards.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launchBrowser } from "./browser.mjs";

const script = readFileSync(
  new URL("../crates/cairn_server/src/collect/viewable.js", import.meta.url),
);
const SECOND_MS = 1_000;

let browser;
let server;
let port;
let page;
/** Address of every image that was asked for, with the time. */
let images;
/** When the script was asked for. */
let scriptAt;
/** What the pages are. */
let html;
let waiting;

before(async () => {
  browser = await launchBrowser();
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://any.test");
    if (pathname.endsWith(".js")) {
      scriptAt = performance.now();
      response.writeHead(200, { "content-type": "text/javascript" }).end(script);
    } else if (pathname.endsWith(".gif")) {
      images.push({ address: request.url, at: performance.now() });
      response.writeHead(204).end();
      for (const check of waiting) check();
    } else {
      const body = html[pathname];
      response.writeHead(body ? 200 : 404, { "content-type": "text/html" });
      response.end(`<!doctype html><body style="margin:0">${body ?? ""}`);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = server.address().port;
});

after(async () => {
  await browser?.close();
  server.closeAllConnections();
  server.close();
});

beforeEach(async () => {
  images = [];
  html = {};
  waiting = new Set();
  page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
});

afterEach(() => page.close());

const origin = (host) => `http://${host}.test:${port}`;

/** What the API's tag is, around a creative of this size. */
const tag = (name, width, height) => `<div style="display:inline-block">
  <a href="${origin("stats")}/l/T"><span style="display:block;width:${width}px;height:${height}px"></span></a>
  <script async src="${origin("stats")}/i/${name}.js?cb=1"></script></div>`;

/** The same in a frame of another origin. */
function framed(name, width, height) {
  html[`/frame-${name}`] = tag(name, width, height);
  return `<iframe src="${origin("ads")}/frame-${name}" width="${width}" height="${height}"
    style="border:0;display:block"></iframe>`;
}

const below = (pixels) => `<div style="height:${pixels}px"></div>`;

async function open(body) {
  html["/"] = body + below(3_000);
  await page.goto(`${origin("publisher")}/`);
}

async function reported(name, count = 1) {
  const of = () => images.filter(({ address }) => address.startsWith(`/i/${name}.gif`));
  await new Promise((resolve) => {
    const check = () => of().length >= count && resolve();
    waiting.add(check);
    check();
  });
  return of();
}

const names = () => images.map(({ address }) => address.split(/[/.]/)[2]);

for (const [where, put] of [
  ["in the page", tag],
  ["in a frame of another origin", framed],
]) {
  test(`${where}: in view for a second, reported once, at its own address`, async () => {
    await open(put("first", 300, 250));
    const [{ address, at }] = await reported("first");
    assert.equal(address, "/i/first.gif?cb=1&v=1");
    assert.ok(at - scriptAt >= SECOND_MS, `${at - scriptAt} ms`);
    await page.evaluate(() => scrollTo(0, 1_500));
    await page.evaluate(() => scrollTo(0, 0));
    html["/second"] = tag("second", 300, 250);
    await page.goto(`${origin("publisher")}/second`);
    await reported("second");
    assert.deepEqual(names(), ["first", "second"]);
  });

  test(`${where}: below the fold it is not seen before it is scrolled to`, async () => {
    // Just under half of it is in the window.
    await open(tag("above", 300, 200) + below(800 - 204 - 120) + put("under", 300, 250));
    await reported("above");
    assert.deepEqual(names(), ["above"]);
    await page.evaluate(() => scrollTo(0, 100));
    await reported("under");
  });

  test(`${where}: of a large one 30 % suffice, of another they do not`, async () => {
    const opened = below(800 - 204 - 100);
    await open(tag("above", 300, 200) + opened + put("large", 970, 250));
    await reported("large");
    await open(tag("again", 300, 200) + opened + put("small", 960, 250));
    await reported("again");
    assert.ok(!names().includes("small"), names().join());
  });
}

test("a second with a break is none, and a page in the background is not seen", async () => {
  const show = (state) =>
    page.evaluate((state) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  const passes = (milliseconds) =>
    page.evaluate(() => performance.now()).then((start) =>
      page.waitForFunction((until) => performance.now() >= until, start + milliseconds),
    );
  await open(tag("broken", 300, 250));
  await passes(400);
  await show("hidden");
  await passes(1_500);
  assert.deepEqual(names(), []);
  await show("visible");
  const shown = performance.now();
  const [{ at }] = await reported("broken");
  assert.ok(at - shown >= SECOND_MS - 100, `the time before the break counts no more: ${at - shown}`);
});
