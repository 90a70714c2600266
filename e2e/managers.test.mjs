// What consent managers of the page say: heard as they say it, changes followed, strings handed on unread.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cairn, collector, came, namesUntilMarker, open, page, partRuns } from "./rig.mjs";

/** Opens a page that has this script before the tracker. */
async function openWith(script, options = {}) {
  collector.settings.k1 = { managers: options };
  collector.page("/", { head: `<script>${script}</script>${collector.script()}` });
  await open("/");
  await came("page_view");
  await partRuns("managers");
}

const told = () => collector.requests.flatMap(({ body }) => (body.consent ? [body.consent] : []));
const toldCame = (count) => collector.until(() => told().length >= count, `${count} × consent`);

const TCF = `
  let hear, state = { eventStatus: "cmpuishown", gdprApplies: true, tcString: "C-no", purpose: { consents: {} } };
  window.asked = [];
  window.__tcfapi = (command, version, answer, parameter) => {
    asked.push([command, version]);
    hear = answer;
    answer(state, true);
  };
  window.change = (changed) => hear(Object.assign(state, changed), true);`;

test("TCF: the string is handed on once the visitor answered, and each change after it", async () => {
  await openWith(TCF);
  assert.deepEqual(await page.evaluate(() => window.asked), [["addEventListener", 2]]);
  assert.deepEqual(await namesUntilMarker(), ["page_view"]);
  assert.deepEqual(told(), [], "while the question is open, nothing was said");
  const yes = { 1: true, 8: true, 9: true };
  await page.evaluate(
    (consents) => window.change({ eventStatus: "useractioncomplete", tcString: "C-yes", purpose: { consents } }),
    yes,
  );
  await toldCame(1);
  assert.deepEqual(told()[0], { tcf: "C-yes", signal: "tcf", age_ms: 0 });
  await page.evaluate(() => window.change({ tcString: "C-no", purpose: { consents: { 1: true } } }));
  await toldCame(2);
  assert.deepEqual(told()[1], { tcf: "C-no", signal: "tcf", age_ms: 0 });
  await page.evaluate(() => window.change({}));
  await cairn("event", "marker");
  await came("marker", 2);
  const alone = collector.requests.filter(({ body }) => body.consent && !body.events.length);
  assert.equal(alone.length, 2, "what is no change is not told");
});

test("what a manager allows, the tracker may do: name, and keep what failed", async () => {
  await openWith(TCF);
  const consents = { 1: true, 8: true, 9: true };
  const answer = (granted) =>
    page.evaluate(
      (consents) => window.change({ eventStatus: "useractioncomplete", tcString: "C" + Object.keys(consents).length, purpose: { consents } }),
      granted,
    );
  await answer({ 1: true });
  await toldCame(1);
  await cairn("identify", "user-7");
  await cairn("event", "after_no");
  await came("after_no");
  assert.doesNotMatch(JSON.stringify(collector.requests.map(({ body }) => body)), /user-7/);
  await answer(consents);
  await toldCame(2);
  await cairn("event", "after_yes");
  await came("after_yes");
  assert.equal(collector.events.at(-1).user_id, "user-7");
});

test("TCF: where the regulation does not apply, its manager says nothing", async () => {
  await openWith(TCF);
  await page.evaluate(() => window.change({ eventStatus: "tcloaded", gdprApplies: false }));
  await namesUntilMarker();
  assert.deepEqual(told(), []);
});

test("GPP: when its manager is ready, with the sections that apply", async () => {
  await openWith(`
    window.__gpp = (command, answer) => {
      window.command = command;
      const pingData = { signalStatus: "not ready", gppString: "DBAA", applicableSections: [] };
      answer({ eventName: "listenerRegistered", pingData }, true);
      window.change = (changed) => answer({ eventName: "signalStatus", pingData: Object.assign(pingData, changed) }, true);
    };`);
  assert.equal(await page.evaluate(() => window.command), "addEventListener");
  await namesUntilMarker();
  assert.deepEqual(told(), []);
  const string = "DBABBg~BVVVVUCA.YA";
  await page.evaluate(
    (gppString) => window.change({ signalStatus: "ready", gppString, applicableSections: [8] }),
    string,
  );
  await toldCame(1);
  assert.deepEqual(told()[0], { gpp: string, gpp_sid: [8], signal: "gpp", age_ms: 0 });
});

test("US Privacy: the string", async () => {
  await openWith(`
    window.__uspapi = (command, version, answer) =>
      command === "getUSPData" && version === 1 && answer({ version: 1, uspString: "1YYN" }, true);`);
  await toldCame(1);
  assert.deepEqual(told()[0], { us_privacy: "1YYN", signal: "us_privacy", age_ms: 0 });
});

test("consent mode: an update is the visitor's word, a default is not", async () => {
  await openWith(`
    window.dataLayer = [];
    function gtag() { dataLayer.push(arguments) }
    gtag("consent", "default", { analytics_storage: "granted", ad_storage: "denied" });`);
  await namesUntilMarker();
  assert.deepEqual(told(), []);
  await page.evaluate(() => gtag("consent", "update", { analytics_storage: "granted", wait_for_update: 500 }));
  await toldCame(1);
  const mode = { analytics_storage: "granted" };
  assert.deepEqual(told()[0], { consent_mode: mode, signal: "consent_mode", age_ms: 0 });
  await page.evaluate(() => {
    gtag("event", "login");
    gtag("consent", "update", { ad_storage: "granted", ad_user_data: "granted" });
    gtag("consent", "update", { ad_personalization: "granted", analytics_storage: "denied" });
  });
  await toldCame(2);
  const ads = { ad_storage: "granted", ad_user_data: "granted", ad_personalization: "granted" };
  assert.deepEqual(told().at(-1).consent_mode, { ...ads, analytics_storage: "denied" });
  await page.evaluate(() => gtag("consent", "update", { ad_user_data: "denied" }));
  await toldCame(3);
  assert.equal(told().at(-1).consent_mode.ad_user_data, "denied");
  assert.equal(await page.evaluate(() => window.dataLayer.length), 6, "Google gets what it got before");
});

test("only the managers that the settings name are heard", async () => {
  await openWith(
    `${TCF} state.eventStatus = "tcloaded"; window.dataLayer = [["consent", "update", { analytics_storage: "granted" }]];`,
    { read: ["consent_mode"] },
  );
  await toldCame(1);
  assert.deepEqual(told()[0], { consent_mode: { analytics_storage: "granted" }, signal: "consent_mode", age_ms: 0 });
  assert.deepEqual(await page.evaluate(() => window.asked), []);
});

test("a page without a manager says nothing, and one that comes with the end of loading is heard", async () => {
  collector.settings.k1 = { managers: {} };
  let finish;
  const slow = new Promise((resolve) => (finish = resolve));
  await page.route("**/slow.js", async (route) => {
    await slow;
    await route.fulfill({
      contentType: "text/javascript",
      body: 'window.__uspapi = (command, version, answer) => answer({ uspString: "1YNN" }, true)',
    });
  });
  collector.page("/", { head: collector.script() + '<script async src="/slow.js"></script>' });
  await page.goto(collector.site + "/", { waitUntil: "commit" });
  await came("page_view");
  await partRuns("managers");
  assert.deepEqual(told(), []);
  finish();
  await toldCame(1);
  assert.equal(told()[0].us_privacy, "1YNN");
});
