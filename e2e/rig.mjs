// What every test of the tracker needs: a browser, a collector of its own for each test, and words
// for what happens on a page.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach } from "node:test";
import { launchBrowser } from "./browser.mjs";
import { Collector } from "./collector.mjs";

export let browser;
export let collector;
export let context;
export let page;
let pageErrors;
let warnings;

before(async () => {
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
});

beforeEach(async () => {
  // A collector for each test: what a closing page still sends must not reach the next one.
  collector = await Collector.start();
  context = await browser.newContext({ locale: "de-AT" });
  page = await context.newPage();
  page.setDefaultTimeout(15_000);
  pageErrors = [];
  warnings = [];
  page.on("pageerror", (fault) => pageErrors.push(String(fault)));
  page.on("console", (line) => line.type() === "warning" && warnings.push(line.text()));
});

afterEach(async () => {
  await context.close();
  await collector.stop();
  assert.deepEqual(pageErrors, [], "the page must never see an error");
  assert.deepEqual(collector.strays, [], "no preflight, no unknown request");
});

export const cairn = (...words) => page.evaluate((words) => window.cairn(...words), words);

/** Proves that nothing else was sent so far: returns the names that came before the marker. */
export async function namesUntilMarker() {
  await cairn("event", "marker");
  await collector.until(({ events }) => events.some(({ event }) => event === "marker"), "marker");
  return collector.names().filter((name) => name !== "marker");
}

export async function open(path, options = {}) {
  await page.goto((options.site ?? collector.site) + path, { referer: options.referrer });
}

export const came = (name, count = 1) =>
  collector.until(
    ({ events }) => events.filter(({ event }) => event === name).length >= count,
    `${count} × ${name}`,
  );

/** Waits until the developer was warned with these words. */
export async function warned(text) {
  if (warnings.some((line) => text.test(line))) return;
  await page.waitForEvent("console", (line) => line.type() === "warning" && text.test(line.text()));
}

/** Hides or shows the tab as the browser would say it. */
export const setVisibility = (state) =>
  page.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
    Object.defineProperty(document, "hidden", { configurable: true, get: () => state === "hidden" });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }, state);

/** Waits until the page has run a part: modules run once, and in the order they were asked for. */
export const partRuns = (name) => page.evaluate((address) => import(address).then(() => 0), collector.part(name));

/** The page lives on until its own clock says that so much time has passed. */
export const lookFor = (milliseconds) =>
  page.evaluate(() => performance.now()).then((start) =>
    page.waitForFunction((until) => performance.now() >= until, start + milliseconds),
  );

/** The tracker runs. */
export const cairnReady = () => came("page_view");

/** Notes every reading and writing of what a browser keeps. */
export function watchStorage() {
  window.touched = [];
  const note = (target, name) => {
    const original = Object.getOwnPropertyDescriptor(target, name);
    Object.defineProperty(target, name, {
      ...original,
      get() {
        window.touched.push("read " + name);
        return original.get.call(this);
      },
      set(value) {
        window.touched.push("write " + name);
        return original.set?.call(this, value);
      },
    });
  };
  note(Document.prototype, "cookie");
  for (const name of ["localStorage", "sessionStorage", "indexedDB", "caches", "cookieStore"]) {
    if (Object.getOwnPropertyDescriptor(window, name)) note(window, name);
  }
}

/** Counts the answers and failures that have come back to the page's scripts. */
export function countAnswers() {
  const original = window.fetch;
  window.answers = window.failures = 0;
  window.fetch = async (...request) => {
    try {
      const answer = await original(...request);
      window.answers++;
      return answer;
    } catch (fault) {
      window.failures++;
      throw fault;
    }
  };
}
