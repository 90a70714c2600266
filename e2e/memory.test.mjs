// What a site has remembered, in real browsers against the real server: it outlives the browser,
// follows a person whose server signed for it, and is nowhere without permission, on other sites'
// pages, and after a no.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launchBrowser, launchKept } from "./browser.mjs";
import { Server } from "./server.mjs";

let browser;
let server;
let site;
let secret;

before(async () => {
  [browser, server] = await Promise.all([launchBrowser(), Server.start()]);
  [site] = (await server.api("GET", "/api/v1/sites")).items;
  ({ secret } = await server.api("POST", `/api/v1/sites/${site.id}/identity-secret`));
});

after(async () => {
  await browser?.close();
  if (server) assert.equal(await server.stop(), 0, "SIGTERM ends it cleanly");
});

/** What the site's server does, as docs/memory.md says. */
function signed(userId, livesFor = 600) {
  const expiry = Math.floor(Date.now() / 1000) + livesFor;
  const signature = createHmac("sha256", secret).update(`v1.${expiry}.${userId}`).digest("hex");
  return `v1.${expiry}.${signature}`;
}

/** A page of the shop in a context of its own. */
async function visitor(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.goto(server.origin + "/demo/");
  return page;
}

const say = (page, ...words) => page.evaluate((words) => window.cairn(...words), words);

/** Answers once the collector has answered all that was said before. */
const recall = (page, name) =>
  page.evaluate(
    (name) =>
      new Promise((done) => window.cairn("recall", name, (value) => done(value ?? "nothing"))),
    name,
  );

const memoryCookie = async (context) =>
  (await context.cookies()).find(({ name }) => name === "cairn_memory");

/** Chromium writes its cookies down when 512 of them have changed, or half a minute later: it may end before that. */
async function writeCookies(context, profile, names) {
  const file = join(profile, "Default", "Cookies");
  for (let round = 0; round < 40; round += 1) {
    const many = Array.from({ length: 600 }, (_, number) => ({
      name: `full${round}-${number}`,
      value: "1",
      url: `http://full${number % 6}.test/`,
      expires: Date.now() / 1000 + 3_600,
    }));
    await context.addCookies(many);
    const written = await readFile(file).catch(() => Buffer.alloc(0));
    if (names.every((name) => written.includes(name))) return;
  }
  assert.fail(`the browser never wrote ${names} down`);
}

test("a value outlives the browser", async () => {
  const profile = await mkdtemp(join(tmpdir(), "cairn-profile-"));
  let context = await launchKept(profile);
  try {
    let page = await visitor(context);
    await say(page, "consent", { functional: "granted" });
    await say(page, "remember", "size", "M");
    await say(page, "remember", "cart", [{ item_id: "tarn-2", quantity: 2 }]);
    assert.equal(await recall(page, "size"), "M");
    const cookie = await memoryCookie(context);
    assert.ok(cookie.httpOnly && cookie.sameSite === "Lax", "no script reads it");
    assert.ok(cookie.expires > Date.now() / 1000 + 390 * 86_400);
    const names = (await context.cookies()).map(({ name }) => name);
    assert.ok(!names.includes("cairn_id"), "memory needs no id for analysis");
    await writeCookies(context, profile, ["cairn_memory", "cairn_consent"]);
    await context.close();
    context = await launchKept(profile);
    page = await visitor(context);
    assert.equal(await recall(page, "size"), "M");
    assert.deepEqual(await recall(page, "cart"), [{ item_id: "tarn-2", quantity: 2 }]);
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});

test("after a signed identification the memory is on the other browser, and joined", async () => {
  const [phone, laptop] = await Promise.all([browser.newContext(), browser.newContext()]);
  const onPhone = await visitor(phone);
  const onLaptop = await visitor(laptop);
  for (const page of [onPhone, onLaptop]) await say(page, "consent", { functional: "granted" });
  await say(onPhone, "remember", "colour", "moss");
  await say(onPhone, "remember", "cart", [{ item_id: "brook", quantity: 1 }]);
  await say(onPhone, "identify", "user-7", {}, { token: signed("user-7") });
  assert.equal(await recall(onPhone, "colour"), "moss");
  await say(onLaptop, "remember", "cart", [{ item_id: "glow", quantity: 3 }]);
  assert.equal(await recall(onLaptop, "colour"), "nothing");
  await say(onLaptop, "identify", "user-7", { email: "ada@shop.example" }, { token: signed("user-7") });
  assert.equal(await recall(onLaptop, "colour"), "moss");
  const both = [
    { item_id: "glow", quantity: 3 },
    { item_id: "brook", quantity: 1 },
  ];
  assert.deepEqual(await recall(onLaptop, "cart"), both);
  assert.deepEqual(await recall(onPhone, "cart"), both);
  await say(onLaptop, "sign_out");
  assert.equal(await recall(onLaptop, "colour"), "nothing");
  await Promise.all([phone.close(), laptop.close()]);
});

test("a stranger who knows a user id gets nothing", async () => {
  const [ada, stranger] = await Promise.all([browser.newContext(), browser.newContext()]);
  const hers = await visitor(ada);
  await say(hers, "consent", { functional: "granted", analytics: "granted" });
  await say(hers, "remember", "colour", "rust");
  await say(hers, "identify", "user-9", {}, { token: signed("user-9") });
  assert.equal(await recall(hers, "colour"), "rust");
  const his = await visitor(stranger);
  await say(his, "consent", { functional: "granted", analytics: "granted" });
  const tries = [
    undefined,
    { token: "" },
    { token: signed("user-8") },
    { token: signed("user-9", -1) },
    { token: signed("user-9").replace(/.$/, (digit) => (digit === "0" ? "1" : "0")) },
  ];
  for (const proof of tries) {
    await say(his, "identify", "user-9", {}, proof);
    await say(his, "remember", "colour", "mud");
    assert.equal(await recall(his, "colour"), "mud", "his own");
    await say(his, "forget", "colour");
    assert.equal(await recall(his, "colour"), "nothing");
    assert.equal(await recall(hers, "colour"), "rust");
  }
  await Promise.all([ada.close(), stranger.close()]);
});

test("without permission nothing is kept, and a no forgets", async () => {
  const context = await browser.newContext();
  const page = await visitor(context);
  await say(page, "remember", "bird", "kanarienvogel-1");
  assert.equal(await recall(page, "bird"), "nothing");
  await say(page, "consent", { functional: "denied", analytics: "granted" });
  await say(page, "remember", "bird", "kanarienvogel-1");
  assert.equal(await recall(page, "bird"), "nothing");
  assert.equal(await memoryCookie(context), undefined);
  assert.equal(await server.keeps("kanarienvogel-1"), false);
  await say(page, "consent", { functional: "granted" });
  await say(page, "remember", "bird", "kanarienvogel-2");
  assert.equal(await recall(page, "bird"), "kanarienvogel-2");
  assert.equal(await server.keeps("kanarienvogel-2"), true, "the search finds what is there");
  const told = page.waitForResponse(
    (answer) => answer.url().endsWith("/m") && /"functional":"denied"/.test(answer.request().postData()),
  );
  // At once after the yes, which the tracker has perhaps not told yet.
  await say(page, "consent", { functional: "denied" });
  assert.equal((await told).status(), 200);
  assert.equal(await memoryCookie(context), undefined, "the cookie went with it");
  assert.equal(await server.keeps("kanarienvogel-2"), false);
  await context.close();
});

test("pages of other sites read and leave nothing", async () => {
  const context = await browser.newContext();
  const own = await visitor(context);
  await say(own, "consent", { functional: "granted" });
  await say(own, "remember", "size", "L");
  assert.equal(await recall(own, "size"), "L");
  const { items } = await server.api("GET", `/api/v1/sites/${site.id}/pixels`);
  const key = items.find(({ kind }) => kind === "web").key;
  const stranger = createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/html" }).end(
      `<!doctype html><title>Stranger</title><link rel="icon" href="data:,">
       <script>window.cairn=function(){(cairn.q=cairn.q||[]).push(arguments)}</script>
       <script async src="${server.origin}/cairn.js?key=${key}"></script>`,
    );
  });
  stranger.listen(0, "127.0.0.1");
  await once(stranger, "listening");
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    await page.goto(`http://stranger.test:${stranger.address().port}/`);
    // The browser shows the page nothing of an answer that does not name its origin.
    const refused = page.waitForEvent(
      "requestfailed",
      (request) => request.url().endsWith("/m") && request.method() === "POST",
    );
    await say(page, "consent", { functional: "granted" });
    await say(page, "remember", "bird", "kanarienvogel-3");
    await refused;
    assert.equal(await recall(page, "size"), "nothing");
    assert.equal(await server.keeps("kanarienvogel-3"), false);
    assert.equal(await recall(own, "size"), "L");
  } finally {
    stranger.closeAllConnections();
    stranger.close();
    await context.close();
  }
});

test("a password is refused with a warning that names the field", async () => {
  const context = await browser.newContext();
  const page = await visitor(context);
  const warned = page.waitForEvent("console", (line) => line.type() === "warning");
  await say(page, "consent", { functional: "granted" });
  await say(page, "remember", "password", "hunter2");
  assert.match((await warned).text(), /cairn: memory/);
  assert.equal(await server.keeps("hunter2"), false);
  await say(page, "remember", "email", "ada@shop.example");
  assert.equal(await recall(page, "email"), "ada@shop.example", "what comes after it is done");
  await context.close();
});
