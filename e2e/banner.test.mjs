// Banner and preference centre: by keyboard, by the accessibility tree, in light and dark, on small screens
// and under a strict policy for content. The collector only records; its words are those of the server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible } from "./axe.mjs";
import {
  cairn,
  came,
  collector,
  namesUntilMarker,
  open,
  page,
  partRuns,
  watchStorage,
} from "./rig.mjs";

const TEXTS = {
  title: "Your choice",
  text: "With your permission this site measures how it is used, shows you fitting advertising, and remembers what you set. It works just as well without.",
  no: "Refuse all",
  yes: "Accept all",
  settings: "Choose one by one",
  centre: "What do you allow?",
  centre_text: "You can change this at any time.",
  save: "Save choice",
  close: "Close",
  analytics: "Statistics",
  analytics_text: "Recognise this browser to count visits and see which pages help.",
  ads: "Advertising",
  ads_text: "Tell advertising partners which ads worked, and show fitting ones.",
  personalization: "Personal content",
  personalization_text: "Show what fits earlier visits.",
  functional: "Settings",
  functional_text: "Remember language, cart and other things that you set.",
  gpc: "Your browser asks that your data be neither sold nor shared (Global Privacy Control). This is honoured.",
  policy: "Privacy policy",
};
const SHOWN = { version: "1-abc", language: "en" };
const all = (choice) =>
  Object.fromEntries(["analytics", "ads", "personalization", "functional"].map((name) => [name, choice]));
const ALL_DENIED = all("denied");
const ALL_GRANTED = all("granted");

const banner = () => page.getByRole("dialog", { name: TEXTS.title });
const centre = () => page.getByRole("dialog", { name: TEXTS.centre });
const button = (name) => page.getByRole("button", { name: TEXTS[name], exact: true });

/** Opens a page whose visitor is asked. */
async function openAsked({ asking = {}, headers, keys = ["k1"], body, path = "/" } = {}) {
  for (const key of keys) collector.settings[key] = { banner: { key } };
  collector.asking = () => ({
    ask: true,
    gpc: false,
    choices: {},
    ...SHOWN,
    policy_url: "https://shop.test/privacy",
    texts: TEXTS,
    ...asking,
  });
  const head = keys.map((key) => collector.script("", key)).join("");
  const content = body ?? '<main><h1>Shop</h1><a id="first" href="#here">Tents</a></main>';
  collector.page(path, { head, headers, body: content });
  await open(path);
  await came("page_view", keys.length);
  await partRuns("banner");
  await collector.until(({ inquiries }) => inquiries.length > 0, "a question whether to ask");
}

/** The choices that were sent, each by itself. */
const told = () => collector.requests.filter(({ body }) => body.consent).map(({ body }) => body);
const choiceCame = (count = 1) => collector.until(() => told().length >= count, "a choice");

/** What has the focus, in the banner as on the page. */
const focused = () =>
  page.evaluate(() => {
    let element = document.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element === document.body ? "BODY" : element.id || element.textContent;
  });

test("nothing is stored, read or told before an answer", async () => {
  await page.addInitScript(watchStorage);
  await openAsked();
  await banner().waitFor();
  assert.deepEqual(await page.evaluate(() => window.touched), []);
  assert.deepEqual(await namesUntilMarker(), ["page_view"]);
  assert.deepEqual(told(), []);
  const [{ key, language, texts }] = collector.inquiries;
  assert.equal(key, "k1");
  assert.match(language, /^en,de-AT/, "the page's language, then the browser's");
  assert.equal(texts, undefined);
});

test("who need not be asked sees nothing", async () => {
  await openAsked({ asking: { ask: false } });
  await namesUntilMarker();
  assert.equal(await page.locator("cairn-consent").count(), 0);
});

for (const [name, choice] of [
  ["no", ALL_DENIED],
  ["yes", ALL_GRANTED],
]) {
  test(`by keyboard alone: ${name}, in one step`, async () => {
    await openAsked({ asking: { policy_url: "" } });
    await banner().waitFor();
    assert.equal(await focused(), "BODY", "the focus is not taken from the page");
    await page.keyboard.press("Tab");
    assert.equal(await focused(), TEXTS.no, "the first that the keyboard reaches");
    if (name === "yes") await page.keyboard.press("Tab");
    assert.equal(await focused(), TEXTS[name]);
    await page.keyboard.press("Enter");
    await choiceCame();
    const [sent] = told();
    assert.deepEqual(sent.consent, { ...choice, signal: "banner", shown: SHOWN, age_ms: 0 });
    assert.deepEqual(sent.events, [], "by itself");
    assert.equal(await page.locator("cairn-consent").count(), 0);
  });
}

test("yes and no weigh the same", async () => {
  await openAsked();
  await banner().waitFor();
  const looks = await Promise.all(
    ["no", "yes"].map((name) =>
      button(name).evaluate((element) => {
        const style = getComputedStyle(element);
        const names = ["backgroundColor", "color", "fontSize", "fontWeight", "border", "padding"];
        const { width, height } = element.getBoundingClientRect();
        return [...names.map((name) => style[name]), width, height];
      }),
    ),
  );
  assert.deepEqual(looks[0], looks[1]);
  assert.ok(looks[0].at(-1) >= 44, "large enough for a finger");
});

test("the focus returns to where it was", async () => {
  await openAsked();
  await banner().waitFor();
  await page.focus("#first");
  await button("no").focus();
  await page.keyboard.press("Enter");
  await choiceCame();
  assert.equal(await focused(), "first");
});

test("Escape leaves the question open and says nothing", async () => {
  await openAsked();
  await banner().waitFor();
  await page.focus("#first");
  await button("yes").focus();
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("cairn-consent").count(), 0);
  assert.equal(await focused(), "first");
  await namesUntilMarker();
  assert.deepEqual(told(), []);
});

test("one by one: nothing is chosen in advance; Escape leads back to the banner", async () => {
  await openAsked({ asking: { policy_url: "" } });
  await banner().waitFor();
  for (let press = 0; press < 3; press++) await page.keyboard.press("Tab");
  assert.equal(await focused(), TEXTS.settings);
  await page.keyboard.press("Enter");
  await centre().waitFor();
  for (const box of await page.getByRole("checkbox").all()) assert.equal(await box.isChecked(), false);
  await page.keyboard.press("Escape");
  assert.equal(await centre().count(), 0);
  assert.equal(await focused(), TEXTS.settings);
  await page.keyboard.press("Enter");
  await centre().waitFor();
  await page.getByRole("checkbox", { name: TEXTS.analytics }).focus();
  await page.keyboard.press("Space");
  await button("save").focus();
  await page.keyboard.press("Enter");
  await choiceCame();
  assert.equal(told().length, 1);
  const choice = { ...ALL_DENIED, analytics: "granted" };
  assert.deepEqual(told()[0].consent, { ...choice, signal: "preference_centre", shown: SHOWN, age_ms: 0 });
  assert.equal(await page.locator("cairn-consent").count(), 0);
});

test("the focus stays in the preference centre while it is open", async () => {
  await openAsked({ asking: { policy_url: "" } });
  await banner().waitFor();
  await page.getByRole("dialog", { name: TEXTS.title }).getByText(TEXTS.settings).click();
  await centre().waitFor();
  const seen = new Set();
  for (let press = 0; press < 12; press++) {
    await page.keyboard.press("Tab");
    seen.add(await focused());
  }
  assert.ok(!seen.has("first"), [...seen].join());
});

for (const way of ["link", "command"]) {
  test(`preferences by ${way}: what was chosen before can be changed`, async () => {
    const body = '<main><h1>Shop</h1><button id="first" data-cairn-preferences>Privacy</button></main>';
    const choices = { analytics: "granted", ads: "denied" };
    await openAsked({ asking: { ask: false, choices }, body });
    await page.focus("#first");
    if (way === "link") await page.keyboard.press("Enter");
    else await cairn("preferences");
    await centre().waitFor();
    assert.equal(collector.inquiries.at(-1).texts, "");
    const isChecked = (name) => page.getByRole("checkbox", { name: TEXTS[name] }).isChecked();
    assert.equal(await isChecked("analytics"), true);
    assert.equal(await isChecked("ads"), false);
    await page.keyboard.press("Escape");
    assert.equal(await focused(), "first");
    assert.deepEqual(told(), []);
    await cairn("preferences");
    await centre().getByText(TEXTS.no).click();
    await choiceCame();
    const { signal, shown, age_ms, ...choice } = told()[0].consent;
    assert.deepEqual(choice, ALL_DENIED);
    assert.equal(await focused(), "first");
  });
}

test("preferences that were asked for before the part came are shown", async () => {
  collector.settings.k1 = { banner: { key: "k1" } };
  collector.asking = () => ({ ask: false, gpc: false, choices: {}, ...SHOWN, policy_url: "", texts: TEXTS });
  const stub = "<script>window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)};cairn('preferences')</script>";
  collector.page("/", { head: stub + collector.script() });
  await open("/");
  await centre().waitFor();
});

test("Global Privacy Control: the page shows that it is honoured", async () => {
  const body = '<main><h1>Shop</h1><p data-cairn-gpc></p></main>';
  await openAsked({ asking: { gpc: true }, body });
  assert.match(await banner().textContent(), /Global Privacy Control/);
  assert.equal(await page.locator("[data-cairn-gpc]").textContent(), TEXTS.gpc);
});

test("Global Privacy Control: it is shown, too, where nobody is asked", async () => {
  const body = '<main><h1>Shop</h1><p data-cairn-gpc></p></main>';
  await openAsked({ asking: { gpc: true, ask: false }, body });
  await page.getByText(TEXTS.gpc).waitFor();
  assert.equal(await page.locator("cairn-consent").count(), 0);
});

test("two keys on a page: one banner, and both are told", async () => {
  await openAsked({ keys: ["k1", "k2"] });
  await banner().waitFor();
  assert.equal(await page.locator("cairn-consent").count(), 1);
  await button("yes").click();
  await choiceCame(2);
  assert.deepEqual(told().map(({ key }) => key).sort(), ["k1", "k2"]);
});

test("a strict policy for content: styled, and nothing is violated", async () => {
  const violations = [];
  page.on("console", (line) => line.type() === "error" && violations.push(line.text()));
  const { origin } = collector;
  const policy = `default-src 'none'; script-src ${origin}; connect-src ${origin}; img-src data:; require-trusted-types-for 'script'; trusted-types 'none'`;
  await openAsked({ headers: { "Content-Security-Policy": policy } });
  await banner().waitFor();
  assert.equal(await banner().evaluate((box) => getComputedStyle(box).position), "fixed");
  await button("settings").click();
  await centre().waitFor();
  await centre().getByText(TEXTS.yes).click();
  await choiceCame();
  assert.deepEqual(violations, []);
});

for (const colorScheme of ["light", "dark"]) {
  test(`axe-core finds nothing serious: ${colorScheme}`, async () => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await openAsked({ asking: { gpc: true } });
    await banner().waitFor();
    await assertAccessible(page, "banner");
    await button("settings").click();
    await centre().waitFor();
    await assertAccessible(page, "preference centre");
  });
}

test("a screen of 320 by 256 pixels: everything can be reached, nothing is cut off", async () => {
  await page.setViewportSize({ width: 320, height: 256 });
  await openAsked({ asking: { gpc: true } });
  await banner().waitFor();
  for (const dialog of [banner, centre]) {
    if (dialog === centre) await button("settings").click();
    const box = dialog();
    await box.waitFor();
    const { width, overflow } = await box.evaluate((element) => ({
      width: element.getBoundingClientRect().width,
      overflow: element.scrollWidth - element.clientWidth,
    }));
    assert.ok(width <= 320 && overflow <= 0, `${width} wide, ${overflow} beyond`);
    for (const one of await box.getByRole("button").all()) {
      await one.scrollIntoViewIfNeeded();
      const { y, height } = await one.boundingBox();
      assert.ok(y >= 0 && y + height <= 256, `${y} + ${height}`);
    }
  }
});

test("what has the focus on the page does not lie behind the banner", async () => {
  await openAsked();
  const height = await banner().evaluate((box) => box.offsetHeight);
  const padding = () => page.evaluate(() => document.documentElement.style.scrollPaddingBottom);
  assert.equal(await padding(), `${height}px`);
  await button("no").click();
  await choiceCame();
  assert.equal(await padding(), "");
});

test("a page that a script makes anew keeps the question", async () => {
  await openAsked();
  await banner().waitFor();
  await page.evaluate(() => {
    document.body.replaceChildren(document.createElement("main"));
    history.pushState({}, "", "/next");
  });
  await banner().waitFor();
  await button("no").click();
  await choiceCame();
  assert.equal(await page.locator("cairn-consent").count(), 0);
});

test("preferences that are open are not opened twice", async () => {
  await openAsked({ asking: { ask: false } });
  await cairn("preferences");
  await centre().waitFor();
  await cairn("preferences");
  await collector.until(({ inquiries }) => inquiries.length === 3, "a second question");
  await namesUntilMarker();
  assert.equal(await page.locator("cairn-consent dialog").count(), 1);
});

for (const [reducedMotion, animation] of [
  ["reduce", "none"],
  ["no-preference", "i"],
]) {
  test(`motion: ${reducedMotion}`, async () => {
    await page.emulateMedia({ reducedMotion });
    await openAsked();
    assert.equal(await banner().evaluate((box) => getComputedStyle(box).animationName), animation);
  });
}
