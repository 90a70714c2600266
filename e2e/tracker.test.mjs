// How the tracker delivers, what it keeps, and what a page may tell it, in a real browser against a
// collector that only records. Absence is shown by a marker event that is sent afterwards, since a
// page's events are delivered in order.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  browser,
  came,
  cairn,
  cairnReady,
  collector,
  context,
  countAnswers,
  lookFor,
  namesUntilMarker,
  open,
  page,
  partRuns,
  setVisibility,
  warned,
  watchStorage,
} from "./rig.mjs";

for (const status of [429, 503]) {
  test(`${status}: the same event comes again, not before Retry-After`, async () => {
    collector.page("/");
    collector.answer = () =>
      collector.requests.length === 0 ? { status, headers: { "Retry-After": "1" } } : undefined;
    await open("/");
    await collector.until(({ requests }) => requests.length === 1);
    await cairn("event", "meanwhile");
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await came("meanwhile");
    const [refused, taken] = collector.requests;
    assert.equal(collector.requests.length, 2, "what happened meanwhile waits for its turn");
    assert.deepEqual([refused.status, taken.status], [status, 202]);
    assert.ok(taken.at - refused.at >= 1000, `${taken.at - refused.at} ms`);
    assert.deepEqual(taken.events[0], refused.events[0], "same event_id, same time");
    assert.deepEqual(
      taken.events.map(({ event }) => event),
      ["page_view", "meanwhile"],
    );
  });
}

test("page views that wait keep the titles of their own pages", async () => {
  collector.page("/", { title: "Home" });
  collector.answer = () =>
    collector.requests.length === 0 ? { status: 503, headers: { "Retry-After": "2" } } : undefined;
  await page.addInitScript(countAnswers);
  await open("/");
  await page.waitForFunction(() => window.answers === 1);
  for (const title of ["Tents", "Stoves"]) {
    await page.evaluate((title) => {
      history.pushState({}, "", "/" + title);
      document.title = title;
    }, title);
    // Longer than a new page is given to take its title.
    await lookFor(200);
  }
  assert.equal(collector.requests.length, 1, "all of it waits");
  await came("page_view", 4);
  assert.deepEqual(
    collector.requests[1].events
      .filter(({ event }) => event === "page_view")
      .map(({ url, title }) => [new URL(url).pathname, title]),
    [
      ["/", "Home"],
      ["/Tents", "Tents"],
      ["/Stoves", "Stoves"],
    ],
  );
});

test("503 without Retry-After: the pauses grow", async () => {
  collector.page("/");
  collector.answer = () => (collector.requests.length < 3 ? { status: 503 } : undefined);
  await open("/");
  await collector.until(({ requests }) => requests.length === 4);
  const [a, b, c, d] = collector.requests.map(({ at }) => at);
  assert.ok(b - a >= 500 && c - b >= 1000 && d - c >= 2000, `${[b - a, c - b, d - c]}`);
  assert.equal(new Set(collector.events.map(({ event_id: id }) => id)).size, 1);
});

for (const status of [400, 404, 413]) {
  test(`${status} is final`, async () => {
    collector.page("/");
    collector.answer = () =>
      collector.requests.length === 0
        ? { status, report: { error: { code: "broken", message: "no" } } }
        : undefined;
    await open("/");
    await collector.until(({ requests }) => requests.length === 1);
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await cairn("event", "marker");
    await came("marker");
    assert.deepEqual(
      collector.requests.map(({ events }) => events.map(({ event }) => event)),
      [["page_view"], ["marker"]],
    );
    await warned(/^cairn:/);
  });
}

test("offline: everything waits in memory, at most 50 events, and goes out online", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await context.setOffline(true);
  await page.evaluate(() => {
    for (let n = 1; n <= 60; n++) window.cairn("event", "click_" + n);
  });
  await setVisibility("hidden");
  await setVisibility("visible");
  assert.equal(collector.requests.length, 1);
  await context.setOffline(false);
  await came("click_60");
  await cairn("event", "marker");
  await came("marker");
  const clicks = collector.names().filter((name) => name.startsWith("click_"));
  assert.ok(clicks.length <= 50 && clicks.length >= 49, `${clicks.length}`);
  assert.equal(clicks.at(-1), "click_60", "the newest stay");
  assert.equal(new Set(clicks).size, clicks.length, "none twice");
});

test("coming online ends a pause at once", async () => {
  collector.page("/");
  await page.addInitScript(countAnswers);
  await page.clock.install();
  await open("/");
  await came("page_view");
  // From here on no timer of the page fires by itself, the one that ends the pause neither.
  await page.clock.pauseAt(Date.now() + 60_000);
  await context.setOffline(true);
  await cairn("event", "sign_up");
  await page.clock.runFor(60);
  await page.waitForFunction(() => window.failures === 2);
  await context.setOffline(false);
  await came("sign_up");
});

test("before permission neither cookies nor storage are touched, by no part either", async () => {
  const all = ["clicks", "forms", "not_found", "scroll", "search", "sections", "vitals"];
  collector.settings.k1 = Object.fromEntries(all.map((part) => [part, {}]));
  collector.page("/");
  collector.page("/elsewhere");
  await page.addInitScript(watchStorage);
  await open("/");
  await came("page_view");
  for (const part of all) await partRuns(part);
  await cairn("event", "add_to_cart", { items: [{ item_id: "7" }], value: 5.5, currency: "EUR" });
  await cairn("identify", "user-7", { email: "a@shop.test" });
  await came("identify");
  await cairn("consent", { analytics: "denied", ads: "denied" });
  await collector.until(({ requests }) => requests.some(({ body }) => body.consent));
  await cairn("event", "later");
  await came("later");
  collector.answer = () => ({ status: 503 });
  await cairn("event", "lost");
  await came("lost");
  await setVisibility("hidden");
  assert.deepEqual(await page.evaluate(() => window.touched), []);
  await open("/elsewhere");
  await came("page_view", 2);
  assert.deepEqual(await page.evaluate(() => window.touched), []);
  assert.deepEqual(await context.cookies(), []);
});

test("consent is told at once, goes with what follows, and brings the cookie", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await cairn("consent", { analytics: "granted", ads: "denied" });
  await collector.until(({ requests }) => requests.length === 2);
  const told = collector.requests[1];
  assert.deepEqual(told.body.events, []);
  assert.deepEqual(told.body.consent, { analytics: "granted", ads: "denied", age_ms: 0 });
  assert.equal(told.headers.cookie, undefined);

  await cairn("event", "sign_up");
  await came("sign_up");
  assert.equal(collector.requests.length, 3);
  const again = { analytics: "granted", ads: "denied", repeated: true };
  assert.deepEqual(collector.requests[2].body.consent, again);
  assert.match(collector.requests[2].headers.cookie ?? "", /cairn_id=test/);
});

test("a choice goes by itself, ahead of what happens in the same moment", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await page.evaluate(() => {
    window.cairn("event", "sign_up");
    window.cairn("consent", { analytics: "granted" });
  });
  await came("sign_up");
  assert.deepEqual(
    collector.requests.map(({ body, events }) => [body.consent, events.map(({ event }) => event)]),
    [
      [undefined, ["page_view"]],
      [{ analytics: "granted", age_ms: 0 }, []],
      [{ analytics: "granted", repeated: true }, ["sign_up"]],
    ],
  );
});

test("consent that could not be told is told again", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  collector.answer = () => (collector.requests.length < 2 ? { status: 503 } : undefined);
  await cairn("consent", { analytics: "granted" });
  await collector.until(({ requests }) => requests.length === 3);
  const { age_ms, ...said } = collector.requests[2].body.consent;
  assert.deepEqual(said, { analytics: "granted" });
  assert.ok(age_ms >= collector.requests[2].at - collector.requests[1].at, `said ${age_ms} ms ago`);
});

test("what was said of one purpose is not said anew with another", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  const choices = [{ functional: "granted" }, { analytics: "granted" }];
  for (const choice of choices) {
    const before = collector.requests.length;
    await cairn("consent", choice);
    await collector.until(({ requests }) => requests.length > before);
    assert.deepEqual(collector.requests.at(-1).body.consent, { ...choice, age_ms: 0 });
  }
  await cairn("event", "sign_up");
  await came("sign_up");
  const again = { functional: "granted", analytics: "granted", repeated: true };
  assert.deepEqual(collector.requests.at(-1).body.consent, again);
});

test("a choice that is repeated is said anew", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  for (const count of [1, 2]) {
    await cairn("consent", { analytics: "denied" });
    await collector.until(({ requests }) => requests.length === 1 + count);
    assert.deepEqual(collector.requests.at(-1).body.consent, { analytics: "denied", age_ms: 0 });
  }
});

test("whoever said no is not named", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await cairn("consent", { analytics: "denied" });
  await cairn("identify", "user-7", { email: "a@shop.test" });
  await cairn("event", "purchase", { order_id: "o1", value: 10, currency: "EUR" });
  await came("purchase");
  assert.deepEqual(collector.names(), ["page_view", "purchase"]);
  assert.doesNotMatch(JSON.stringify(collector.requests.map(({ body }) => body)), /user-7|@/);

  await cairn("consent", { analytics: "granted" });
  await came("identify");
  const identified = collector.events.at(-1);
  assert.equal(identified.user_id, "user-7");
  assert.deepEqual(identified.traits, { email: "a@shop.test" });
});

test("purposes that do not exist are left out, with a warning", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await cairn("consent", { marketing: "granted", functional: "granted" });
  await collector.until(({ requests }) => requests.length === 2);
  assert.deepEqual(collector.requests[1].body.consent, { functional: "granted", age_ms: 0 });
  await warned(/marketing/);
});

for (const granted of [true, false]) {
  test(`events that failed ${granted ? "cross" : "never cross"} a page change`, async () => {
    const consent = granted ? "granted" : "denied";
    collector.page("/");
    collector.page("/next");
    await page.addInitScript(countAnswers);
    await open("/");
    await came("page_view");
    await cairn("consent", { analytics: consent });
    await collector.until(({ requests }) => requests.length === 2);
    collector.answer = () => ({ status: 503, headers: { "Retry-After": "60" } });
    await cairn("event", "purchase", { order_id: "o1" });
    await came("purchase");
    const purchase = collector.events.at(-1);
    await page.waitForFunction(() => window.answers === 3);
    collector.answer = () => undefined;
    await open("/next");
    await came("page_view", 2);
    assert.equal(collector.names().filter((name) => name === "purchase").length, 1);

    await cairn("consent", { analytics: "granted" });
    await cairn("event", "marker");
    await came("marker");
    const repeated = collector.events.filter(({ event }) => event === "purchase");
    assert.equal(repeated.length, granted ? 2 : 1);
    if (granted) assert.equal(repeated[1].event_id, purchase.event_id);
    assert.equal(await page.evaluate(() => localStorage.length), 0, "nothing is left behind");
  });
}

test("a withdrawn permission erases what waited in the browser", async () => {
  collector.page("/");
  await page.addInitScript(countAnswers);
  await open("/");
  await came("page_view");
  await cairn("consent", { analytics: "granted" });
  await page.waitForFunction(() => window.answers === 2);
  collector.answer = () => ({ status: 503, headers: { "Retry-After": "60" } });
  await cairn("event", "purchase", { order_id: "o1" });
  await page.waitForFunction(() => window.answers === 3);
  await setVisibility("hidden");
  const kept = await page.evaluate(() => localStorage.getItem("cairn:k1"));
  assert.match(kept, /"order_id":"o1"/);
  await setVisibility("visible");
  await cairn("consent", { analytics: "denied" });
  assert.equal(await page.evaluate(() => localStorage.length), 0);
});

test("an event is copied when it happens", async () => {
  collector.page("/");
  await open("/");
  await cairnReady();
  await page.evaluate(() => {
    const cart = { items: [{ item_id: "7" }], value: 59.9, currency: "EUR", props: { plan: "pro" } };
    window.cairn("event", "begin_checkout", cart);
    cart.items.push({ item_id: "8" });
  });
  await came("begin_checkout");
  const { event_id, timestamp, envelope, ...event } = collector.events.at(-1);
  assert.deepEqual(event, {
    event: "begin_checkout",
    url: `${collector.site}/`,
    items: [{ item_id: "7" }],
    value: 59.9,
    currency: "EUR",
    props: { plan: "pro" },
  });
});

test("identify names the events that follow", async () => {
  collector.page("/");
  await open("/");
  await cairnReady();
  await cairn("identify", "user-7", { email: "a@shop.test" });
  await cairn("event", "sign_up");
  await came("sign_up");
  const [, identify, signUp] = collector.events;
  assert.equal(identify.event, "identify");
  assert.equal(identify.user_id, "user-7");
  assert.equal(signUp.user_id, "user-7");
  assert.equal(signUp.traits, undefined);
});

test("calls from before the script are kept, and a choice goes with the first view", async () => {
  collector.page("/", {
    head: `<script>window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)}
      window.early = window.cairn;
      cairn("consent", {analytics: "granted"}); cairn("event", "sign_up");</script>
      ${collector.script()}`,
  });
  await open("/");
  await came("sign_up");
  assert.equal(collector.requests.length, 1);
  const { age_ms, ...said } = collector.requests[0].body.consent;
  assert.deepEqual(said, { analytics: "granted" });
  assert.ok(age_ms > 0, "said before the script came");
  assert.deepEqual(collector.names(), ["page_view", "sign_up"]);
  await page.evaluate(() => window.early("event", "through_the_stub"));
  await came("through_the_stub");
});

test("a fault in a call is a warning, never an exception", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await page.evaluate(() => {
    const circle = {};
    circle.self = circle;
    window.cairn("event", "circle", circle);
    window.cairn("event");
    window.cairn("remeber", "size", "M");
    window.cairn("consent", null);
    window.cairn();
    document.dispatchEvent(new Event("click"));
  });
  assert.deepEqual(await namesUntilMarker(), ["page_view"]);
  await warned(/unknown command remeber/);
  await warned(/circular/i);
});

test("data-cairn-event reports the click, also when it leads away", async () => {
  collector.page("/", {
    body: `<button type="button"><b>plain</b></button>
      <a href="/next" data-cairn-event="sign_up"><b>Join</b></a>`,
  });
  collector.page("/next", { head: "" });
  await open("/");
  await came("page_view");
  await page.click("button b");
  await page.click("a b");
  await came("sign_up");
  assert.deepEqual(
    collector.names().filter((name) => name !== "engagement"),
    ["page_view", "sign_up"],
  );
});

/** Opens a page under a policy; answers with what the browser refused of it. */
async function openUnder(policy, head) {
  collector.settings.k1 = { clicks: {}, scroll: {} };
  collector.page("/", {
    head,
    headers: { "Content-Security-Policy": policy },
    body: '<button id="buy">Buy</button>',
  });
  const refused = [];
  page.on("console", (line) => line.type() === "error" && refused.push(line.text()));
  await open("/");
  await came("page_view");
  await partRuns("clicks");
  return refused;
}

test("a strict policy (no inline script, no eval, Trusted Types) is kept, by the parts too", async () => {
  const { origin } = collector;
  const refused = await openUnder(
    `default-src 'none'; script-src ${origin}; connect-src ${origin}; require-trusted-types-for 'script'; trusted-types 'none'`,
  );
  await page.evaluate(() => history.pushState({}, "", "/next"));
  await came("page_view", 2);
  await page.click("#buy");
  await came("click");
  assert.deepEqual(
    refused.filter((line) => !line.includes("data:,")),
    [],
  );
});

test("a policy of nonces with strict-dynamic is kept, by the stub and the parts too", async () => {
  const { origin } = collector;
  const refused = await openUnder(
    `default-src 'none'; script-src 'nonce-n1' 'strict-dynamic'; connect-src ${origin}; img-src data:`,
    `<script nonce="n1">window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)}
      cairn("event", "sign_up")</script>
      ${collector.script('nonce="n1"')}`,
  );
  await page.click("#buy");
  await came("click");
  assert.deepEqual(collector.names().slice(0, 2), ["page_view", "sign_up"]);
  assert.deepEqual(refused, []);
});

test("without scripts the image counts the view, with them it is not asked for", async () => {
  const { origin } = collector;
  const image = `<noscript><img src="${origin}/p.gif?key=k1" alt="" width="1" height="1"></noscript>`;
  collector.page("/", { body: image });
  const silent = await browser.newContext({ javaScriptEnabled: false });
  try {
    const other = await silent.newPage();
    await other.goto(`${collector.site}/`);
    await collector.until(({ images }) => images.length === 1, "the image");
  } finally {
    await silent.close();
  }
  assert.deepEqual([collector.images, collector.requests], [[{ key: "k1" }], []]);
  await open("/");
  await came("page_view");
  assert.equal(collector.images.length, 1);
});

test("two keys send one after the other: two at once could each be given a new cookie", async () => {
  collector.page("/", { head: collector.script() + collector.script("", "k2") });
  const waiting = [];
  collector.answer = () => new Promise((answer) => waiting.push(answer));
  await open("/");
  await page.waitForFunction(() => Object.keys(window.cairn?.q ?? {}).some((name) => name.startsWith("k2")));
  // Both have waited for company several times over; the one that came first is not answered yet.
  await lookFor(500);
  assert.equal(waiting.length, 1);
  collector.answer = () => undefined;
  waiting[0]();
  await came("page_view", 2);
  assert.deepEqual(new Set(collector.requests.map(({ body }) => body.key)), new Set(["k1", "k2"]));
});

test("an origin that is not listed falls back to requests without cookies, once", async () => {
  collector.page("/");
  await open("/", { site: collector.stranger });
  await came("page_view", 2);
  await cairn("event", "sign_up");
  await came("sign_up");
  await cairn("event", "marker");
  await came("marker");
  assert.deepEqual(collector.names(), ["page_view", "page_view", "sign_up", "marker"]);
  const [first, second] = collector.events;
  assert.equal(first.event_id, second.event_id, "the collector can tell that it is the same view");
});

test("a tag manager may add the script later, with the key in data-key", async () => {
  collector.page("/", { head: "" });
  await open("/");
  await page.evaluate((origin) => {
    const script = document.createElement("script");
    script.async = true;
    script.src = origin + "/cairn.js";
    script.dataset.key = "k9";
    document.head.append(script);
  }, collector.origin);
  await came("page_view");
  assert.equal(collector.requests[0].body.key, "k9");
});

test("data-host names another collector", async () => {
  const host = collector.origin.replace("stats.", "stats.");
  collector.page("/", {
    head: `<script async src="${host}/cairn.js?key=k1" data-host="${collector.origin}/"></script>`,
  });
  await open("/");
  await came("page_view");
});

test("without a key nothing is sent and the developer is told", async () => {
  collector.page("/", {
    head: `<script async src="${collector.origin}/cairn.js"></script>${collector.script("", "k2")}`,
  });
  await open("/");
  await came("page_view");
  assert.deepEqual(await namesUntilMarker(), ["page_view"]);
  await warned(/\?key=/);
});

test("a clock that runs ahead is corrected by the collector's own time", async () => {
  collector.page("/");
  collector.answer = (body) =>
    body.events.some(({ event, timestamp }) => event === "page_view" && timestamp)
      ? { report: { accepted: 0, duplicate: 0, rejected: [{ index: 0, reason: "in_future" }] } }
      : undefined;
  await open("/");
  await came("page_view", 2);
  assert.deepEqual(await namesUntilMarker(), ["page_view", "page_view"]);
  const [first, second] = collector.events;
  assert.equal(second.event_id, first.event_id);
  assert.equal(second.timestamp, undefined);
});

test("many large events go out in envelopes that the collector takes", async () => {
  collector.page("/");
  await open("/");
  await came("page_view");
  await page.evaluate(() => {
    for (let n = 0; n < 40; n++) window.cairn("event", "note", { props: { text: "ß".repeat(2000) } });
  });
  await came("note", 40);
  for (const { body } of collector.requests) {
    assert.ok(Buffer.byteLength(JSON.stringify(body)) <= 65_536);
    assert.ok(body.events.length <= 100);
  }
  assert.equal(new Set(collector.events.map(({ event_id: id }) => id)).size, 41);
});
