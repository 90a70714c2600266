// Made-up visits of a made-up shop, the same for the same seed.

export interface Hit {
  at: number;
  page: string;
  event: string;
}

/** Something done in a visit besides looking at pages. */
export interface Deed {
  name: string;
  /** Values of dimensions, and what figures are made of. */
  values: Record<string, string>;
}

export interface Visit {
  visitor: string;
  hits: Hit[];
  bot: boolean;
  deeds: Deed[];
  values: Record<string, string>;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A small generator of numbers in [0, 1): mulberry32. */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Picks the earlier ones more often. */
function pick<T>(random: () => number, from: readonly T[], slope = 2): T {
  return from[Math.floor(Math.pow(random(), slope) * from.length)] as T;
}

const SOURCES = [
  ["Direct / None", "Direct", "Direct / None"],
  ["Google", "Organic Search", "google.com"],
  ["Newsletter", "Email", "Direct / None"],
  ["Instagram", "Organic Social", "instagram.com"],
  ["Bing", "Organic Search", "bing.com"],
  ["DuckDuckGo", "Organic Search", "duckduckgo.com"],
  ["Reddit", "Organic Social", "reddit.com/r/goodtools"],
  ["ChatGPT", "AI Assistants", "chatgpt.com"],
  ["Hacker News", "Organic Social", "news.ycombinator.com"],
  ["pinboard.test", "Referral", "pinboard.test/popular"],
  ["Google Ads", "Paid Search", "google.com"],
] as const;
const PLACES = [
  ["DE", "DE-BE", "Berlin"],
  ["US", "US-CA", "San Francisco"],
  ["GB", "GB-ENG", "London"],
  ["FR", "FR-IDF", "Paris"],
  ["EE", "EE-37", "Tallinn"],
  ["NL", "NL-NH", "Amsterdam"],
  ["AT", "AT-9", "Vienna"],
  ["SE", "SE-AB", "Stockholm"],
  ["BR", "BR-SP", "São Paulo"],
  ["IN", "IN-KA", "Bengaluru"],
  ["JP", "JP-13", "Tokyo"],
  ["SG", "SG-01", "Singapore"],
  ["MT", "MT-60", "Valletta"],
  ["ZA", "ZA-WC", "Cape Town"],
  ["AU", "AU-NSW", "Sydney"],
  ["", "", ""],
] as const;
const PAGES = [
  "/",
  "/p/oak-stool",
  "/catalogue",
  "/p/linen-throw",
  "/cart",
  "/p/brass-hook",
  "/checkout",
  "/journal/how-we-oil-a-table-and-why-it-takes-three-days-in-a-very-cold-workshop",
  "/p/wool-blanket",
  "/about",
  "/thanks",
  "/مجموعة/خشب-البلوط",
];
const DEVICES = [
  ["mobile", "Safari", "iOS"],
  ["desktop", "Chrome", "Windows"],
  ["mobile", "Chrome", "Android"],
  ["desktop", "Firefox", "Linux"],
  ["desktop", "Safari", "macOS"],
  ["tablet", "Safari", "iPadOS"],
  ["desktop", "Edge", "Windows"],
] as const;
const CAMPAIGNS = ["(not set)", "(not set)", "autumn-sale", "oak-week", "newsletter-47"];

/** Days of history. */
const DAYS = 150;

/** Visits of the days before `now`, with a weekly rhythm and slow growth. */
export function makeVisits(now: number, seed = 7, perDay = 60): Visit[] {
  const random = chance(seed);
  const visits: Visit[] = [];
  for (let ago = DAYS; ago >= 0; ago -= 1) {
    const day = Math.floor(now / DAY) * DAY - ago * DAY;
    const weekend = [0, 6].includes(new Date(day).getUTCDay());
    const count = perDay * (weekend ? 0.65 : 1) * (1.15 - ago / 300) * (0.8 + random() * 0.4);
    for (let index = 0; index < count; index += 1) {
      const at = day + (7 + 15 * (random() + random()) * 0.5) * HOUR;
      if (at <= now) visits.push(makeVisit(random, at, visits.length));
    }
  }
  return visits.sort((a, b) => (a.hits[0]?.at ?? 0) - (b.hits[0]?.at ?? 0));
}

function makeVisit(random: () => number, at: number, index: number): Visit {
  const [source, channel, referrer] = pick(random, SOURCES);
  const [country, region, city] = pick(random, PLACES, 1.8);
  const [device, browser, os] = pick(random, DEVICES, 1.5);
  const pages = random() < 0.45 ? 1 : 1 + Math.floor(random() * 7);
  const hits: Hit[] = [];
  let clock = at;
  for (let view = 0; view < pages; view += 1) {
    hits.push({ at: clock, page: pick(random, PAGES, 1.7), event: "pageview" });
    clock += 5_000 + random() * 150_000;
  }
  const bot = random() < 0.11;
  return {
    visitor: random() < 0.25 && index > 50 ? `v${index - Math.floor(random() * 50)}` : `v${index}`,
    hits,
    bot,
    deeds: makeDeeds(chance(index + 1), hits[0]?.page ?? "/"),
    values: {
      "visit:source": source,
      "visit:channel": channel,
      "visit:referrer": referrer,
      "visit:utm_campaign": pick(random, CAMPAIGNS, 1),
      "visit:country": country,
      "visit:region": region,
      "visit:city": city,
      "visit:device": device,
      "visit:browser": browser,
      "visit:os": os,
      "visit:entry_page": hits[0]?.page ?? "",
      "visit:exit_page": hits.at(-1)?.page ?? "",
      "visit:bot": String(bot),
    },
  };
}

const SECTIONS = ["hero", "catalogue", "promises", "newsletter"];
const ELEMENTS = [
  "Add to the cart",
  "See everything",
  "menu",
  "A very long label of a small button",
];
const LINKS = ["https://guild.example/menders", "https://parcels.example/track"];
const FILES = ["oak-stool.pdf", "care.pdf"];
const TERMS = ["stool", "linen", "كرسي"];
const FORMS = ["checkout", "newsletter"];
const FIELDS = ["email", "name", "delivery"];
const MAILINGS = ["autumn-sale", "oak-week"];
const REASONS: Record<string, string> = {
  machine: "security_scanner,too_soon",
  unknown: "apple_relay",
  human: "browser",
};
const CREATIVES = ["film-1", "banner-wide"];

/** What was done in a visit: read, clicked, filled in, opened. */
function makeDeeds(random: () => number, page: string): Deed[] {
  const deeds: Deed[] = [];
  const add = (likely: number, name: string, values: () => Record<string, string>) => {
    if (random() < likely) deeds.push({ name, values: { "event:page": page, ...values() } });
  };
  for (const [at, section] of SECTIONS.entries()) {
    add(0.9 - at * 0.2, "section", () => ({
      "event:section": section,
      reading: random() < 0.6 ? "read" : "skimmed",
      ms: String(Math.round(random() * 20_000)),
    }));
  }
  add(0.8, "vitals", () => ({
    lcp: String(Math.round(900 + random() * random() * 5_000)),
    inp: String(Math.round(30 + random() * random() * 600)),
    cls: (random() * random() * 0.4).toFixed(4),
    ttfb: String(Math.round(100 + random() * 900)),
  }));
  add(0.4, "click", () => ({ "event:element": pick(random, ELEMENTS) }));
  add(0.1, "click", () => ({
    "event:element": "link",
    "event:props:link_type": "outbound",
    "event:props:link_url": pick(random, LINKS),
  }));
  add(0.05, "file_download", () => ({ "event:props:file_name": pick(random, FILES) }));
  add(0.1, "view_search_results", () => ({ "event:props:search_term": pick(random, TERMS) }));
  add(0.02, "page_not_found", () => ({ "event:page": "/gone" }));
  if (random() < 0.2) {
    const form = { "event:form": pick(random, FORMS) };
    add(1, "form_start", () => form);
    if (random() < 0.6) add(1, "form_submit", () => form);
    else add(1, "form_leave", () => ({ ...form, "event:props:field": pick(random, FIELDS) }));
  }
  if (random() < 0.1) {
    const verdict = random() < 0.2 ? "machine" : random() < 0.5 ? "unknown" : "human";
    const reasons = REASONS[verdict] ?? "";
    const mail = {
      "visit:utm_campaign": pick(random, MAILINGS),
      "event:props:reasons": reasons,
      verdict,
    };
    add(1, "email_open", () => ({ ...mail, "event:props:template": "letter" }));
    add(0.3, "email_click", () => ({ ...mail, "event:props:link": "https://shop.example/" }));
    add(0.3, "link_click", () => mail);
  }
  if (random() < 0.1) {
    const ad = {
      "visit:utm_campaign": "oak-week",
      "event:props:reasons": "browser",
      verdict: "human",
    };
    const shown = { ...ad, "event:props:creative": pick(random, CREATIVES) };
    add(1, "ad_impression", () => ({ ...shown, "event:props:placement": "news.example/top" }));
    add(0.6, "ad_viewable", () => shown);
    add(0.05, "ad_click", () => shown);
  }
  return deeds;
}
