import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { Mock, makeSite } from "../mock/server.ts";
import { makeVisits } from "../mock/visits.ts";
import { openBrowser, openPage } from "./browser.ts";

const NOW = Date.parse("2026-11-22T15:20:00Z");
let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

/** The Overview of a fresh mock, loaded; the page's troubles must be none at the end. */
async function overview(
  work: (page: Page, mock: Mock) => Promise<void>,
  {
    path = "",
    mock: given,
    ...context
  }: { path?: string; mock?: Mock; reducedMotion?: "reduce" } = {},
) {
  const mock = await (given ?? new Mock({ now: NOW })).start();
  const { page, troubles } = await openPage(browser, context);
  try {
    await page.clock.setFixedTime(NOW);
    await page.goto(`${mock.origin}/sites/1${path}`);
    await page.waitForSelector(".row, .empty, [role=alert]");
    await work(page, mock);
    assert.deepEqual(troubles, []);
  } finally {
    await page.context().close();
    await mock.stop();
  }
}

const panel = (page: Page, name: string) => page.getByRole("region", { name, exact: true });
const card = (page: Page, name: string) =>
  page.locator(".card").filter({ has: page.getByText(name, { exact: true }) });
/** Waits until every panel and the cards show the answer to the present question. */
const settled = (page: Page) =>
  page.waitForFunction(() => !document.querySelector('[aria-busy="true"], .stale'));

/** Where everything stands, in whole pixels. */
const boxes = (page: Page) =>
  page.evaluate(() =>
    [...document.querySelectorAll(".panel, .card, .head, .tools button")].map((element) => {
      const { x, y, width, height } = element.getBoundingClientRect();
      return [element.className, x, y, width, height]
        .map((n) => (typeof n === "number" ? Math.round(n) : n))
        .join(" ");
    }),
  );

async function visitors(page: Page): Promise<string> {
  await settled(page);
  return (await card(page, "Visitors").locator(".value").textContent())?.trim() ?? "";
}

test("the only site opens by itself, on one screen, without a scroll bar", async () => {
  await overview(async (page, mock) => {
    await page.goto(`${mock.origin}/`);
    await page.waitForURL("**/sites/1");
    await page.waitForSelector("canvas");
    await page.waitForSelector(".map svg");
    await settled(page);
    const size = await page.evaluate(() => {
      const { scrollHeight, scrollWidth } = document.documentElement;
      return [scrollHeight <= innerHeight, scrollWidth <= innerWidth];
    });
    assert.deepEqual(size, [true, true]);
    const cut = await page.evaluate(
      () =>
        [...document.querySelectorAll(".tabs")].filter(
          (tabs) => tabs.scrollWidth > tabs.clientWidth,
        ).length,
    );
    assert.equal(cut, 0, "tabs that do not fit");
    assert.equal(await page.locator(".card").count(), 9);
  });
});

test("the demonstration's ribbon leaves the screen without a scroll bar too", async () => {
  await overview(
    async (page) => {
      await settled(page);
      await page.getByRole("link", { name: "Open the shop" }).waitFor();
      assert.ok(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight));
    },
    { mock: new Mock({ now: NOW, demo: true }) },
  );
});

test("a click on a row filters everything; the chip undoes it; Back works", async () => {
  await overview(async (page) => {
    const all = await visitors(page);
    await panel(page, "Sources")
      .getByRole("button", { name: /^Google \d/ })
      .click();
    await page.waitForURL("**/sites/1?f=is,visit:source,Google");
    const some = await visitors(page);
    assert.notEqual(some, all);
    assert.equal(await panel(page, "Sources").locator(".row").count(), 1);
    await page.goBack();
    assert.equal(await visitors(page), all);
    await page.goForward();
    assert.equal(await visitors(page), some);
    await page.getByRole("button", { name: "Remove the filter Source is Google" }).click();
    await page.waitForURL("**/sites/1");
    assert.equal(await visitors(page), all);
  });
});

test("the whole screen is asked for in one request, the cards and the chart first", async () => {
  await overview(async (page, mock) => {
    await settled(page);
    const rounds = () => mock.requests.filter((route) => route.includes("/api/v2/"));
    assert.deepEqual(rounds(), ["POST /api/v2/queries"]);
    const [cards, chart, money] = mock.asked;
    assert.ok(cards?.metrics.includes("bounce_rate") && !cards.dimensions);
    assert.deepEqual(chart?.dimensions, ["time:day"]);
    assert.deepEqual(money?.metrics, ["conversions", "revenue", "roas"]);
    assert.equal(mock.asked.length, 10);
    await page.keyboard.press("w");
    await page.waitForURL("**?period=7d");
    await settled(page);
    assert.equal(rounds().length, 2, "another period is one more");
  });
});

test("what was done on pages, in mails and with ads stands on the same one screen", async () => {
  await overview(async (page) => {
    const groups = page.getByRole("group", { name: "Panels" });
    for (const [group, panels] of [
      ["On the page", ["Content", "Clicks", "Forms", "Speed"]],
      ["E-mails and ads", ["E-mails", "Ads"]],
      ["Visits", ["Sources", "Pages", "Goals", "Places", "Devices"]],
    ] as const) {
      await groups.getByRole("button", { name: group }).click();
      await settled(page);
      for (const name of panels) await panel(page, name).locator(".row").first().waitFor();
      const fits = await page.evaluate(() => {
        const { scrollHeight, scrollWidth } = document.documentElement;
        const cut = [...document.querySelectorAll(".tabs, .number, .captions")];
        return [
          scrollHeight <= innerHeight && scrollWidth <= innerWidth,
          cut.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent),
        ];
      });
      assert.deepEqual(fits, [true, []], group);
    }
    await page.keyboard.press("g");
    await page.waitForURL("**?show=page");
  });
});

test("a section filters by the visits that saw it, and every panel goes with it", async () => {
  await overview(
    async (page, mock) => {
      const all = await visitors(page);
      const row = panel(page, "Content").getByRole("button", { name: /^newsletter Seen: \d/ });
      await row.click();
      await page.waitForURL("**?show=page&f=is,event:section,newsletter");
      assert.notEqual(await visitors(page), all);
      assert.equal(await row.getAttribute("aria-pressed"), "true");
      const seen = ["has_done", ["is", "event:section", ["newsletter"]]];
      // Cards, chart, money in all and by day, bots, four panels and what all pages have together.
      const since = mock.asked.slice(-10);
      assert.equal(since.length, 10);
      for (const asked of since) assert.deepEqual(asked.filters?.[0], seen);
      await page
        .getByRole("button", { name: "Remove the filter Section seen is newsletter" })
        .click();
      assert.equal(await visitors(page), all);
      await panel(page, "Clicks").getByRole("tab", { name: "Downloads" }).click();
      const file = panel(page, "Clicks").getByRole("button", { name: /^oak-stool\.pdf Times: / });
      await file.click({ modifiers: ["Alt"] });
      await page.waitForURL("**f=is_not,event:props:file_name,oak-stool.pdf");
      await settled(page);
      assert.equal(await file.count(), 0);
    },
    { path: "?show=page" },
  );
});

test("a mail's campaign filters its visits; a creative says that visits have no such value", async () => {
  await overview(
    async (page) => {
      const note = page.getByText("visits have no such value");
      const all = await visitors(page);
      const mail = panel(page, "E-mails").getByRole("button", { name: /^oak-week All: \d/ });
      const opens = await mail.locator(".number").first().textContent();
      await mail.click();
      await page.waitForURL("**?show=campaigns&f=is,visit:utm_campaign,oak-week");
      const some = await visitors(page);
      assert.notEqual(some, all);
      assert.notEqual(some, "0");
      assert.equal(await mail.getAttribute("aria-pressed"), "true");
      assert.equal(await mail.locator(".number").first().textContent(), opens);
      assert.equal(await panel(page, "E-mails").locator(".row").count(), 1);
      assert.equal(await note.count(), 0);
      // The visits that the campaign brought: the card and its row among the sources are one number.
      await page.keyboard.press("g");
      await panel(page, "Sources").getByRole("tab", { name: "Campaign" }).click();
      await settled(page);
      const source = panel(page, "Sources").getByRole("button", { name: /^oak-week/ });
      const ofSource = await source.locator(".value").textContent();
      assert.equal(ofSource?.replace(/\s*visitors,\s*$/, "").trim(), some);
      await page.getByRole("button", { name: "Remove the filter Campaign is oak-week" }).click();

      const groups = page.getByRole("group", { name: "Panels" });
      await groups.getByRole("button", { name: "E-mails and ads" }).click();
      await panel(page, "Ads").getByRole("tab", { name: "Creatives" }).click();
      await settled(page);
      const creative = panel(page, "Ads").getByRole("button", { name: /^film-1 Shown: \d/ });
      const shown = await creative.textContent();
      await creative.click();
      await page.waitForURL("**&f=is,event:props:creative,film-1");
      await note.waitFor();
      assert.equal(await visitors(page), "0");
      assert.equal(await panel(page, "Ads").locator(".row").count(), 1);
      assert.equal(await creative.textContent(), shown);
    },
    { path: "?show=campaigns" },
  );
});

test("the reasons of verdicts and the clicks of tracked links have tabs of their own", async () => {
  await overview(
    async (page) => {
      const mails = panel(page, "E-mails");
      for (const [tab, row] of [
        [
          "Open reasons",
          /^security_scanner, too_soon All: (\S+)\s*, Machines: \1\s*, Confirmed: 0/,
        ],
        ["Click reasons", /^browser All: (\S+)\s*, Machines: 0\s*, Confirmed: \1/],
        ["Tracked links", /^oak-week All: [1-9]/],
      ] as const) {
        await mails.getByRole("tab", { name: tab }).click();
        await settled(page);
        await mails.getByRole("button", { name: row }).waitFor();
      }
      await panel(page, "Ads").getByRole("tab", { name: "Reasons" }).click();
      await settled(page);
      const reason = panel(page, "Ads").getByRole("button", { name: /^browser Shown: \d/ });
      await reason.click();
      await page.waitForURL("**&f=is,event:props:reasons,browser");
    },
    { path: "?show=campaigns" },
  );
});

test("the speed of pages is graded by shape and word, and all rows have the percentiles", async () => {
  await overview(
    async (page) => {
      await settled(page);
      const row = panel(page, "Speed").locator(".row").first();
      assert.match(
        (await row.textContent()) ?? "",
        /p75:\s+[\d.]+s\s+(Good\s*good|Needs work\s*needs improvement|Poor\s*poor)\s*, Loads: /,
      );
      assert.equal(await row.locator("svg").count(), 1);
      const all = panel(page, "Speed").locator(".total");
      assert.match((await all.textContent()) ?? "", /^All pages.*p75: .*Loads: [\d,]+/s);
      await panel(page, "Speed").getByRole("button", { name: "All rows of Speed" }).click();
      const heads = page.locator("dialog thead th");
      await page.locator("dialog tbody td").first().waitFor();
      assert.deepEqual(
        (await heads.allTextContents()).map((text) => text.trim()),
        ["Page", "LCP, p75", "LCP, median", "LCP, p95", "Page loads", "Events"],
      );
    },
    { path: "?show=page" },
  );
});

test("an empty panel says what reports to it and where to switch that on", async () => {
  const visits = makeVisits(NOW).map((visit) => ({ ...visit, deeds: [] }));
  await overview(
    async (page) => {
      await settled(page);
      const forms = panel(page, "Forms");
      await forms.getByText("The part “Forms” of a pixel’s script reports it.").waitFor();
      await forms.getByRole("link", { name: "Set up a pixel" }).click();
      await page.waitForURL("**/sites/1/pixels");
    },
    { path: "?show=page", mock: new Mock({ now: NOW, visits }) },
  );
});

test("Alt excludes, Shift adds, and a chip turns into its opposite", async () => {
  await overview(async (page) => {
    const row = (name: string) =>
      panel(page, "Sources").getByRole("button", { name: new RegExp(`^${name} \\d`) });
    await row("Google").click({ modifiers: ["Alt"] });
    await page.waitForURL("**?f=is_not,visit:source,Google");
    await settled(page);
    assert.equal(await row("Google").count(), 0);
    await page.getByRole("button", { name: /^Turn the filter/ }).click();
    await page.waitForURL("**?f=is,visit:source,Google");
    await settled(page);
    await page.goto(page.url().replace(/\?.*/, ""));
    await row("Google").focus();
    await page.keyboard.press("Enter");
    await page.waitForURL("**?f=is,visit:source,Google");
    await page.goBack();
    await settled(page);
    await row("Bing").focus();
    await page.keyboard.press("Alt+Enter");
    await page.waitForURL("**?f=is_not,visit:source,Bing");
  });
});

test("the map filters by country", async () => {
  await overview(async (page) => {
    await page.waitForSelector(".map svg");
    await page.locator(".map path.l5").first().click();
    await page.waitForURL("**?f=is,visit:country,DE");
    await page.getByText("Germany").first().waitFor();
  });
});

test("single keys choose the period, as in Plausible", async () => {
  await overview(async (page) => {
    await settled(page);
    for (const [key, search] of [
      ["d", "?period=today"],
      ["e", "?period=yesterday"],
      ["w", "?period=7d"],
      ["n", "?period=90d"],
      ["m", "?period=month"],
      ["p", "?period=last_month"],
      ["y", "?period=year"],
      ["l", "?period=12mo"],
      ["a", "?period=all"],
      ["t", ""],
      ["x", "?comparison=off"],
      ["x", ""],
      ["b", "?bots=shown"],
      ["b", "?bots=only"],
      ["b", ""],
      ["v", "?table=1"],
      ["v", ""],
      ["i", "?interval=week"],
      ["i", ""],
      ["ArrowLeft", "?from=2026-09-24&to=2026-10-23"],
      ["ArrowRight", ""],
    ] as const) {
      await page.keyboard.press(key);
      assert.equal(new URL(page.url()).search, search, key);
      await settled(page);
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  });
});

test("keys typed into a field are text, not commands", async () => {
  await overview(async (page) => {
    await page.keyboard.press("/");
    const dialog = page.getByRole("dialog", { name: "Add a filter" });
    await dialog.getByLabel("Value").fill("");
    await dialog.getByLabel("Value").pressSequentially("/p/dwm");
    assert.equal(new URL(page.url()).search, "");
    await dialog.getByLabel("How").selectOption("contains");
    await dialog.getByLabel("Value").fill("/p/");
    await dialog.getByRole("button", { name: "Add filter" }).click();
    await page.waitForURL("**?f=contains,event:page,/p/");
    await settled(page);
    // Views per visit cannot be asked of one page: the card says so by having no number.
    assert.equal(
      (await card(page, "Views per visit").locator(".value").textContent())?.trim(),
      "–",
    );
    await page.keyboard.press("Escape");
    await page.waitForURL("**/sites/1");
  });
});

test("the calendar takes two days; the period's menu takes the keyboard", async () => {
  await overview(async (page) => {
    await settled(page);
    await page.keyboard.press("c");
    await page.getByRole("button", { name: "5 Nov 2026", exact: true }).click();
    await page.getByRole("button", { name: "3 Nov 2026", exact: true }).click();
    await page.waitForURL("**?from=2026-11-03&to=2026-11-05");
    await settled(page);
    await page.getByRole("button", { name: /^Period:/ }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("menuitemradio", { name: /^Choose days/ }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL("**?period=today");
    const focused = await page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
    assert.match(focused ?? "", /^Period/);
  });
});

test("the chosen card is drawn without asking again, and is a table and a file too", async () => {
  await overview(async (page, mock) => {
    await settled(page);
    const asked = mock.asked.length;
    await card(page, "Bounce rate").click();
    await page.waitForURL("**?metric=bounce_rate");
    assert.equal(await card(page, "Bounce rate").getAttribute("aria-pressed"), "true");
    assert.equal(mock.asked.length, asked);
    await page.getByRole("button", { name: "Table", exact: true }).click();
    const rows = page.locator(".table tbody tr");
    assert.equal(await rows.count(), 30);
    assert.match((await rows.last().textContent()) ?? "", /Sun, 22 Nov 2026.*not ended/);
    for (const [format, ending] of [
      ["CSV", "csv"],
      ["Parquet", "parquet"],
    ]) {
      await page.getByRole("button", { name: "Copy or download: Bounce rate" }).click();
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        page.waitForRequest((request) => request.url().endsWith(`/query?format=${ending}`)),
        page.getByRole("menuitem", { name: `Download as ${format}, all rows` }).click(),
      ]);
      assert.equal(file.suggestedFilename(), `shop.example Bounce rate.${ending}`);
    }
  });
});

test("the chart is read with the arrow keys", async () => {
  await overview(async (page) => {
    await page.waitForSelector("canvas");
    const chart = page.getByRole("img", { name: /^Visitors, / });
    await chart.focus();
    await page.keyboard.press("End");
    await page
      .getByText(/^Sun, 22 Nov 2026 \(not ended\), Visitors \d/)
      .waitFor({ state: "attached" });
    await page.keyboard.press("ArrowLeft");
    await page.getByText(/^Sat, 21 Nov 2026, Visitors \d/).waitFor({ state: "attached" });
    assert.equal(new URL(page.url()).search, "");
    assert.match((await page.locator(".chart-tip").textContent()) ?? "", /Sat, 21 Nov 2026/);
  });
});

test("dragging over the chart zooms in", async () => {
  await overview(async (page) => {
    await page.waitForSelector("canvas");
    await settled(page);
    const box = await page.locator("canvas").boundingBox();
    assert.ok(box);
    await page.mouse.move(box.x + box.width * 0.3, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 60);
    await page.mouse.up();
    await page.waitForURL(/\?from=2026-1\d-\d\d&to=2026-1\d-\d\d$/);
  });
});

test("what arrives is shown within a moment, without reloading", async () => {
  await overview(async (page, mock) => {
    const before = Number((await visitors(page)).replace(/\D/g, ""));
    await page.getByText("23 now").waitFor();
    mock.arrive("1", "/p/just-now");
    await page.getByText("24 now").waitFor();
    await page.waitForFunction(
      (least) => Number(document.querySelector(".value")?.textContent?.replace(/\D/g, "")) > least,
      before,
    );
    await page.getByRole("button", { name: /Latest events$/ }).click();
    await page.getByText("/p/just-now").first().waitFor();
  });
});

test("old numbers stay, dimmed, until the new ones are there; nothing moves", async () => {
  await overview(async (page, mock) => {
    const before = await visitors(page);
    await page.waitForSelector("canvas");
    const still = await boxes(page);
    let open = () => {};
    mock.gate = new Promise((done) => (open = done));
    await page.keyboard.press("w");
    await page.waitForSelector(".panel .stale");
    assert.deepEqual(await boxes(page), still);
    assert.equal((await card(page, "Visitors").locator(".value").textContent())?.trim(), before);
    await page.waitForSelector(".progress", { state: "attached" });
    open();
    mock.gate = undefined;
    assert.notEqual(await visitors(page), before);
    await page.waitForSelector(".progress", { state: "detached" });
    assert.deepEqual(await boxes(page), still);
  });
});

test("the first load has the size of the loaded page", async () => {
  const mock = new Mock({ now: NOW });
  let open = () => {};
  mock.gate = new Promise((done) => (open = done));
  await mock.start();
  const { page, troubles } = await openPage(browser);
  await page.clock.setFixedTime(NOW);
  await page.goto(`${mock.origin}/sites/1`);
  await page.waitForSelector(".card .skeleton");
  const waiting = await boxes(page);
  open();
  mock.gate = undefined;
  await page.waitForSelector("canvas");
  await settled(page);
  assert.deepEqual(await boxes(page), waiting);
  assert.deepEqual(troubles, []);
  await page.context().close();
  await mock.stop();
});

test("a superseded question is aborted, and its answer is never shown", async () => {
  await overview(async (page, mock) => {
    await settled(page);
    let open = () => {};
    mock.gate = new Promise((done) => (open = done));
    const aborted = page.waitForEvent("requestfailed", (request) =>
      request.url().endsWith("/queries"),
    );
    await page.keyboard.press("d");
    await page.waitForSelector(".stale");
    await page.keyboard.press("a");
    await aborted;
    open();
    mock.gate = undefined;
    await settled(page);
    await page.getByText("All time").first().waitFor();
    const shown = await visitors(page);
    await page.reload();
    assert.equal(await visitors(page), shown);
    assert.equal(new URL(page.url()).search, "?period=all");
  });
});

test("a failure says so in the server's words, and can be tried again", async () => {
  await overview(async (page, mock) => {
    await settled(page);
    mock.failing = 503;
    await page.keyboard.press("w");
    const alert = panel(page, "Pages").getByRole("alert");
    await alert.getByText("The store cannot be reached.").waitFor();
    mock.failing = undefined;
    await alert.getByRole("button", { name: "Try again" }).click();
    await panel(page, "Pages").locator(".row").first().waitFor();
  });
});

test("all rows: sorted, searched, and a click filters", async () => {
  await overview(async (page) => {
    await page.getByRole("button", { name: "All rows of Pages" }).click();
    await page.waitForURL("**?details=pages");
    const dialog = page.getByRole("dialog", { name: "Pages: Top" });
    await dialog.getByRole("button", { name: "Page views" }).click();
    await dialog.locator('th[aria-sort="descending"]', { hasText: "Page views" }).waitFor();
    await dialog.getByLabel("Find").fill("OAK-ST");
    await dialog.getByText("1 of 1 rows").waitFor();
    await dialog.getByRole("button", { name: "/p/oak-stool", exact: true }).click();
    await page.waitForURL("**?f=is,event:page,/p/oak-stool");
    await dialog.waitFor({ state: "detached" });
  });
});

test("tabs keep their place in the URL and take the arrow keys", async () => {
  await overview(async (page) => {
    await panel(page, "Devices").getByRole("tab", { name: "Type" }).focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForURL("**?devices=browser");
    await panel(page, "Devices")
      .getByRole("button", { name: /^Chrome \d/ })
      .waitFor();
    await page.reload();
    await panel(page, "Devices")
      .getByRole("button", { name: /^Chrome \d/ })
      .waitFor();
    assert.equal(
      await panel(page, "Devices").getByRole("tab", { selected: true }).textContent(),
      "Browser",
    );
  });
});

test("an empty site says what to do next, and fills by itself", async () => {
  await overview(
    async (page, mock) => {
      await page.getByText("Nothing has arrived yet").waitFor();
      mock.arrive("1", "/");
      await page.waitForSelector("canvas");
      await page.getByText("Nothing has arrived yet").waitFor({ state: "detached" });
      await card(page, "Visitors").getByText("1", { exact: true }).waitFor();
    },
    { mock: new Mock({ now: NOW, visits: [] }) },
  );
});

test("digits switch between sites", async () => {
  const sites = [makeSite("1", "One", "one.example"), makeSite("2", "Two", "two.example")];
  await overview(
    async (page, mock) => {
      await settled(page);
      await page.keyboard.press("2");
      await page.waitForURL("**/sites/2");
      await page.getByRole("button", { name: "Switch site: Two" }).waitFor();
      await page.goto(`${mock.origin}/`);
      await page.getByRole("heading", { name: "Your sites" }).waitFor();
    },
    { mock: new Mock({ now: NOW, sites }) },
  );
});

test("the theme is chosen, kept, and applied before the first paint", async () => {
  await overview(async (page) => {
    await page.getByRole("button", { name: "Account and appearance" }).click();
    await page.getByRole("menuitemradio", { name: "Dark" }).click();
    await page.reload();
    assert.equal(await page.evaluate(() => document.documentElement.dataset["theme"]), "dark");
    const ground = await page.evaluate(
      () => getComputedStyle(document.documentElement).backgroundColor,
    );
    assert.equal(ground, "rgb(16, 19, 17)");
  });
});

test("who wants no motion gets none", async () => {
  await overview(
    async (page) => {
      const moving = await page.evaluate(
        () =>
          [...document.querySelectorAll("*")].filter((element) => {
            const style = getComputedStyle(element);
            return style.animationName !== "none" || style.transitionDuration !== "0s";
          }).length,
      );
      assert.equal(moving, 0);
    },
    { reducedMotion: "reduce" },
  );
});

test("the day of a restart is marked in the chart and the table, and says why", async () => {
  const restarts = ["2026-11-20T10:00:00Z"];
  const mock = new Mock({ now: NOW, restarts, mixed: true });
  const why = "Cairn was restarted: anonymous visitors of this day may count twice.";
  await overview(
    async (page) => {
      await page.waitForSelector("canvas");
      await page.locator(".head").getByRole("button", { name: "What is “restarted”?" }).hover();
      await page.getByRole("tooltip").getByText(why).waitFor();
      await page.locator(".chart").focus();
      const said = async () => (await page.locator("[aria-live=polite].sr").textContent()) ?? "";
      for (const [key, day, marked] of [
        ["End", "22 Nov", false],
        ["ArrowLeft", "21 Nov", false],
        ["ArrowLeft", "20 Nov", true],
      ] as const) {
        await page.keyboard.press(key);
        await page.locator("[aria-live=polite].sr").getByText(day).waitFor();
        assert.equal((await said()).includes(why), marked, day);
      }
      await page.getByRole("button", { name: "What is “Visitors”?" }).hover();
      const note = page.getByRole("tooltip");
      await note.getByText("recognised and anonymous visitors are added up").waitFor();
      await note.getByText("Cairn was restarted in this range").waitFor();
      await page.getByRole("button", { name: "What is “Visits”?" }).hover();
      await note.getByText("Visits active in the range.").waitFor();
      assert.equal(await note.getByText("restarted").count(), 0);

      await page.getByRole("button", { name: "Table", exact: true }).click();
      const row = page.locator(".table tr").filter({ has: page.locator(".restart") });
      assert.equal(await row.count(), 1);
      assert.match((await row.locator("th").textContent()) ?? "", /20 Nov 2026/);
      await row.getByRole("button", { name: "What is “restarted”?" }).focus();
      await note.getByText(why).waitFor();
    },
    { mock },
  );
});

test("a range without a restart has no mark", async () => {
  await overview(
    async (page) => {
      await page.waitForSelector("canvas");
      await settled(page);
      assert.equal(await page.getByText("restarted").count(), 0);
    },
    { mock: new Mock({ now: NOW, restarts: ["2026-08-01T10:00:00Z"] }) },
  );
});
