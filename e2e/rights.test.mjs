// The visitor's page and the owner's inbox against the real server: what a browser sees of itself, takes along and has
// erased, by keyboard and without scripts, and what the owner does for somebody who asks. The pages are http://shop.test,
// the collector http://stats.shop.test.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

// What is erased leaves the store's files at once.
process.env.CAIRN_PRIVACY__ERASURE_REWRITE_HOURS_MAX = "0";

let server;
let browser;
let pages;
let collector;
let shop;
let site;
let key;
let files;
let context;
let page;
let session;

before(async () => {
  server = await Server.start();
  const { port } = new URL(server.origin);
  collector = `http://stats.shop.test:${port}`;
  pages = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://any.test");
    const inside =
      pathname === "/own-data"
        ? `<iframe title="Your data" width="600" height="900" src="${collector}/privacy?key=${key}&language=en"></iframe>`
        : `<script async src="${collector}/cairn.js?key=${key}"></script>`;
    response.writeHead(200, { "Content-Type": "text/html" }).end(
      `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop ${pathname}</title>
       <link rel="icon" href="data:,"></head><body><h1>Shop</h1>${inside}</body></html>`,
    );
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  shop = `http://shop.test:${pages.address().port}`;
  site = await server.api("POST", "/api/v1/sites", { name: "Shop", domain: "shop.test" });
  const pixels = `/api/v1/sites/${site.id}/pixels`;
  ({ key } = await server.api("POST", pixels, { name: "Shop", kind: "web" }));
  files = await mkdtemp(join(tmpdir(), "cairn-exports-"));
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  pages?.close();
  if (files) await rm(files, { recursive: true, force: true });
  assert.equal(await server?.stop(), 0, "SIGTERM ends it cleanly");
});

beforeEach(async () => {
  context = await browser.newContext({ locale: "en-GB" });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
});

afterEach(() => context.close());

/** A visit with everything permitted: these pages, and who it is. What comes before the yes is nobody's. */
async function visit(paths, userId, email = `${userId}@shop.test`) {
  for (const path of ["/", ...paths]) {
    await page.goto(shop + path);
    const taken = page.waitForResponse(
      (answer) => answer.url() === `${collector}/e` && /page_view/.test(answer.request().postData() ?? ""),
    );
    await page.evaluate(
      ([userId, email]) => {
        window.cairn("consent", { analytics: "granted", functional: "granted" });
        if (userId) window.cairn("identify", userId, { email });
        window.cairn("event", "page_view");
      },
      [userId, email],
    );
    await (await taken).finished();
  }
}

const own = (more = "") => `${collector}/privacy?key=${key}&language=en${more}`;
const button = (name) => page.getByRole("button", { name, exact: true });
const cookies = async () => (await context.cookies(collector)).map(({ name }) => name).sort();

/** Presses Tab until a control with this name has the focus, then Enter or a space. */
async function press(name, with_ = "Enter") {
  for (let press = 0; press < 60; press += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const { activeElement: element } = document;
      return element?.labels?.[0]?.textContent ?? element?.textContent ?? "";
    });
    if (focused.trim() === name) return page.keyboard.press(with_);
  }
  assert.fail(`the keyboard does not reach ${name}`);
}

/** Looks again and again for what another process is about to do. */
async function until(what, done) {
  const deadline = Date.now() + 60_000;
  while (!(await done())) assert.ok(Date.now() < deadline, `never happened: ${what}`);
}

/** Opens the page, and looks again until it tells of what was sent a moment ago. */
async function openOwn(text) {
  await page.goto(own());
  await until(text, async () => (await page.getByText(text).count()) > 0 || !(await page.reload()));
}

test("who has no cookie is told that nothing is known", async () => {
  await page.goto(own());
  await page.getByText("Nothing is known about this browser").waitFor();
  assert.deepEqual(await cookies(), []);
  await page.getByRole("link", { name: "Français" }).click();
  await page.getByText("On ne sait rien de ce navigateur").waitFor();
});

test("a browser sees itself, changes its choice and has itself erased: by keyboard", async () => {
  await visit(["/kanarienvogel", "/two"]);
  await openOwn("shop.test/two");
  await page.getByText("shop.test/kanarienvogel").first().waitFor();
  assert.ok(await page.getByRole("checkbox", { name: "Statistics" }).isChecked());
  await press("Personal content", " ");
  await press("Save choice");
  await page.getByText(/Statistics: allowed, Advertising: refused, Personal content: allowed/).first().waitFor();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await assertAccessible(page, `the visitor's page, ${colorScheme}`);
  }
  assert.deepEqual(await cookies(), ["cairn_consent", "cairn_id"]);
  assert.equal(await server.keeps("kanarienvogel"), true, "the search finds what is there");
  await press("Erase everything …");
  await page.getByRole("heading", { name: "Really erase everything?" }).waitFor();
  await assertAccessible(page, "the question before erasing");
  await press("Erase now");
  await page.getByText(/Your request has the number/).waitFor();
  await assertAccessible(page, "an erasure under way");
  const isOver = async () => (await page.getByText(/Everything was erased on/).count()) > 0;
  await until("the erasure ends", async () => (await isOver()) || !(await page.reload()));
  await assertAccessible(page, "the end of an erasure");
  assert.deepEqual(await cookies(), ["cairn_consent"]);
  assert.equal(await server.keeps("kanarienvogel"), false);
  await page.getByRole("link", { name: "Back" }).click();
  await page.getByText("Nothing is known about this browser").waitFor();
});

test("without scripts, in a small window: opting out of pixels, and back", async () => {
  const plain = await browser.newContext({
    javaScriptEnabled: false,
    locale: "de-DE",
    viewport: { width: 320, height: 480 },
  });
  try {
    const form = await plain.newPage();
    form.setDefaultTimeout(20_000);
    await form.goto(`${collector}/privacy?key=${key}`);
    await form.getByRole("button", { name: "Pixeln widersprechen" }).click();
    await form.getByText("wird nichts aufbewahrt, auch nicht anonym").waitFor();
    const [kept, ...others] = await plain.cookies(collector);
    assert.deepEqual(others, []);
    assert.match(kept.value, /^v1\.analytics=0\..*\.out=1\.t=\d+$/);
    const image = await plain.request.get(`${server.origin}/p.gif?key=${key}`, {
      headers: { Cookie: `cairn_consent=${kept.value}`, Referer: `${shop}/` },
    });
    assert.equal(image.headers()["cairn-outcome"], "dropped:opted_out");
    assert.ok((await form.locator("main").boundingBox()).width <= 320);
    await form.getByRole("button", { name: "Widerspruch zurücknehmen" }).click();
    await form.getByRole("button", { name: "Pixeln widersprechen" }).waitFor();
  } finally {
    await plain.close();
  }
});

test("what is taken along opens by itself and says everything", async () => {
  await visit(["/one", "/two"]);
  await openOwn("shop.test/two");
  const take = async (name) => {
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name }).click(),
    ]);
    const path = join(files, file.suggestedFilename());
    await file.saveAs(path);
    return path;
  };
  const data = JSON.parse(await readFile(await take("Download for programs (JSON)"), "utf8"));
  const seen = data.events.filter(({ event }) => event === "page_view").map(({ page }) => page);
  assert.ok(seen.includes("/one") && seen.includes("/two"), `${seen}`);
  assert.equal(data.summary.events, data.events.length);
  assert.equal(data.choice.analytics, "granted");
  const html = await take("Download to read");
  await context.setOffline(true);
  await page.goto(pathToFileURL(html).href);
  await page.getByRole("cell", { name: /shop\.test\/one/ }).first().waitFor();
  await page.getByText("Details").first().click();
  await assertAccessible(page, "the file to be read");
});

test("the owner's own page shows it in a frame, and a stranger's cannot", async () => {
  await visit(["/framed"]);
  await openOwn("shop.test/framed");
  await page.goto(`${shop}/own-data`);
  const frame = page.frameLocator("iframe");
  await frame.getByText("shop.test/framed").first().waitFor();
  await frame.getByRole("button", { name: "Save choice" }).click();
  await frame.getByText("Chosen on").waitFor();
  const refused = page.waitForEvent("console", (line) => /frame-ancestors/.test(line.text()));
  await page.goto(`${shop.replace("shop.test", "stranger.test")}/own-data`);
  await refused;
  assert.equal(await page.frameLocator("iframe").getByText("shop.test/framed").count(), 0);
});

test("the owner finds somebody, hands him a copy and erases him; another person stays", async () => {
  await visit(["/zeisig"], "ada-7");
  await context.clearCookies();
  await visit(["/bobs"], "bob-1");
  const find = (user_id) =>
    server.api("POST", `/api/v1/sites/${site.id}/rights/find`, { user_id });
  const isStored = async (userId) => (await find(userId)).events > 0;
  await until("both are stored", async () => (await isStored("ada-7")) && (await isStored("bob-1")));
  await logIn();
  await page.goto(`${server.origin}/sites/${site.id}/rights`);
  await page.getByLabel("Value").fill("ada-7");
  await page.getByLabel("Value").press("Enter");
  await page.getByText("ada-7@shop.test").waitFor();
  await page.getByLabel("What is asked for").selectOption({ label: "Erasure" });
  await button("Write down").press("Enter");
  const [file] = await Promise.all([page.waitForEvent("download"), button("To read").press("Enter")]);
  const copy = join(files, "ada.html");
  await file.saveAs(copy);
  assert.match(await readFile(copy, "utf8"), /ada-7@shop\.test.*shop\.test\/zeisig/s);
  assert.equal(await server.keeps("zeisig"), true, "the search finds what is there");
  await button("Erase …").press("Enter");
  await page.getByText(/go from everywhere on this machine/).waitFor();
  await button("Erase now").press("Enter");
  await page.getByText("Everything is erased.").waitFor();
  await page.getByRole("rowheader", { name: "Store’s files" }).waitFor();
  await assertAccessible(page, "the record of an erasure");
  assert.equal(await server.keeps("zeisig"), false);
  assert.equal((await find("ada-7")).found, false);
  assert.ok((await find("bob-1")).events > 0);
  assert.equal(await server.keeps("ada-7"), false, "nor does the request name him any more");
});

test("an address that two browsers claim means nobody; the owner chooses whom, by keyboard", async () => {
  const shared = "family@shop.test";
  await visit(["/amsel"], "carl-1", shared);
  // A browser of its own, which knows nothing of the first one.
  await context.close();
  context = await browser.newContext({ locale: "en-GB" });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await visit(["/drossel"], "dora-2", shared);
  const find = (body) => server.api("POST", `/api/v1/sites/${site.id}/rights/find`, body);
  await until("both are stored", async () => {
    const found = await Promise.all(["carl-1", "dora-2"].map((user_id) => find({ user_id })));
    return found.every(({ events }) => events > 0);
  });
  await logIn();
  await page.goto(`${server.origin}/sites/${site.id}/rights`);
  await page.getByLabel("Known by").selectOption("email");
  await page.getByLabel("Value").fill(shared);
  await page.getByLabel("Value").press("Enter");
  const candidates = page.locator(".found").getByRole("listitem").getByRole("button");
  await candidates.first().waitFor();
  assert.deepEqual((await candidates.allTextContents()).sort(), ["carl-1", "dora-2"]);
  assert.equal(await page.getByText("Browsers and devices", { exact: true }).count(), 0, "nothing of either is told");
  await inEveryLook("candidates");
  await press("dora-2");
  const preview = page.locator(".found:focus");
  await preview.getByText(shared).waitFor();
  assert.equal(await preview.getByText("carl-1").count(), 0, "the other one is not in it");
  const devices = preview.locator("dt", { hasText: "Browsers and devices" }).locator("+ dd");
  assert.equal(await devices.textContent(), "1", "the browser is hers alone");
  assert.equal(await page.getByLabel("Value").inputValue(), "dora-2");
  assert.equal(await candidates.count(), 0);
  await inEveryLook("preview");
});

/** As the owner. The link opens once; the session that it leaves does so again. */
async function logIn() {
  if (session) return context.addCookies(session);
  await page.goto(server.loginUrl);
  await page.waitForURL((address) => !/login|setup/.test(address.pathname));
  session = await context.cookies(server.origin);
}

/** Light, dark and on a telephone: accessible, and no wider than the window. */
async function inEveryLook(name) {
  const size = page.viewportSize();
  for (const [colorScheme, width] of [["light", 1440], ["dark", 1440], ["light", 390], ["dark", 390]]) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await assertAccessible(page, `${name}, ${colorScheme}, ${width}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), name);
    if (process.env.SCREENS) {
      await page.screenshot({ path: `${process.env.SCREENS}/${name}-${colorScheme}-${width}.png`, fullPage: true });
    }
  }
  await page.setViewportSize(size);
}
