// The parts of the tracker: what each reports, and what it keeps to itself. A part is there only for
// the keys whose settings ask for it.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cairn,
  came,
  collector,
  lookFor,
  namesUntilMarker,
  open,
  page,
  partRuns,
  setVisibility,
} from "./rig.mjs";

/** Opens a page with one part and waits until the part runs. */
async function openWith(part, { path = "/", options = {}, ...content } = {}) {
  collector.settings.k1 = { [part]: options };
  collector.page(path.split(/[?#]/)[0], content);
  await open(path);
  await came("page_view");
  await partRuns(part);
}

const reported = (name) =>
  collector.events
    .filter(({ event }) => event === name)
    .map(({ envelope, event_id, timestamp, event, ...rest }) => rest);

test("no part is loaded that nobody asked for", async () => {
  collector.settings.k1 = {};
  collector.page("/");
  await open("/");
  await came("page_view");
  assert.deepEqual(await namesUntilMarker(), ["page_view"]);
  assert.deepEqual(collector.loads, []);
});

test("two keys on a page: each has its own parts, loaded once", async () => {
  collector.settings.k1 = { clicks: {}, scroll: {} };
  collector.settings.k2 = { scroll: {} };
  collector.page("/", {
    head: collector.script() + collector.script("", "k2"),
    body: "<button id=buy>Buy</button>",
  });
  await open("/");
  await came("page_view", 2);
  await partRuns("clicks");
  await partRuns("scroll");
  await page.click("#buy");
  await came("click");
  await cairn("event", "marker");
  await came("marker", 2);
  assert.deepEqual(collector.names("k1"), ["page_view", "click", "marker"]);
  assert.deepEqual(collector.names("k2"), ["page_view", "marker"]);
  assert.equal(new Set(collector.loads).size, collector.loads.length);
  await setVisibility("hidden");
  await came("engagement", 2);
  assert.deepEqual(
    reported("engagement").map(({ scroll_percent: percent }) => percent),
    [100, 100],
  );
});

test("a part that cannot be loaded costs nothing but itself", async () => {
  collector.settings.k1 = { clicks: { src: "cairn/gone.js" } };
  collector.page("/");
  await open("/");
  await came("page_view");
  assert.deepEqual(await namesUntilMarker(), ["page_view"]);
  assert.match(collector.strays.pop(), /gone\.js/);
});

test("clicks: elements by their name, links by their address without query", async () => {
  await openWith("clicks", {
    body: `<script>addEventListener("click", (click) => click.preventDefault())</script>
      <button id="buy"><b> Buy
        now </b></button>
      <a id="in" href="/tents?token=secret#x">Tents</a>
      <a id="out" href="https://partner.test/offer?ref=secret">Partner</a>
      <a id="sub" href="http://help.shop.test/">Help</a>
      <a id="mail" href="mailto:ada@shop.test?subject=secret">ada@shop.test</a>
      <a id="call" href="tel:+4312345">+43 12345</a>
      <a id="named" href="/join" data-cairn-event="sign_up">Join</a>
      <div data-cairn-ignore><button id="mine">Ada's account</button></div>
      <p id="text">Text</p>`,
  });
  for (const id of ["buy", "in", "out", "sub", "mail", "call", "named", "mine", "text"]) {
    await page.click(`#${id}`);
  }
  await came("sign_up");
  assert.deepEqual(await namesUntilMarker(), [
    "page_view",
    "click",
    "click",
    "click",
    "click",
    "click",
    "click",
    "sign_up",
  ]);
  const { site } = collector;
  assert.deepEqual(
    reported("click").map(({ props }) => props),
    [
      { element: "button", element_id: "buy", element_text: "Buy now" },
      {
        element: "a",
        element_id: "in",
        element_text: "Tents",
        link_type: "internal",
        link_url: `${site}/tents`,
      },
      {
        element: "a",
        element_id: "out",
        element_text: "Partner",
        link_type: "outbound",
        link_domain: "partner.test",
        link_url: "https://partner.test/offer",
      },
      {
        element: "a",
        element_id: "sub",
        element_text: "Help",
        link_type: "internal",
        link_url: "http://help.shop.test/",
      },
      { element: "a", element_id: "mail", link_type: "email" },
      { element: "a", element_id: "call", link_type: "phone" },
    ],
  );
  const sent = JSON.stringify(collector.requests.map(({ body }) => body));
  assert.doesNotMatch(sent, /secret|ada@|12345|account/i);
});

test("clicks: a link that leads away is reported before the page is gone", async () => {
  await openWith("clicks", {
    body: `<a id="out" href="${collector.stranger}/">Away</a>`,
  });
  collector.pages.set("/", { html: "<!doctype html><title>Elsewhere</title>" });
  await page.click("#out");
  await came("click");
  assert.equal(reported("click")[0].props.link_domain, "stranger.test");
});

for (const [options, names] of [
  [{}, ["catalogue.pdf", "prices.csv", "tents", "photo.zip"]],
  [{ extensions: ["csv"] }, ["prices.csv", "tents"]],
]) {
  test(`clicks: files are downloads (${options.extensions ?? "common endings"})`, async () => {
    await openWith("clicks", {
      options,
      body: `<script>addEventListener("click", (click) => click.preventDefault())</script>
        <a href="/files/catalogue.pdf?session=secret">Catalogue</a> <a href="/prices.csv">Prices</a>
        <a href="/tents" download>Tents</a> <a href="https://partner.test/photo.zip">Photo</a>
        <a href="/pdf">About PDF</a>`,
    });
    for (const link of await page.$$("a")) await link.click();
    await came("file_download", names.length);
    await namesUntilMarker();
    const files = reported("file_download").map(({ props }) => props);
    assert.deepEqual(
      files.map(({ file_name: name }) => name),
      names,
    );
    assert.equal(files[0].file_extension, names[0].split(".")[1]);
    assert.doesNotMatch(JSON.stringify(files), /secret/);
    assert.equal(files.length + reported("click").length, 5, "each link under one name");
  });
}

test("forms: started, left at a field, submitted; never what is in them", async () => {
  await openWith("forms", {
    body: `<script>addEventListener("submit", (submit) => submit.preventDefault())</script>
      <form id="order" action="/orders?secret=1">
        <input name="id"><input name="email"><input type="password" id="pass"><button>Send</button>
      </form>
      <form name="unused"><input name="q"></form>
      <form data-cairn-ignore><input id="hidden"></form>`,
  });
  await page.focus("[name=q]");
  await page.fill("[name=id]", "secret-7");
  await page.fill("[name=email]", "ada@shop.test");
  await page.fill("#hidden", "secret");
  await page.focus("#pass");
  await setVisibility("hidden");
  await came("form_leave");
  await setVisibility("visible");
  await page.fill("#pass", "secret!");
  await page.click("#order button");
  await came("form_submit");
  assert.deepEqual(
    (await namesUntilMarker()).filter((name) => name !== "engagement"),
    ["page_view", "form_start", "form_leave", "form_submit"],
  );
  const form = { form_id: "order", form_name: "", form_destination: "/orders" };
  assert.deepEqual(reported("form_start")[0].props, form);
  assert.deepEqual(reported("form_leave")[0].props, { ...form, field: "pass" });
  assert.deepEqual(reported("form_submit")[0].props, form);
  assert.doesNotMatch(JSON.stringify(collector.requests.map(({ body }) => body)), /secret|ada@/);
});

test("forms: a form that is left with the page says at which field", async () => {
  collector.page("/next", { head: "" });
  await openWith("forms", { body: '<form><input name="street"></form>' });
  await page.fill("[name=street]", "Ring 1");
  await page.evaluate(() => history.replaceState({}, "", "/?step=2"));
  await open("/next");
  await came("form_leave");
  assert.equal(reported("form_leave")[0].props.field, "street");
  assert.equal(reported("form_leave")[0].url, `${collector.site}/?step=2`);
});

test("search: the words in the address, once for each, in pages that a script makes too", async () => {
  await openWith("search", { path: "/find?q=%20two%20tents" });
  await came("view_search_results");
  await page.evaluate(() => history.replaceState({}, "", "/find?q=two+tents&sort=price"));
  await page.evaluate(() => history.pushState({}, "", "/find?q=stove"));
  await came("view_search_results", 2);
  await page.evaluate(() => history.pushState({}, "", "/find?q=ada@shop.test"));
  await page.evaluate(() => history.pushState({}, "", "/cart"));
  await namesUntilMarker();
  assert.deepEqual(
    reported("view_search_results").map(({ props, url }) => [props, url]),
    [
      [{ search_term: "two tents" }, `${collector.site}/find?q=%20two%20tents`],
      [{ search_term: "stove" }, `${collector.site}/find?q=stove`],
    ],
  );
});

test("search: while somebody types, only what stands still is a search", async () => {
  await openWith("search", { path: "/find" });
  await page.evaluate(() => {
    for (const term of ["t", "te", "ten", "tent"]) history.replaceState({}, "", "/find?q=" + term);
  });
  await came("view_search_results");
  await namesUntilMarker();
  assert.deepEqual(
    reported("view_search_results").map(({ props }) => props.search_term),
    ["tent"],
  );
});

test("search: the parameters that the settings name, and no others", async () => {
  const options = { parameters: ["suche"] };
  await openWith("search", { path: "/?q=no&suche=Zelt", options });
  await came("view_search_results");
  assert.deepEqual(reported("view_search_results")[0].props, { search_term: "Zelt" });
});

test("404: the status of the page, with the page that led there", async () => {
  collector.settings.k1 = { not_found: {} };
  collector.page("/gone", { status: 404 });
  await open("/gone", { referrer: `${collector.site}/old` });
  await came("page_not_found");
  await namesUntilMarker();
  assert.equal(reported("page_not_found").length, 1);
  assert.match(reported("page_not_found")[0].referrer, /\/old$/);
});

test("404: what a script puts together says so itself; a page that is there says nothing", async () => {
  await openWith("not_found", {});
  await page.evaluate(() => {
    history.pushState({}, "", "/nowhere");
    document.body.innerHTML = "<p data-cairn-not-found>There is nothing here.</p>";
  });
  await came("page_not_found");
  assert.equal(reported("page_not_found")[0].url, `${collector.site}/nowhere`);
  assert.equal(reported("page_not_found").length, 1);
  await page.evaluate(() => {
    document.body.innerHTML = "";
    history.pushState({}, "", "/tents");
  });
  await setVisibility("hidden");
  await namesUntilMarker();
  assert.equal(reported("page_not_found").length, 1);
});

test("vitals: once a page, with the first report of time", async () => {
  await openWith("vitals", {
    body: `<h1>Hello</h1><button id="slow">Slow</button><p>Below</p><script>
      slow.onclick = () => { const end = performance.now() + 120; while (performance.now() < end); };
    </script>`,
  });
  await page.click("#slow");
  await page.evaluate(
    () =>
      new Promise((done) =>
        new PerformanceObserver(() => done()).observe({ type: "event", buffered: true, durationThreshold: 104 }),
      ),
  );
  // A shift that no input caused: half a second after the last one.
  const shiftsBefore = await lookFor(600).then(() => page.evaluate(() => performance.now()));
  await page.evaluate(() => {
    const box = document.createElement("div");
    box.style.height = "300px";
    document.body.prepend(box);
  });
  await page.evaluate(
    (since) =>
      new Promise((done) =>
        new PerformanceObserver((list) =>
          list.getEntries().some(({ startTime }) => startTime > since) && done(),
        ).observe({ type: "layout-shift", buffered: true }),
      ),
    shiftsBefore,
  );
  await setVisibility("hidden");
  await came("engagement");
  const { ttfb_ms: ttfb, lcp_ms: lcp, cls, inp_ms: inp } = reported("engagement")[0].props;
  assert.ok(Number.isInteger(ttfb) && ttfb >= 0 && ttfb <= lcp, `ttfb ${ttfb}`);
  assert.ok(Number.isInteger(lcp) && lcp > 0, `lcp ${lcp}`);
  assert.ok(inp >= 120 && inp < 5000, `inp ${inp}`);
  assert.ok(cls > 0 && cls < 2, `cls ${cls}`);
  await setVisibility("visible");
  await lookFor(50);
  await setVisibility("hidden");
  await came("engagement", 2);
  assert.equal(reported("engagement")[1].props, undefined);
});

test("sections: share seen, time in view, read or skimmed", async () => {
  const words = (count) => Array(count).fill("word").join(" ");
  await openWith("sections", {
    body: `<section data-cairn-section="pricing" style="height:300px">Ten euros</section>
      <section data-cairn-section="story" style="height:4000px;overflow:hidden">${words(900)}</section>
      <section data-cairn-section="contact" style="height:300px">Write</section>`,
  });
  await lookFor(1300);
  await setVisibility("hidden");
  await came("engagement", 3);
  await namesUntilMarker();
  const [pricing, story, page1] = reported("engagement");
  assert.equal(pricing.section.id, "pricing");
  assert.equal(pricing.section.visible_percent, 100);
  assert.ok(pricing.section.visible_ms >= 1000 && pricing.section.visible_ms <= page1.engagement_ms);
  assert.equal(pricing.props.reading, "read");
  assert.equal(pricing.engagement_ms, undefined, "the time of the page is told once");
  assert.equal(story.section.id, "story");
  const share = await page.evaluate(() => Math.round(((innerHeight - 308) / 4000) * 100));
  assert.ok(Math.abs(story.section.visible_percent - share) <= 1, `${story.section.visible_percent}`);
  assert.equal(story.props.reading, "skimmed");
  assert.equal(page1.section, undefined);

  await setVisibility("visible");
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await lookFor(400);
  await setVisibility("hidden");
  await collector.until(({ events }) => events.some(({ section }) => section?.id === "contact"));
  await namesUntilMarker();
  const later = reported("engagement").slice(3);
  assert.ok(!later.some(({ section }) => section?.id === "pricing"), "nothing new, nothing told");
});

test("sections: a page that marks none has its landmarks and headings", async () => {
  await openWith("sections", {
    body: `<header style="height:50px">Shop</header>
      <main><h1>Tents</h1><p>Two.</p><h2 id="stoves">Stoves</h2><p>One.</p>
      <section style="height:80px"><h2>Maps</h2>All</section></main>
      <footer aria-label="Imprint" style="height:50px">Us</footer>`,
  });
  await lookFor(400);
  await setVisibility("hidden");
  await came("engagement", 6);
  await namesUntilMarker();
  const ids = reported("engagement").flatMap(({ section }) => (section ? [section.id] : []));
  assert.deepEqual(ids.sort(), ["Imprint", "Maps", "Tents", "header", "stoves"]);
});

test("sections: a new page begins anew", async () => {
  await openWith("sections", { body: '<p data-cairn-section="intro" style="height:80px">Hi</p>' });
  await lookFor(300);
  await page.evaluate(() => history.pushState({}, "", "/next"));
  await came("page_view", 2);
  await lookFor(300);
  await setVisibility("hidden");
  await came("engagement", 4);
  assert.deepEqual(
    reported("engagement").map(({ url, section }) => [new URL(url).pathname, section?.id]),
    [
      ["/", "intro"],
      ["/", undefined],
      ["/next", "intro"],
      ["/next", undefined],
    ],
  );
});
