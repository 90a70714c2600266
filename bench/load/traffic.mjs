// Ten million events, or any other number: traffic of a shop as NDJSON for the import, in the order of time.
//
// Seeded: the same seed, end and size make the same lines. Visits of one to a dozen events, visitors who come back, a
// few thousand pages of which few are read often, campaigns, bots, purchases, engagement; an id for each event.

const DAY_MS = 86_400_000;
/** Time is walked in steps of this size: the order of events is exact to it. */
const STEP_MS = 10_000;
/** Longest time from a visit's event to its next one, in steps; below the 30 minutes that end a visit. */
const PAUSE_STEPS_MAX = 120;
/** Mean number of events of a visit, as `eventsOf` makes them. */
const EVENTS_PER_VISIT = 4.62;
const PAGES = 3000;
/** Letters of a line that take two bytes: those of a region's name. */
const NOT_ASCII_MAX = 2;
/** Four hexadecimal digits, for ids in the form of a UUID. */
const HEX = Array.from({ length: 65_536 }, (_, number) => number.toString(16).padStart(4, "0"));

/** SplitMix-like 32-bit generator (mulberry32): seeded and fast. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const SOURCES = [
  ["", ""], ["", ""], ["", ""], ["https://www.google.com/", ""], ["https://www.google.com/", ""],
  ["https://duckduckgo.com/", ""], ["https://www.bing.com/", ""], ["https://news.ycombinator.com/item", ""],
  ["https://www.reddit.com/r/garden/", ""], ["https://t.co/abc", ""], ["https://www.facebook.com/", ""],
  ["", "utm_source=newsletter&utm_medium=email&utm_campaign=week-"],
  ["https://www.google.com/", "gclid=Cj0KCQ&utm_source=google&utm_medium=cpc&utm_campaign=brand-"],
];
const PLACES = [["US", "California"], ["US", "New York"], ["DE", "Berlin"], ["DE", "Bavaria"], ["FR", "Île-de-France"],
  ["GB", "England"], ["IN", "Karnataka"], ["BR", "São Paulo"], ["EE", "Harju"], ["JP", "Tokyo"], ["NL", "Utrecht"], ["", ""]];
const DEVICES = [["Chrome", "Windows", "11", "desktop"], ["Chrome", "Android", "15", "mobile"], ["Safari", "iOS", "18.6", "mobile"],
  ["Safari", "macOS", "15.6", "desktop"], ["Firefox", "Linux", "", "desktop"], ["Edge", "Windows", "11", "desktop"],
  ["Samsung Internet", "Android", "15", "mobile"], ["Safari", "iPadOS", "18.6", "tablet"]];
const SECTIONS = ["products", "category", "blog", "brands", "sale", "help", "guides", "collections"];
const WORDS = ["running", "shoes", "leather", "winter", "jacket", "cotton", "organic", "garden",
  "kitchen", "ceramic", "wireless", "headphones", "summer", "dress", "mountain", "bike"];

/**
 * Yields texts of whole lines, each smaller than `sizeBytes` and as large as it can be, `events` lines in all.
 * They cover `days` days and end before `endMs`.
 */
export function* traffic({ seed, events, days, endMs, host, sizeBytes }) {
  const next = random(seed);
  const below = (bound) => Math.floor(next() * bound);
  const pages = Array.from({ length: PAGES }, (_, number) =>
    `/${SECTIONS[below(8)]}/${WORDS[below(16)]}-${WORDS[below(16)]}-${WORDS[below(16)]}-${String(number).padStart(4, "0")}`);
  const page = () => pages[Math.floor(next() ** 3 * PAGES)];
  const four = () => HEX[below(65_536)];
  const steps = Math.floor((days * DAY_MS) / STEP_MS);
  const startMs = endMs - steps * STEP_MS;
  const visits = Math.ceil(events / EVENTS_PER_VISIT);
  const due = Array.from({ length: PAUSE_STEPS_MAX + 1 }, () => []);
  let visitors = 0;
  let owed = 0;
  let written = 0;
  let lines = [];
  let size = 0;

  function begin() {
    const returns = visitors > 0 && next() < 0.4;
    const visitor = returns ? visitors - below(Math.min(visitors, 200_000)) : (visitors += 1);
    // What a visitor has is computed from his number, so that it stays the same.
    const of = (salt, bound) => (Math.imul(visitor + salt, 2_654_435_761) >>> 8) % bound;
    const [country, region] = PLACES[of(1, PLACES.length)];
    const [browser, os, osVersion, type] = DEVICES[of(2, DEVICES.length)];
    const bot = next() < 0.04;
    const [referrer, campaign] = SOURCES[below(SOURCES.length)];
    const base = `"visitor_id":"v${visitor}","geo":{"country":"${country}","region":"${region}"},` +
      `"device":{"browser":"${browser}","browser_version":"${120 + of(3, 30)}","os":"${os}","os_version":"${osVersion}","type":"${type}"},` +
      `"bot":${bot}`;
    const left = bot || next() < 0.42 ? 1 : 2 + below(12);
    return { base, referrer, query: campaign && `?${campaign}${campaign.endsWith("-") ? below(40) : ""}`, left, path: page(), read: 0 };
  }

  function line(visit, timestampMs) {
    visit.left -= 1;
    visit.read += 1;
    const what = visit.read < 3 ? 0 : next();
    let name = "page_view";
    let extra = "";
    if (what > 0.97) {
      name = "purchase";
      extra = `,"value":${1 + below(300)}.${10 + below(90)},"currency":"EUR","order_id":"O-${written}"`;
    } else if (what > 0.85) {
      name = "add_to_cart";
    } else if (what > 0.68) {
      name = "engagement";
      extra = `,"engagement_ms":${1000 + below(90_000)},"scroll_percent":${below(101)}`;
    } else if (visit.read > 1) {
      visit.path = page();
    }
    const query = visit.read === 1 ? visit.query : "";
    const referrer = visit.read === 1 && visit.referrer ? `,"referrer":"${visit.referrer}"` : "";
    const id = `${four()}${four()}-${four()}-${four()}-${four()}-${four()}${four()}${four()}`;
    return `{"event":"${name}","event_id":"${id}","timestamp":${timestampMs},` +
      `"url":"https://${host}${visit.path}${query}"${referrer}${extra},${visit.base}}\n`;
  }

  for (let step = 0; written < events; step += 1) {
    const atMs = Math.min(startMs + step * STEP_MS, endMs - STEP_MS);
    const slot = due[step % due.length];
    // By day more than by night.
    owed += (visits / steps) * (1 + 0.8 * Math.sin((atMs / DAY_MS) * 2 * Math.PI));
    for (; owed >= 1; owed -= 1) slot.push(begin());
    due[step % due.length] = [];
    const gap = STEP_MS / (slot.length + 1);
    for (let index = 0; index < slot.length && written < events; index += 1) {
      const visit = slot[index];
      const text = line(visit, Math.floor(atMs + gap * index));
      if (visit.left > 0) due[(step + 1 + below(PAUSE_STEPS_MAX)) % due.length].push(visit);
      if (size + text.length + NOT_ASCII_MAX > sizeBytes) {
        yield lines.join("");
        lines = [];
        size = 0;
      }
      lines.push(text);
      size += text.length + NOT_ASCII_MAX;
      written += 1;
    }
  }
  if (lines.length > 0) yield lines.join("");
}
