// Other vendors' own libraries send to Cairn after nothing but a change of host: Segment's for Node,
// Python and browsers, RudderStack's for Node and browsers. What they were told is compared with what
// the API reads back.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { launchBrowser } from "./browser.mjs";
import { Server } from "./server.mjs";

/** Stored events are visible after at most two seconds; a busy machine gets some more. */
const VISIBLE_MS = 20_000;
const POLL_MS = 50;
/** A sender's clock is set right by the time that the way took; a busy machine takes a while. */
const CLOCK_MS = 10_000;

const AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const HOME = "https://shop.test/?q=cups&gclid=TeSter-123";

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([launchBrowser(), Server.start()]);
});

after(async () => {
  await browser?.close();
  if (server) assert.equal(await server.stop(), 0, "SIGTERM ends it cleanly");
});

/** A site that keeps identifiers until somebody says no, and a pixel of this kind. */
async function site(kind, domain) {
  const made = await server.api("POST", "/api/v1/sites", {
    name: domain,
    domain,
    timezone: "Europe/Berlin",
    currency: "EUR",
    privacy: { policy: "opt_out" },
  });
  const pixel = await server.api("POST", `/api/v1/sites/${made.id}/pixels`, { name: kind, kind });
  return { ...made, key: pixel.key };
}

/** Every event of a site, once there are as many as expected. */
async function stored(siteId, count) {
  const deadline = Date.now() + VISIBLE_MS;
  for (;;) {
    const { items } = await server.api("GET", `/api/v1/sites/${siteId}/events?limit=1000`);
    if (items.length >= count || Date.now() > deadline) return items;
    await pause(POLL_MS);
  }
}

/** Fields of the stored event that differ from what was wanted, in words. */
function differences(wanted, found) {
  const faults = [];
  const { at, props, library, list: parts, ...fields } = wanted;
  for (const [name, value] of Object.entries(fields)) {
    if (!isDeepStrictEqual(found[name], value)) {
      faults.push(`${name}: ${JSON.stringify(found[name])} for ${JSON.stringify(value)}`);
    }
  }
  if (Math.abs(Date.parse(found.timestamp) - at) > CLOCK_MS) {
    faults.push(`timestamp: ${found.timestamp} for ${new Date(at).toISOString()}`);
  }
  const { library: sentBy, list: nested, app, ...own } = found.props;
  if (!isDeepStrictEqual(own, props ?? {})) {
    faults.push(`props: ${JSON.stringify(own)} for ${JSON.stringify(props ?? {})}`);
  }
  if (!sentBy?.startsWith(library)) faults.push(`library: ${sentBy} for ${library}`);
  if (!isDeepStrictEqual(nested && JSON.parse(nested), parts)) faults.push(`list: ${nested}`);
  return faults;
}

/** Holds every stored event against the one that was sent. */
function compare(client, wanted, found) {
  const faults = [];
  for (const one of wanted) {
    const match = found.filter((event) =>
      one.event_id ? event.event_id === one.event_id : event.event === one.event,
    );
    if (match.length !== 1) faults.push(`${one.event}: found ${match.length} times`);
    else for (const fault of differences(one, match[0])) faults.push(`${one.event}: ${fault}`);
  }
  if (found.length !== wanted.length) faults.push(`${found.length} events for ${wanted.length}`);
  const verdict = faults.length === 0 ? "none" : `\n  ${faults.join("\n  ")}`;
  const line = `${client}: ${wanted.length} events sent, ${found.length} found, differences: ${verdict}`;
  console.log(line);
  assert.deepEqual(faults, [], line);
}

/** The same visit for every server library: `say(call, message)` sends, what it gives is wanted. */
function visit(say, library) {
  const context = {
    ip: "81.2.69.142",
    userAgent: AGENT,
    locale: "fr-FR",
    screen: { width: 1440, height: 900 },
    campaign: { source: "newsletter", medium: "email", name: "spring" },
    page: { url: HOME, title: "Shop home", referrer: "https://www.google.com/search?q=cups" },
  };
  const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000);
  const device = {
    browser: "Chrome",
    browser_version: "156",
    os: "Linux",
    os_version: "",
    type: "desktop",
  };
  const common = {
    library,
    identification: "identified",
    language: "fr-FR",
    screen: "1440x900",
    url: HOME,
    title: "Shop home",
    referrer: "google.com/search",
    source: "newsletter",
    medium: "email",
    channel: "Email",
    utm: { source: "newsletter", medium: "email", campaign: "spring", content: "", term: "" },
    bot: "",
    device,
    value: null,
    currency: "",
    order_id: "",
    items: [],
    truncated: false,
  };
  const steps = [
    ["identify", { traits: { email: "ada@example.com", plan: "pro" } }, { event: "identify" }],
    [
      "page",
      {
        category: "Shop",
        name: "Home",
        properties: { url: "https://shop.test/cups", title: "Cups", path: "/cups", search: "?a=b" },
      },
      {
        event: "page_view",
        url: "https://shop.test/cups",
        title: "Cups",
        props: { name: "Home", category: "Shop" },
      },
    ],
    [
      "track",
      {
        event: "Product Added",
        properties: {
          cart_id: "c-1",
          product_id: "SKU-1",
          name: "Espresso cup",
          price: 19.99,
          quantity: 2,
          currency: "EUR",
        },
      },
      {
        event: "add_to_cart",
        items: [{ item_id: "SKU-1", item_name: "Espresso cup", price: 19.99, quantity: 2 }],
        props: { cart_id: "c-1", currency: "EUR" },
      },
    ],
    [
      "track",
      {
        event: "Order Completed",
        properties: {
          order_id: "O-1001",
          revenue: 0.1 + 0.2 + 59.67,
          total: 69.5,
          coupon: "SPRING",
          products: [{ product_id: "SKU-1", price: 19.99, quantity: 3 }],
        },
      },
      {
        event: "purchase",
        order_id: "O-1001",
        value: 59.97,
        currency: "EUR",
        items: [{ item_id: "SKU-1", price: 19.99, quantity: 3 }],
        props: { total: "69.5", coupon: "SPRING" },
      },
    ],
    [
      "track",
      {
        event: "Naïve ☕ 事件",
        properties: { note: 'emoji 🎉 "quotes" \\ back\nline', zero: 0, neg: -1.5, list: [1, "2"] },
        timestamp: twoDaysAgo,
      },
      {
        event: "Naïve ☕ 事件",
        at: twoDaysAgo.getTime(),
        props: { note: 'emoji 🎉 "quotes" \\ back\nline', zero: "0", neg: "-1.5" },
        list: [1, "2"],
      },
    ],
    [
      "screen",
      { name: "Cart", properties: { pieces: 2 } },
      { event: "screen_view", props: { screen_name: "Cart", pieces: "2" } },
    ],
    ["group", { groupId: "g-1", traits: { name: "Acme", employees: 42 } }, { event: "join_group" }],
    ["alias", { previousId: "anon-7f3a" }, { event: "alias" }],
    [
      "track",
      {
        event: "Refused",
        context: { ...context, consent: { categoryPreferences: { Analytics: false } } },
      },
      { event: "Refused", event_id: "", identification: "anonymous", url: "https://shop.test/" },
    ],
  ];
  return steps.flatMap(([call, message, wanted]) => {
    const messageId = `${library}-${randomUUID()}`;
    const sent = { userId: "u-123", messageId, context, ...message };
    if (say(call, sent) === false) return [];
    return [{ at: Date.now(), event_id: messageId, ...common, ...wanted }];
  });
}

test("@segment/analytics-node", async () => {
  const { Analytics } = await import("@segment/analytics-node");
  const { id, key } = await site("server", "node.test");
  const client = new Analytics({ writeKey: key, host: server.origin });
  const faults = [];
  client.on("error", (fault) => faults.push(fault));
  const wanted = visit((call, message) => {
    client[call](message);
  }, "@segment/analytics-node");
  await client.closeAndFlush();
  assert.deepEqual(faults, []);
  compare("@segment/analytics-node", wanted, await stored(id, wanted.length));
});

test("@rudderstack/rudder-sdk-node", async () => {
  const RudderAnalytics = createRequire(import.meta.url)("@rudderstack/rudder-sdk-node");
  const { id, key } = await site("server", "rudder-node.test");
  const client = new RudderAnalytics(key, { dataPlaneUrl: server.origin, flushAt: 4, logLevel: "error" });
  const sent = [];
  const wanted = visit((call, message) => {
    // Its types and its checks know no `screen` without a name, and aliases without a context.
    sent.push(new Promise((done, fail) => client[call](message, (fault) => (fault ? fail(fault) : done()))));
  }, "analytics-node");
  await client.flush();
  await Promise.all(sent);
  compare("@rudderstack/rudder-sdk-node", wanted, await stored(id, wanted.length));
});

/** The interpreter of an environment with Segment's Python library, or why there is none. */
function python() {
  const root = fileURLToPath(new URL("../target/python", import.meta.url));
  const interpreter = `${root}/bin/python`;
  const run = (command, ...args) => {
    const done = spawnSync(command, args, { encoding: "utf8", timeout: 120_000 });
    return done.status === 0 ? "" : (done.error?.message ?? done.stderr.trim().split("\n").at(-1));
  };
  const requirements = fileURLToPath(new URL("requirements.txt", import.meta.url));
  const fault =
    (existsSync(`${root}/bin/pip`) ? "" : run("python3", "-m", "venv", root)) ||
    run(interpreter, "-m", "pip", "install", "--quiet", "--requirement", requirements);
  return { interpreter, fault };
}

function notRun(name, why) {
  const line = `NOT RUN: ${name}: ${why}`;
  console.error(line);
  const target = fileURLToPath(new URL("../target/", import.meta.url));
  mkdirSync(target, { recursive: true });
  appendFileSync(`${target}not-run.log`, `${line}\n`);
}

test("segment-analytics-python", async () => {
  const { interpreter, fault } = python();
  if (fault) return notRun("segment-analytics-python", `its library cannot be installed (${fault})`);
  const { id, key } = await site("server", "python.test");
  const messages = [];
  const wanted = visit((call, { userId, messageId, groupId, previousId, ...message }) => {
    const named = { call, user_id: userId, message_id: messageId, ...message };
    if (groupId) named.group_id = groupId;
    if (previousId) named.previous_id = previousId;
    messages.push(named);
  }, "analytics-python");
  const child = spawn(interpreter, [fileURLToPath(new URL("sdks/python_client.py", import.meta.url))], {
    stdio: ["pipe", "inherit", "inherit"],
  });
  child.stdin.end(JSON.stringify({ key, host: server.origin, gzip: true, messages }));
  const [code] = await once(child, "exit");
  assert.equal(code, 0);
  compare("segment-analytics-python", wanted, await stored(id, wanted.length));
});

/** A page of the shop with one script, on a host of its own beside the collector's. */
async function page(testing, script) {
  const source = readFileSync(fileURLToPath(new URL(`node_modules/${script}`, import.meta.url)));
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop home</title>
<link rel="icon" href="data:,"><script src="/library.js"></script></head><body></body></html>`;
  const shop = createServer((request, response) => {
    const isScript = request.url === "/library.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? source : html);
  });
  shop.listen(0, "127.0.0.1");
  await once(shop, "listening");
  testing.after(() => {
    shop.closeAllConnections();
    shop.close();
  });
  return shop;
}

/** Opens the page in a fresh browser; `requests` lists the hosts that it asked. */
async function visitor(testing, shop, domain) {
  const context = await browser.newContext({ userAgent: AGENT, locale: "fr-FR" });
  testing.after(() => context.close());
  const tab = await context.newPage();
  const requests = [];
  tab.on("request", (request) => requests.push(request));
  tab.on("pageerror", (fault) => console.error(fault));
  const url = `http://${domain}:${shop.address().port}/?q=cups&utm_source=newsletter&utm_campaign=spring&gclid=TeSter-123`;
  await tab.goto(url, { referer: "https://www.google.com/" });
  return { context, tab, requests, url };
}

/** What the browser libraries are told, in order, and what is wanted of it. */
const CLICKS = [
  ["identify", ["u-123", { email: "ada@example.com" }], { event: "identify" }],
  ["page", ["Shop", "Home"], { event: "page_view", props: { name: "Home", category: "Shop" } }],
  [
    "track",
    ["Product Added", { product_id: "SKU-1", price: 19.99, quantity: 2, currency: "EUR" }],
    {
      event: "add_to_cart",
      items: [{ item_id: "SKU-1", price: 19.99, quantity: 2 }],
      props: { currency: "EUR" },
    },
  ],
  [
    "track",
    ["Order Completed", { order_id: "O-1", revenue: 59.97, products: [{ product_id: "SKU-1" }] }],
    {
      event: "purchase",
      value: 59.97,
      currency: "EUR",
      order_id: "O-1",
      items: [{ item_id: "SKU-1" }],
    },
  ],
  ["track", ["Naïve ☕ 事件", { note: "🎉", list: [1, "2"] }], { event: "Naïve ☕ 事件", props: { note: "🎉" }, list: [1, "2"] }],
  ["group", ["g-1", { name: "Acme" }], { event: "join_group" }],
  ["alias", ["u-124", "u-123"], { event: "alias" }],
];

function clicksWanted(url, library) {
  const browserItself = {
    browser: "Chrome",
    browser_version: "156",
    os: "Linux",
    os_version: "",
    type: "desktop",
  };
  const common = {
    at: Date.now(),
    library,
    identification: "identified",
    url: url.replace(/^http/, "https").replace(/:\d+/, ""),
    title: "Shop home",
    referrer: "google.com",
    source: "newsletter",
    utm: { source: "newsletter", medium: "", campaign: "spring", content: "", term: "" },
    language: "fr-FR",
    device: browserItself,
    bot: "",
    value: null,
    currency: "",
    order_id: "",
    items: [],
    truncated: false,
  };
  return CLICKS.map(([, , wanted]) => ({ ...common, ...wanted }));
}

function elsewhere(requests, domain) {
  const hosts = requests.map((request) => new URL(request.url()).hostname);
  return hosts.filter((host) => host !== domain && host !== `stats.${domain}`);
}

/** Lets a library send from a page that knows nothing of Cairn but its host. */
async function browse(testing, { domain, script, library, load }) {
  const { id, key } = await site("web", domain);
  const shop = await page(testing, script);
  const { context, tab, requests, url } = await visitor(testing, shop, domain);
  const cairn = server.origin.replace("127.0.0.1", `stats.${domain}`);
  const wanted = clicksWanted(url, library);
  await tab.evaluate(load, { key, cairn, clicks: CLICKS });
  const found = await stored(id, wanted.length);
  compare(testing.name, wanted, found);
  assert.equal(new Set(found.map((event) => event.visitor_id)).size, 1, "one visitor");
  assert.deepEqual(elsewhere(requests, domain), [], "nobody else is told");
  const ours = (await context.cookies()).filter((cookie) => cookie.name.startsWith("cairn_"));
  assert.deepEqual(ours, [], "these libraries have an id of their own");
}

test("@segment/analytics-next in Chromium", (testing) =>
  browse(testing, {
    domain: "segment.test",
    script: "@segment/analytics-next/dist/umd/index.js",
    library: "analytics.js",
    load: async ({ key, cairn, clicks }) => {
      const { AnalyticsBrowser } = window.AnalyticsNext;
      const client = AnalyticsBrowser.load({ writeKey: key, cdnURL: cairn });
      for (const [call, parameters] of clicks) await client[call](...parameters);
    },
  }));

test("@segment/analytics-next in Chromium, in batches", (testing) =>
  browse(testing, {
    domain: "batches.test",
    script: "@segment/analytics-next/dist/umd/index.js",
    library: "analytics.js",
    load: async ({ key, cairn, clicks }) => {
      const deliveryStrategy = { strategy: "batching", config: { size: 3, timeout: 200 } };
      const { AnalyticsBrowser } = window.AnalyticsNext;
      const settings = { writeKey: key, cdnURL: cairn };
      const options = { integrations: { "Segment.io": { deliveryStrategy } } };
      const client = AnalyticsBrowser.load(settings, options);
      for (const [call, parameters] of clicks) await client[call](...parameters);
    },
  }));

test("@rudderstack/analytics-js in Chromium", (testing) =>
  browse(testing, {
    domain: "rudder.test",
    script: "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js",
    library: "RudderLabs JavaScript SDK",
    load: async ({ key, cairn, clicks }) => {
      const client = new window.rudderanalytics.RudderAnalytics();
      const ready = new Promise((resolve) => client.ready(resolve));
      client.load(key, cairn, { configUrl: cairn, logLevel: "ERROR" });
      await ready;
      for (const [call, parameters] of clicks) client[call](...parameters);
    },
  }));
