// axe on every page, in both themes and three widths; and what axe does not see.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { Mock, makeSite } from "../mock/server.ts";
import { openBrowser, openPage } from "./browser.ts";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const NOW = Date.parse("2026-11-22T15:20:00Z");
const LONG = "An Extraordinarily Long Name of an Otherwise Entirely Ordinary Small Shop";

interface Case {
  name: string;
  path: string;
  ready: string;
  mock: "full" | "restarted" | "empty" | "new" | "out";
  act?: (page: Page) => Promise<void>;
}

const CASES: Case[] = [
  {
    name: "overview",
    path: "/sites/1?f=is,visit:channel,Direct&f=is_not,visit:country,DE",
    ready: ".row",
    mock: "full",
  },
  { name: "table", path: "/sites/1?table=1&places=city", ready: ".table td", mock: "full" },
  { name: "all rows", path: "/sites/1?details=pages", ready: "dialog tbody td", mock: "full" },
  {
    name: "period menu",
    path: "/sites/1",
    ready: ".row",
    mock: "full",
    act: (page) => page.getByRole("button", { name: /^Period:/ }).click(),
  },
  {
    name: "calendar",
    path: "/sites/1",
    ready: ".row",
    mock: "full",
    act: async (page) => {
      await page.getByRole("button", { name: /^Period:/ }).click();
      await page.getByRole("menuitemradio", { name: /^Choose days/ }).click();
    },
  },
  {
    name: "definition",
    path: "/sites/1",
    ready: ".row",
    mock: "full",
    act: (page) => page.getByRole("button", { name: "What is “Visits”?" }).focus(),
  },
  { name: "restart", path: "/sites/1", ready: ".restart", mock: "restarted" },
  {
    name: "restart in the table",
    path: "/sites/1?table=1",
    ready: ".table .restart",
    mock: "restarted",
    act: (page) => page.locator(".table .restart button").focus(),
  },
  { name: "on the page", path: "/sites/1?show=page&vitals=inp", ready: ".grade", mock: "full" },
  {
    name: "e-mails and ads",
    path: "/sites/1?show=campaigns&f=is,visit:utm_campaign,oak-week",
    ready: ".figures",
    mock: "full",
  },
  {
    name: "all rows of speed",
    path: "/sites/1?show=page&details=vitals",
    ready: "dialog .grade",
    mock: "full",
  },
  {
    name: "nothing on the page",
    path: "/sites/1?show=page",
    ready: ".panels .empty a",
    mock: "empty",
  },
  {
    name: "visits, one open",
    path: "/sites/1/visits?f=is,visit:country,DE",
    ready: "li .row",
    mock: "full",
    act: async (page) => {
      await page.locator("li .row").first().click();
      await page.waitForSelector(".step");
    },
  },
  { name: "visitors", path: "/sites/1/visits?list=visitors", ready: "li .row", mock: "full" },
  {
    name: "people, one open",
    path: "/sites/1/visits?list=people&open=00000000000000ad",
    ready: ".step",
    mock: "full",
  },
  { name: "no visits", path: "/sites/1/visits", ready: ".note", mock: "empty" },
  { name: "empty overview", path: "/sites/1", ready: ".canvas .empty", mock: "empty" },
  { name: "pixels", path: "/sites/1/pixels", ready: "pre", mock: "full" },
  {
    name: "pixel to edit",
    path: "/sites/1/pixels",
    ready: "pre",
    mock: "full",
    act: (page) => page.getByRole("button", { name: "Edit", exact: true }).click(),
  },
  {
    name: "live test",
    path: "/sites/1/pixels",
    ready: "pre",
    mock: "full",
    act: async (page) => {
      await page.getByRole("button", { name: "Start the live test" }).click();
      await page.waitForSelector(".stages");
    },
  },
  {
    name: "mail with a mistake",
    path: "/sites/1/pixels?key=k2_email",
    ready: "textarea",
    mock: "full",
    act: async (page) => {
      await page.getByRole("radio", { name: "One recipient" }).check();
      await page.getByRole("button", { name: "Make the mail" }).click();
    },
  },
  {
    name: "ad made",
    path: "/sites/1/pixels?key=k3_ad",
    ready: "pre",
    mock: "full",
    act: async (page) => {
      await page.getByRole("textbox", { name: "Leads to" }).fill("https://shop.example/sale");
      await page.getByLabel("Campaign").fill("spring-sale");
      await page.getByRole("button", { name: "Make the tag" }).click();
      await page.waitForSelector(".made");
    },
  },
  { name: "settings", path: "/sites/1/settings", ready: "form", mock: "full" },
  {
    name: "settings with a mistake",
    path: "/sites/1/settings",
    ready: "form",
    mock: "full",
    act: async (page) => {
      await page.getByLabel("Further hosts").fill("not a host");
      await page.getByRole("button", { name: "Save" }).click();
    },
  },
  {
    name: "settings with a rule for a place",
    path: "/sites/1/settings",
    ready: "form",
    mock: "full",
    act: async (page) => {
      await page.getByRole("button", { name: "Add a place" }).click();
      await page.getByRole("combobox", { name: "Place" }).fill("DE");
      await page.waitForSelector(".law");
    },
  },
  {
    name: "site to delete",
    path: "/sites/1/settings",
    ready: "form",
    mock: "full",
    act: (page) => page.getByRole("button", { name: "Delete this site" }).click(),
  },
  { name: "first pixel", path: "/sites/1/pixels", ready: "form", mock: "empty" },
  { name: "filtered", path: "/sites/1/filtered", ready: "tbody td", mock: "full" },
  {
    name: "permission",
    path: "/sites/1/permission",
    ready: "tbody code",
    mock: "full",
    act: (page) => page.locator("summary").first().click(),
  },
  { name: "permission without receipts", path: "/sites/1/permission", ready: "h3", mock: "empty" },
  {
    name: "rights",
    path: "/sites/1/rights",
    ready: "section li button",
    mock: "full",
    act: async (page) => {
      await page.getByLabel("Value").fill("ada-7");
      await page.getByRole("button", { name: "Find", exact: true }).click();
      await page.getByRole("button", { name: "Write down" }).waitFor();
    },
  },
  {
    name: "rights, a request",
    path: "/sites/1/rights",
    ready: "section li button",
    mock: "full",
    act: async (page) => {
      await page.getByRole("button", { name: /Erasure.*ada-7/ }).click();
      await page.getByRole("button", { name: "Refuse …" }).waitFor();
    },
  },
  {
    name: "rights, an erasure's record",
    path: "/sites/1/rights",
    ready: "section li button",
    mock: "full",
    act: async (page) => {
      await page.getByRole("button", { name: /^Which/ }).click();
      await page.getByRole("menuitemradio", { name: "Done" }).click();
      await page.getByRole("button", { name: /A visitor, on the privacy page/ }).click();
      await page.getByRole("heading", { name: "The erasure" }).waitFor();
    },
  },
  { name: "rights of nobody", path: "/sites/1/rights", ready: ".note", mock: "empty" },
  { name: "sites", path: "/sites", ready: "main li", mock: "full" },
  { name: "new site", path: "/sites/new", ready: "form", mock: "full" },
  { name: "set-up", path: "/setup?token=setup-token", ready: "form", mock: "new" },
  { name: "sign-in", path: "/login", ready: "form", mock: "out" },
];

let browser: Browser;
const mocks = {} as Record<Case["mock"], Mock>;

before(async () => {
  browser = await openBrowser();
  const sites = [makeSite("1", LONG, "shop.example"), makeSite("2", "Two", "two.example")];
  const kinds = ["image", "email", "ad"];
  mocks.full = await new Mock({ now: NOW, demo: true, sites, kinds }).start();
  const restarts = ["2026-11-20T10:00:00Z"];
  mocks.restarted = await new Mock({ now: NOW, restarts, mixed: true }).start();
  mocks.empty = await new Mock({ now: NOW, visits: [] }).start();
  mocks.new = await new Mock({ now: NOW, setupNeeded: true, signedIn: false, sites: [] }).start();
  mocks.out = await new Mock({ now: NOW, signedIn: false }).start();
});

after(async () => {
  await browser.close();
  for (const mock of Object.values(mocks)) await mock.stop();
});

async function visit(
  at: Case,
  context: Parameters<typeof openPage>[1],
  work: (page: Page) => Promise<void>,
): Promise<void> {
  // The policy of the page keeps foreign scripts out, axe included: for this it is set aside.
  const { page } = await openPage(browser, {
    bypassCSP: true,
    reducedMotion: "reduce",
    ...context,
  });
  try {
    await page.clock.setFixedTime(NOW);
    await page.goto(mocks[at.mock].origin + at.path);
    await page.waitForSelector(at.ready);
    await page.waitForFunction(() => !document.querySelector('[aria-busy="true"], .stale'));
    await at.act?.(page);
    await work(page);
  } finally {
    await page.context().close();
  }
}

async function violations(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: {
        run(
          where: Document,
          options: object,
        ): Promise<{
          violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
        }>;
      };
    };
    const result = await axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    });
    return result.violations.flatMap((found) =>
      found.nodes.map((node) => `${found.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`),
    );
  });
}

test("no page has a barrier that axe finds, light and dark, wide and narrow", async () => {
  const found: string[] = [];
  for (const at of CASES) {
    await visit(at, {}, async (page) => {
      await page.addScriptTag({ path: AXE });
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        for (const width of [1440, 390]) {
          await page.setViewportSize({ width, height: 900 });
          const texts = await violations(page);
          found.push(...texts.map((text) => `${at.name}, ${colorScheme}, ${width}: ${text}`));
        }
      }
    });
  }
  assert.deepEqual(found, []);
});

test("no page is wider than its window, down to 320 pixels and at 200 % zoom", async () => {
  const found: string[] = [];
  for (const at of CASES) {
    await visit(at, {}, async (page) => {
      for (const width of [1024, 720, 390, 320]) {
        await page.setViewportSize({ width, height: 640 });
        const needed = await page.evaluate(() => document.documentElement.scrollWidth);
        if (needed > width) found.push(`${at.name} is ${needed} wide in ${width}`);
      }
    });
  }
  assert.deepEqual(found, []);
});

test("on touch, everything that can be pressed is 44 pixels high", async () => {
  for (const at of CASES) {
    const context = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
    await visit(at, context, async (page) => {
      assert.ok(await page.evaluate(() => matchMedia("(pointer: coarse)").matches));
      const small = await page.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>("button, a[href], select, input, textarea")]
          .filter(
            (element) => element.checkVisibility() && !element.closest(".skip, p, .sr, .ribbon"),
          )
          .filter((element) => !element.matches(".skip, svg *"))
          .map((element) => ({ box: element.getBoundingClientRect(), html: element.outerHTML }))
          .filter(({ box }) => box.height > 0 && box.height < 43.5)
          .map(({ box, html }) => `${Math.round(box.height)}: ${html.slice(0, 120)}`),
      );
      assert.deepEqual(small, [], at.name);
    });
  }
});

test("the focus is visible wherever the keyboard goes", async () => {
  const at = CASES[0] as Case;
  await visit(at, {}, async (page) => {
    const seen = new Set<string>();
    for (let press = 0; press < 80; press += 1) {
      await page.keyboard.press("Tab");
      const focus = await page.evaluate(() => {
        const element = document.activeElement as HTMLElement | null;
        if (!element || element === document.body) return null;
        const style = getComputedStyle(element);
        const name = element.getAttribute("aria-label") ?? element.textContent?.trim() ?? "";
        const { width, height } = element.getBoundingClientRect();
        return { name, visible: style.outlineStyle !== "none" && width > 0 && height > 0 };
      });
      if (!focus) continue;
      assert.ok(focus.visible, focus.name);
      seen.add(focus.name);
    }
    assert.ok(seen.size > 40, `${seen.size} places`);
  });
});
