// Reports by mail and alerts, from the owner's settings to a mailbox: the server and the dashboard are the real ones, the mail
// server and the reader of mails are other people's (smtp-server, mailparser).
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { simpleParser } from "mailparser";
import { SMTPServer } from "smtp-server";
import { assertAccessible } from "./axe.mjs";
import { launchBrowser } from "./browser.mjs";
import { certificate } from "./https.mjs";
import { Server } from "./server.mjs";

const PASSWORD = "correct-horse";
let server;
let browser;
let smtp;
let site;
let trusted;
/** The owner's page on the settings, and the panel in it. */
let page;
let panel;
const faults = [];
/** Mails as they came, parsed: {to, mail}. */
const mailbox = [];

before(async () => {
  const { key, cert } = certificate("IP:127.0.0.1");
  trusted = await mkdtemp(join(tmpdir(), "cairn-trusted-"));
  await writeFile(join(trusted, "authority.pem"), cert);
  smtp = new SMTPServer({
    key,
    cert,
    // A log-in is asked for, and offered under TLS only.
    authMethods: ["PLAIN"],
    onAuth: ({ username, password }, _session, done) =>
      username === "cairn" && password === PASSWORD ? done(null, { user: username }) : done(new Error("no")),
    onData: (stream, { envelope, secure }, done) => {
      simpleParser(stream).then((mail) => {
        mailbox.push({ to: envelope.rcptTo.map(({ address }) => address), secure, mail });
        done();
      }, done);
    },
  });
  smtp.listen(0, "127.0.0.1");
  await once(smtp.server, "listening");
  server = await Server.start({
    CAIRN_SMTP__HOST: "127.0.0.1",
    CAIRN_SMTP__PORT: String(smtp.server.address().port),
    CAIRN_SMTP__USERNAME: "cairn",
    CAIRN_SMTP__PASSWORD: PASSWORD,
    CAIRN_SMTP__FROM: "Cairn <stats@shop.test>",
    CAIRN_SMTP__NETWORKS_ALLOWED: "127.0.0.1",
    CAIRN_OUTGOING__AUTHORITIES: join(trusted, "authority.pem"),
  });
  browser = await launchBrowser();
  site = (await server.api("GET", "/api/v1/sites")).items[0];
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (fault) => faults.push(fault.stack));
  await page.goto(server.loginUrl);
  await page.waitForURL((url) => !url.pathname.startsWith("/login"));
  await page.goto(`${server.origin}/sites/${site.id}/settings`);
  panel = page.getByRole("region", { name: "Reports by mail and alerts" });
});

after(async () => {
  await browser?.close();
  await server?.stop();
  await new Promise((closed) => smtp.close(closed));
  await rm(trusted, { recursive: true, force: true });
});

/** A mail as a reader sees it, who fetches nothing and runs nothing. */
async function assertSelfContained({ html }, about) {
  const context = await browser.newContext({ javaScriptEnabled: true, viewport: { width: 390, height: 800 } });
  const reader = await context.newPage();
  const asked = [];
  await reader.route("**/*", (route) => {
    asked.push(route.request().url());
    return route.abort();
  });
  await reader.setContent(html);
  assert.deepEqual(asked, [], "a mail fetches nothing");
  assert.equal(await reader.locator("script, img, link, iframe").count(), 0);
  await assertAccessible(reader, about);
  await context.close();
}

test("a report is made, mailed, changed and ended by its reader; an alert is tested, changed and signed anew", async () => {
  await panel.locator("form").first().getByLabel("To", { exact: true }).fill("ann@shop.test, bob@shop.test");
  await panel.getByRole("button", { name: "Mail a report" }).click();
  await panel.getByText("Every week at 08:00").waitFor();
  await panel.getByRole("button", { name: "Send to ann@shop.test, bob@shop.test now" }).click();
  await panel.getByText("2 were sent.").waitFor();
  assert.deepEqual(mailbox.map(({ to }) => to[0]).sort(), ["ann@shop.test", "bob@shop.test"]);
  const { mail, secure } = mailbox.find(({ to }) => to[0] === "ann@shop.test");
  assert.ok(secure, "it came under TLS");
  assert.equal(mail.from.text, '"Cairn" <stats@shop.test>');
  assert.ok(mail.subject.startsWith(`${site.name}: `), mail.subject);
  assert.equal(mail.attachments.length, 0);
  for (const text of [mail.text, mail.html]) {
    for (const part of ["Visitors", "Top pages", "Top sources", "Open the report", "End these reports"])
      assert.ok(text.includes(part), `${part}: ${text}`);
  }
  await assertSelfContained(mail, "a report as a mail");

  await panel.getByRole("button", { name: "Change “Every week at 08:00”" }).click();
  const form = panel.getByRole("form", { name: "Changes “Every week at 08:00”" });
  await form.getByLabel("How often").selectOption("day");
  await form.getByLabel("Hour").fill("25");
  await form.getByRole("button", { name: "Save" }).click();
  await form.getByText(/from 0 to 23/).waitFor();
  await form.getByLabel("Hour").fill("6");
  await form.getByRole("button", { name: "Save" }).click();
  await panel.getByText("Every day at 06:00").waitFor();
  assert.equal(await panel.getByText("Every week at 08:00").count(), 0);

  const { url } = mail.headers.get("list").unsubscribe;
  assert.equal(mail.headers.get("list")["unsubscribe-post"].name, "List-Unsubscribe=One-Click");
  const ended = await fetch(url, { method: "POST", body: "List-Unsubscribe=One-Click" });
  assert.equal(ended.status, 200);
  await page.reload();
  await panel.getByText(/ann@shop\.test \(ended it\), bob@shop\.test/).waitFor();

  const watched = panel.locator("form").nth(1);
  await watched.getByLabel("Name").fill("Quiet");
  await watched.getByLabel("Webhook").fill("https://127.0.0.1/hook");
  await watched.getByRole("button", { name: "Add an alert" }).click();
  await watched.getByText(/No post: the target is refused/).waitFor();
  await watched.getByLabel("Webhook").fill("https://hooks.shop.test/");
  await watched.getByLabel("To", { exact: true }).fill("ann@shop.test");
  await watched.getByRole("button", { name: "Add an alert" }).click();
  const alert = panel.getByRole("listitem").filter({ hasText: "Quiet" });
  const secret = await alert.locator("code").innerText();
  await alert.getByRole("button", { name: "Another secret" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Another secret" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await alert.locator("code").filter({ hasNotText: secret }).waitFor();
  await alert.getByRole("button", { name: "Change “Quiet”" }).click();
  await watched.getByLabel("What to tell").selectOption("drop");
  await watched.getByLabel("What is counted").selectOption("events");
  await watched.getByLabel("Webhook").fill("");
  await watched.getByRole("button", { name: "Save" }).click();
  await alert.getByText("Far fewer than usual").waitFor();
  assert.equal(await alert.locator("code").count(), 0);
  const [{ rule }] = (await server.api("GET", `/api/v1/sites/${site.id}/alerts`)).items;
  assert.deepEqual([rule.kind, rule.metric, rule.percent], ["drop", "events", 50]);
  await alert.getByRole("button", { name: "Send a test of “Quiet”" }).click();
  await alert.getByText("1 message was sent.").waitFor();
  const told = mailbox.at(-1).mail;
  assert.match(told.text, /This is a test/);
  assert.ok(told.headers.get("list").unsubscribe.url.includes("/unsubscribe?token=alert-"));
  await assertAccessible(page, "settings with a report and an alert");
  assert.deepEqual(faults, []);
});

test("a mail server that takes no log-in now is told to the owner, and the mail waits", async () => {
  await panel.locator("form").first().getByLabel("To", { exact: true }).fill("eve@shop.test");
  await panel.getByRole("button", { name: "Mail a report" }).click();
  const { onAuth } = smtp.options;
  smtp.onAuth = (_auth, _session, done) => done(new Error("no"));
  try {
    await panel.getByRole("button", { name: "Send to eve@shop.test now" }).click();
    await panel.getByText(/Not sent: the target is unavailable: the mail server refuses the log-in/).waitFor();
  } finally {
    smtp.onAuth = onAuth;
  }
  const { items } = await server.api("GET", `/api/v1/sites/${site.id}/digests`);
  const [{ state, attempts }] = items.at(-1).dispatches;
  assert.deepEqual([state, attempts], ["waiting", 1]);
  assert.deepEqual(faults, []);
});
