// What the tracker takes for a page view, and for time that somebody looked. Each test says which
// requests come, and which do not: absence is shown by a marker event that is sent afterwards, since
// a page's events are delivered in order.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launchAlone } from "./browser.mjs";
import {
  came,
  cairn,
  cairnReady,
  collector,
  context,
  lookFor,
  namesUntilMarker,
  open,
  page,
  partRuns,
  setVisibility,
} from "./rig.mjs";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("a page view is one envelope without preflight, and says where and when", async () => {
  collector.page("/p/7", { title: "A stove" });
  const before = Date.now();
  await open("/p/7?utm_source=mail#token=secret", { referrer: "http://search.test/?q=stove" });
  await came("page_view");
  assert.deepEqual(await namesUntilMarker(), ["page_view"]);

  const { headers, body } = collector.requests[0];
  assert.match(headers["content-type"], /^text\/plain/);
  assert.equal(headers.cookie, undefined);
  assert.deepEqual(Object.keys(body).sort(), ["events", "key", "language", "screen"]);
  assert.equal(body.key, "k1");
  assert.match(body.screen, /^\d+x\d+$/);
  assert.equal(body.language, "de-AT");

  const [event] = body.events;
  assert.deepEqual(Object.keys(event).sort(), [
    "event",
    "event_id",
    "referrer",
    "timestamp",
    "title",
    "url",
  ]);
  assert.match(event.event_id, UUID);
  const at = Date.parse(event.timestamp);
  assert.ok(before <= at && at <= Date.now(), event.timestamp);
  assert.equal(event.url, `${collector.site}/p/7?utm_source=mail`, "the fragment stays at home");
  assert.match(event.referrer, /^http:\/\/search\.test\//);
  assert.equal(event.title, "A stove");
});

test("single-page navigation: a changed path is a page view, a changed query is not", async () => {
  collector.page("/", { title: "Home" });
  await open("/");
  await came("page_view");
  await page.evaluate(() => history.pushState({}, "", "/?sort=price"));
  await page.evaluate(() => history.replaceState({}, "", "/#reviews"));
  assert.deepEqual(await namesUntilMarker(), ["page_view"]);

  await page.evaluate(() => {
    history.pushState({}, "", "/tents");
    document.title = "Tents";
  });
  await came("page_view", 2);
  await page.evaluate(() => history.replaceState({}, "", "/tents/2"));
  await came("page_view", 3);
  await page.goBack();
  await came("page_view", 4);

  const views = collector.events.filter(({ event }) => event === "page_view");
  assert.deepEqual(
    views.map(({ url }) => new URL(url).pathname),
    ["/", "/tents", "/tents/2", "/"],
  );
  assert.equal(views[1].title, "Tents", "the title that the page took after navigating");
  assert.equal(views[1].referrer, `${collector.site}/`);
  const engaged = collector.events.filter(({ event }) => event === "engagement");
  assert.deepEqual(
    engaged.map(({ url }) => new URL(url).pathname),
    ["/", "/tents", "/tents/2"],
    "each view that was left reports its own time",
  );
  assert.ok(engaged.every(({ engagement_ms: ms }) => Number.isInteger(ms) && ms > 0));
});

for (const [attribute, expected] of [
  ["", ["page_view"]],
  ["data-hash", ["page_view", "engagement", "page_view"]],
]) {
  test(`hash routes ${attribute ? "count when asked for" : "do not count by default"}`, async () => {
    collector.page("/", { head: collector.script(attribute) });
    await open("/");
    await came("page_view");
    await page.evaluate(() => {
      const changed = new Promise((resolve) => addEventListener("hashchange", resolve));
      location.hash = "#/cart";
      return changed;
    });
    assert.deepEqual(await namesUntilMarker(), expected);
    if (attribute) assert.match(collector.events.at(-2).url, /#\/cart$/);
  });
}

test("the query of a hash route is no other page, with or without a query of the page", async () => {
  for (const [path, query] of [["/plain", ""], ["/campaign", "?utm_source=x"]]) {
    collector.page(path, { head: collector.script("data-hash") });
    await open(`${path}${query}#/tents?page=1`);
    await collector.until(({ events }) => events.some(({ url }) => url.includes(path)), path);
    const before = collector.names();
    await page.evaluate(() => {
      const changed = new Promise((resolve) => addEventListener("hashchange", resolve));
      location.hash = "#/tents?page=2";
      return changed;
    });
    await cairn("event", "marker_of_" + path.slice(1));
    await came("marker_of_" + path.slice(1));
    const views = (names) => names.filter((name) => name === "page_view").length;
    assert.equal(views(collector.names()), views(before), path);
    assert.match(collector.events.at(-1).url, /#\/tents\?page=2$/);
  }
});

test("a page that comes back from the back/forward cache is viewed again", async () => {
  collector.page("/one");
  collector.page("/two", { head: "" });
  await open("/one");
  await came("page_view");
  await page.evaluate(() => {
    window.sameDocument = true;
  });
  await open("/two");
  await came("engagement");
  // A restored page fires no second load event, which the driver would wait for.
  await page.goBack({ waitUntil: "commit" });
  assert.equal(await page.evaluate(() => window.sameDocument), true, "restored, not reloaded");
  await came("page_view", 2);
  assert.deepEqual(await namesUntilMarker(), ["page_view", "engagement", "page_view"]);
  const ids = collector.events.map(({ event_id: id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});

test("visible time: hidden time does not count, and nothing new is not sent", async () => {
  collector.page("/");
  const openedAt = Date.now();
  await open("/");
  await came("page_view");
  await lookFor(400);
  await setVisibility("hidden");
  await came("engagement");
  const [first] = collector.events.filter(({ event }) => event === "engagement");
  const { engagement_ms: ms } = first;
  assert.ok(ms >= 400 && ms <= Date.now() - openedAt, `${ms}`);
  assert.equal(first.scroll_percent, undefined, "nobody asked for the depth");

  await lookFor(300);
  await page.evaluate(() =>
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true })),
  );
  assert.deepEqual(await namesUntilMarker(), ["page_view", "engagement"]);

  const shownAt = Date.now();
  await setVisibility("visible");
  await lookFor(1100);
  await setVisibility("hidden");
  await came("engagement", 2);
  const second = collector.events.at(-1);
  assert.ok(second.engagement_ms >= 1100, "the time since the report before");
  assert.ok(second.engagement_ms <= Date.now() - shownAt, "hidden time is left out");
});

test("pagehide alone tells the time, in one request; being hidden after it adds nothing", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await lookFor(50);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide")));
  await came("engagement");
  assert.deepEqual(
    collector.requests.map(({ events }) => events.map(({ event }) => event)),
    [["page_view"], ["engagement"]],
  );
  await setVisibility("hidden");
  assert.deepEqual(await namesUntilMarker(), ["page_view", "engagement"]);
  assert.equal(collector.requests.length, 3, "the marker's own");
});

test("time in a window without focus does not count", async () => {
  collector.page("/");
  collector.page("/other", { head: "" });
  await open("/");
  await came("page_view");
  const session = await context.newCDPSession(page);
  await session.send("Emulation.setFocusEmulationEnabled", { enabled: false });
  const other = await context.newPage();
  await other.goto(collector.site + "/other");
  await other.bringToFront();
  await page.waitForFunction(() => !document.hasFocus());
  const lookedAtMost = await page.evaluate(() => performance.now());
  await lookFor(1500);
  await setVisibility("hidden");
  await came("engagement");
  const { engagement_ms: ms } = collector.events.at(-1);
  assert.ok(ms > 0 && ms <= lookedAtMost, `${ms} of ${lookedAtMost}`);
});

test("scroll depth is the lowest part that was seen", async () => {
  collector.settings.k1 = { scroll: {} };
  collector.page("/", { body: '<div style="height: 8000px"></div>' });
  await open("/");
  await came("page_view");
  await partRuns("scroll");
  await page.evaluate(() => {
    const scrolled = new Promise((resolve) => addEventListener("scroll", resolve, { once: true }));
    scrollTo(0, 3000);
    return scrolled;
  });
  await page.evaluate(() => {
    const scrolled = new Promise((resolve) => addEventListener("scroll", resolve, { once: true }));
    scrollTo(0, 0);
    return scrolled;
  });
  const seen = await page.evaluate(
    () => ((3000 + innerHeight) / document.documentElement.scrollHeight) * 100,
  );
  await setVisibility("hidden");
  await came("engagement");
  assert.equal(collector.events.at(-1).scroll_percent, Math.round(seen));
});

test("a page rendered ahead is silent until it is looked at", async () => {
  collector.page("/");
  await page.addInitScript(() => {
    Object.defineProperty(document, "prerendering", { configurable: true, get: () => true });
  });
  await open("/");
  await page.waitForFunction(() => window.cairn);
  await cairn("event", "early");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
  assert.equal(collector.requests.length, 0);
  await page.evaluate(() => {
    Object.defineProperty(document, "prerendering", { configurable: true, get: () => false });
    document.dispatchEvent(new Event("prerenderingchange"));
  });
  await came("early");
  assert.deepEqual(await namesUntilMarker(), ["page_view", "early"]);
});

test("the script loaded twice counts once", async () => {
  collector.page("/", { head: collector.script() + collector.script() });
  await open("/");
  await came("page_view");
  await page.addScriptTag({ url: `${collector.origin}/cairn.js?key=k1` });
  await page.evaluate(() => history.pushState({}, "", "/next"));
  await came("page_view", 2);
  assert.deepEqual(await namesUntilMarker(), ["page_view", "engagement", "page_view"]);
});

test("two keys on a page each get everything, the later one too", async () => {
  collector.page("/", { head: collector.script() + collector.script("", "k2") });
  await open("/");
  await cairnReady();
  await cairn("event", "sign_up");
  await came("sign_up", 2);
  await page.addScriptTag({ url: `${collector.origin}/cairn.js?key=k3` });
  await came("sign_up", 3);
  for (const key of ["k1", "k2", "k3"]) {
    assert.deepEqual(collector.names(key), ["page_view", "sign_up"], key);
  }
  const ids = collector.events.map(({ event_id: id }) => id);
  assert.equal(new Set(ids).size, 6, "sites share no identifiers");
});

test("hash routes count where the key's settings say so", async () => {
  collector.settings.k1 = { hash_routes: true };
  collector.page("/");
  await open("/#/tents");
  await came("page_view");
  await page.evaluate(() => history.pushState({}, "", "#/cart"));
  await came("page_view", 2);
  assert.deepEqual(await namesUntilMarker(), ["page_view", "engagement", "page_view"]);
  const views = collector.events.filter(({ event }) => event === "page_view");
  assert.deepEqual(
    views.map(({ url }) => url),
    [`${collector.site}/#/tents`, `${collector.site}/#/cart`],
  );
});

test("the Navigation API: an intercepted navigation is a page view, one that fails is none", async () => {
  collector.page("/", {
    body: `<a href="/tents">Tents</a><script>
      navigation.addEventListener("navigate", (event) => {
        if (event.destination.url.endsWith("/never")) event.preventDefault();
        else if (event.canIntercept) event.intercept({ handler: async () => {} });
      });</script>`,
  });
  await open("/");
  await came("page_view");
  await page.click("a");
  await came("page_view", 2);
  await page.evaluate(() => navigation.navigate("/never").committed.catch(() => 0));
  await page.evaluate(() => navigation.navigate("/tents/2").finished.then(() => 0));
  await came("page_view", 3);
  await page.evaluate(() => navigation.back().finished.then(() => 0));
  await came("page_view", 4);
  assert.deepEqual(
    (await namesUntilMarker()).filter((name) => name !== "engagement"),
    ["page_view", "page_view", "page_view", "page_view"],
  );
  const views = collector.events.filter(({ event }) => event === "page_view");
  assert.deepEqual(
    views.map(({ url, referrer }) => [url, referrer].map((text) => text.replace(collector.site, ""))),
    [
      ["/", ""],
      ["/tents", "/"],
      ["/tents/2", "/tents"],
      ["/tents", "/tents/2"],
    ],
  );
});

test("a browser without the Navigation API: the History API alone is enough", async () => {
  await page.addInitScript(() => Reflect.deleteProperty(window, "navigation"));
  collector.page("/");
  await open("/");
  await came("page_view");
  assert.equal(await page.evaluate(() => "navigation" in window), false);
  await page.evaluate(() => history.pushState({}, "", "/tents"));
  await came("page_view", 2);
  await page.evaluate(() => history.replaceState({}, "", "/tents/2"));
  await came("page_view", 3);
  await page.goBack();
  await came("page_view", 4);
  assert.deepEqual(
    collector.events.filter(({ event }) => event === "page_view").map(({ url }) => new URL(url).pathname),
    ["/", "/tents", "/tents/2", "/"],
  );
});

test("a page opened in the background counts once it is looked at; what it says counts at once", async () => {
  collector.page("/");
  await page.addInitScript(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" });
  });
  await open("/", { referrer: "http://search.test/" });
  await page.waitForFunction(() => window.cairn);
  await cairn("event", "sign_up");
  await came("sign_up");
  await page.evaluate(() => history.replaceState({}, "", "/home"));
  assert.deepEqual(await namesUntilMarker(), ["sign_up"]);
  await setVisibility("visible");
  await came("page_view");
  const { url, referrer } = collector.events.at(-1);
  assert.equal(url, `${collector.site}/home`);
  assert.equal(referrer, `${collector.site}/`);
  await setVisibility("hidden");
  await setVisibility("visible");
  await cairn("event", "last");
  await came("last");
  assert.equal(collector.names().filter((name) => name === "page_view").length, 1);
});

test("a page that the browser renders ahead is one view, when it is opened", async () => {
  collector.page("/", {
    body: `<script type="speculationrules">
        {"prerender": [{"urls": ["/next"], "eagerness": "immediate"}]}
      </script><script>
        const wait = setInterval(async () => {
          if ((await fetch("/go")).status === 404) return;
          clearInterval(wait);
          location.href = "/next";
        }, 50);
      </script>`,
  });
  collector.page("/next", {
    body: `<script>
      cairn("event", "said_early");
      addEventListener("load", () => fetch(document.prerendering ? "/ahead" : "/not-ahead"));
    </script>`,
    head: `<script>window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)}</script>
      ${collector.script().replace("async ", "")}`,
  });
  const end = await launchAlone(`${collector.site}/`, [collector.site, collector.origin]);
  try {
    await collector.untilServed("/ahead");
    await came("page_view");
    assert.deepEqual(collector.names(), ["page_view"], "rendered, run, and silent");
    collector.page("/go", { head: "" });
    await came("page_view", 2);
    await came("said_early");
  } finally {
    await end();
  }
  assert.ok(!collector.served.includes("/not-ahead"), "the page was rendered once");
  // The time of the page before comes from another document, so at any moment.
  const events = collector.events.filter(({ event }) => event !== "engagement");
  assert.deepEqual(
    events.map(({ event, url }) => [event, new URL(url).pathname]),
    [
      ["page_view", "/"],
      ["page_view", "/next"],
      ["said_early", "/next"],
    ],
  );
});

test("somebody who went away is not reading: a minute without a sign of life ends the time", async () => {
  collector.page("/");
  await page.clock.install();
  await open("/");
  await came("page_view");
  await page.clock.runFor(30_000);
  await page.mouse.move(5, 5);
  await page.clock.runFor(600_000);
  await page.keyboard.press("Shift");
  await page.clock.runFor(20_000);
  await setVisibility("hidden");
  await came("engagement");
  const { engagement_ms: ms } = collector.events.at(-1);
  // 30 s to the mouse, one minute after it, 20 s after the key; the clock also runs by itself.
  assert.ok(ms >= 109_000 && ms <= 125_000, `${ms}`);
});

test("a tab that is closed has told its time and what it had just said", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await page.evaluate(() => window.cairn("event", "sign_up"));
  await page.close({ runBeforeUnload: true });
  await came("sign_up");
  await came("engagement");
  const names = collector.names();
  assert.deepEqual(names, ["page_view", "sign_up", "engagement"]);
});

test("frozen and thawed in the background: nothing is told twice", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await lookFor(50);
  await setVisibility("hidden");
  await came("engagement");
  const session = await context.newCDPSession(page);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  await session.send("Page.setWebLifecycleState", { state: "active" });
  await setVisibility("visible");
  assert.deepEqual(await namesUntilMarker(), ["page_view", "engagement"]);
});
