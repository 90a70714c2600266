// `npm run screens -- DIRECTORY`: pictures of every page, to be looked at.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openBrowser, openPage } from "./browser/browser.ts";
import { Mock, makeSite } from "./mock/server.ts";
import { makeVisits } from "./mock/visits.ts";

const directory = process.argv[2];
if (!directory) throw new Error("Name a directory for the pictures.");
await mkdir(directory, { recursive: true });

/** A fixed afternoon, so that pictures of two days can be compared. */
const NOW = Date.parse("2026-11-22T15:20:00Z");
const LONG =
  "The International Society for Extraordinarily Long Names of Otherwise Ordinary Small Shops";

const kinds = ["image", "email", "ad", "server", "app"];
const full = await new Mock({ now: NOW, demo: false, kinds }).start();
const restarted = await new Mock({
  now: NOW,
  restarts: ["2026-11-20T10:00:00Z"],
  mixed: true,
}).start();
const empty = await new Mock({ now: NOW, visits: [] }).start();
const visits = makeVisits(NOW, 11, 300).map((visit) => ({
  ...visit,
  values: { ...visit.values, "visit:source": `${visit.values["visit:source"]} of ${LONG}` },
}));
const long = await new Mock({
  now: NOW,
  visits,
  demo: true,
  sites: [
    makeSite("1", LONG, "a-very-long-domain-name-indeed.shop.example"),
    makeSite("2", "Two", "two.example"),
  ],
}).start();
const fresh = await new Mock({ now: NOW, setupNeeded: true, signedIn: false }).start();

const browser = await openBrowser();
const OVERVIEW = "/sites/1";
const pages: [name: string, mock: Mock, path: string, ready: string][] = [
  ["overview", full, OVERVIEW, ".row"],
  [
    "filters",
    full,
    `${OVERVIEW}?metric=bounce_rate&f=is,visit:country,DE&f=is_not,visit:source,Google&places=city&devices=browser&sources=channel`,
    ".row",
  ],
  ["today", full, `${OVERVIEW}?period=today&metric=pageviews`, ".row"],
  ["table", full, `${OVERVIEW}?table=1&period=7d`, ".row"],
  ["details", full, `${OVERVIEW}?details=pages`, "tbody tr"],
  ["page", full, `${OVERVIEW}?show=page`, ".row"],
  ["campaigns", full, `${OVERVIEW}?show=campaigns&ads=creative`, ".row"],
  ["speed", full, `${OVERVIEW}?show=page&details=vitals`, "tbody tr"],
  ["page-empty", empty, `${OVERVIEW}?show=page`, ".panels .empty"],
  ["empty", empty, OVERVIEW, ".panels .empty"],
  ["long", long, OVERVIEW, ".row"],
  ["visits", full, `${OVERVIEW}/visits`, "li .row"],
  ["visitor", full, `${OVERVIEW}/visits?list=visitors&open=00000000000000ff`, ".step"],
  ["people", full, `${OVERVIEW}/visits?list=people&open=00000000000000ad`, ".step"],
  ["visits-empty", empty, `${OVERVIEW}/visits`, ".note"],
  ["pixels", full, `${OVERVIEW}/pixels`, "pre"],
  ["pixels-email", full, `${OVERVIEW}/pixels?key=k2_email&period=30d`, "textarea"],
  ["pixels-ad", full, `${OVERVIEW}/pixels?key=k3_ad`, "fieldset"],
  ["pixels-app", full, `${OVERVIEW}/pixels?key=k5_app`, "pre"],
  ["pixels-empty", empty, `${OVERVIEW}/pixels`, "form"],
  ["settings", full, `${OVERVIEW}/settings`, "form"],
  ["restart", restarted, OVERVIEW, ".restart"],
  ["restart-table", restarted, `${OVERVIEW}?table=1&period=7d`, ".table .restart"],
  ["filtered", full, `${OVERVIEW}/filtered`, "tbody tr"],
  ["permission", full, `${OVERVIEW}/permission`, "tbody code"],
  ["permission-empty", empty, `${OVERVIEW}/permission`, "[role=status]"],
  ["rights", full, `${OVERVIEW}/rights`, "section li button"],
  ["rights-empty", empty, `${OVERVIEW}/rights`, ".note"],
  ["sites", long, "/sites", "main li"],
  ["site-new", full, "/sites/new", "form"],
  ["setup", fresh, "/setup?token=setup-token", "form"],
];
const only = process.argv[3];
for (const scheme of ["light", "dark"] as const) {
  for (const [width, height] of [
    [1440, 900],
    [1024, 800],
    [390, 2900],
  ] as const) {
    for (const [name, mock, path, ready] of pages) {
      if (only && !`${name}-${width}-${scheme}`.includes(only)) continue;
      const { page, troubles } = await openPage(browser, {
        viewport: { width, height },
        colorScheme: scheme,
        hasTouch: width === 390,
        isMobile: width === 390,
      });
      await page.clock.setFixedTime(NOW);
      await page.goto(mock.origin + path);
      await page.waitForSelector(ready);
      if (name !== "empty" && ready === ".row" && !path.includes("table"))
        await page.waitForSelector("canvas");
      if (path === OVERVIEW && name !== "empty") await page.waitForSelector(".map svg");
      await page.screenshot({
        path: join(directory, `${name}-${width}-${scheme}.png`),
        fullPage: width === 1024,
      });
      if (troubles.length > 0) console.error(name, width, scheme, troubles);
      await page.context().close();
    }
  }
}
await browser.close();
await Promise.all([full, restarted, empty, long, fresh].map((mock) => mock.stop()));
