// The state of the Overview, and how it reads in the URL. What is not said has its default, so the
// plain address of a site is its plain view.
import { type Opened, readOpened, writeOpened } from "./events.ts";
import { type Filter, readFilter, writeFilter } from "./filters.ts";
import {
  type Day,
  type Interval,
  type Preset,
  type Range,
  PRESETS,
  intervalsOf,
  isDay,
  rangeOf,
} from "./dates.ts";

/** What visits are measured by. */
export const VISIT_METRICS = [
  "visitors",
  "visits",
  "pageviews",
  "views_per_visit",
  "bounce_rate",
  "visit_duration",
] as const;
export type VisitMetric = (typeof VISIT_METRICS)[number];
/** What orders and costs are measured by, as on the page about campaigns. */
export const MONEY_METRICS = ["conversions", "revenue", "roas"] as const;
export type MoneyMetric = (typeof MONEY_METRICS)[number];
export const METRICS = [...VISIT_METRICS, ...MONEY_METRICS] as const;
export type Metric = (typeof METRICS)[number];

export function isMoneyMetric(metric: string | undefined): metric is MoneyMetric {
  return MONEY_METRICS.some((one) => one === metric);
}

export const COMPARISONS = ["previous_period", "year_over_year", "off"] as const;
export type Comparison = (typeof COMPARISONS)[number];
export const BOTS = ["hidden", "shown", "only"] as const;
export type Bots = (typeof BOTS)[number];

export const TABS = {
  sources: ["channel", "source", "referrer", "utm_campaign", "return"],
  pages: ["page", "entry_page", "exit_page", "section"],
  goals: ["goal", "funnel"],
  places: ["country", "region", "city"],
  devices: ["device", "browser", "os"],
  content: ["section", "search", "not_found"],
  clicks: ["element", "outbound", "download"],
  forms: ["form", "field"],
  vitals: ["lcp", "inp", "cls", "ttfb"],
  emails: [
    "mail_opens",
    "mail_clicks",
    "mail_template",
    "mail_link",
    "tracked_link",
    "mail_open_reasons",
    "mail_click_reasons",
  ],
  ads: ["ad_campaign", "creative", "placement", "cost", "ad_reasons"],
} as const;
export type Panel = keyof typeof TABS;
export const PANELS = Object.keys(TABS) as Panel[];
export type Tabs = { [P in Panel]: (typeof TABS)[P][number] };

/** Panels that stand side by side: one screen holds one group. */
export const GROUPS = {
  visits: ["sources", "pages", "goals", "places", "devices"],
  page: ["content", "clicks", "forms", "vitals"],
  campaigns: ["emails", "ads"],
} as const satisfies Record<string, readonly Panel[]>;
export type Group = keyof typeof GROUPS;
export const GROUP_NAMES = Object.keys(GROUPS) as Group[];

const DEFAULT_TABS: Tabs = {
  sources: "source",
  pages: "page",
  goals: "goal",
  places: "country",
  devices: "device",
  content: "section",
  clicks: "element",
  forms: "form",
  vitals: "lcp",
  emails: "mail_opens",
  ads: "ad_campaign",
};

export interface View {
  period: Preset | "custom";
  custom: Range | undefined;
  metric: Metric;
  comparison: Comparison;
  bots: Bots;
  interval: Interval | undefined;
  filters: Filter[];
  /** Number of a saved segment. */
  segment: number | undefined;
  group: Group;
  tabs: Tabs;
  table: boolean;
  details: Panel | undefined;
  /** Which events are listed, see events.ts. */
  events: Opened | undefined;
}

const DEFAULT_PERIOD: Preset = "30d";

function oneOf<T extends string>(text: string | null, allowed: readonly T[], fallback: T): T {
  return allowed.includes(text as T) ? (text as T) : fallback;
}

export function readView(search: string): View {
  const query = new URLSearchParams(search);
  const from = query.get("from");
  const to = query.get("to");
  const custom = isDay(from) && isDay(to) && from <= to ? { from, to } : undefined;
  const interval = query.get("interval");
  const details = query.get("details");
  return {
    period: custom ? "custom" : oneOf(query.get("period"), PRESETS, DEFAULT_PERIOD),
    custom,
    metric: oneOf(query.get("metric"), METRICS, "visitors"),
    comparison: oneOf(query.get("comparison"), COMPARISONS, "previous_period"),
    bots: oneOf(query.get("bots"), BOTS, "hidden"),
    interval: ["hour", "day", "week", "month"].includes(interval ?? "")
      ? (interval as Interval)
      : undefined,
    filters: query.getAll("f").flatMap((text) => readFilter(text) ?? []),
    segment: readNumber(query.get("segment")),
    group: oneOf(query.get("show"), GROUP_NAMES, "visits"),
    tabs: readTabs(query),
    table: query.get("table") === "1",
    details: PANELS.includes(details as Panel) ? (details as Panel) : undefined,
    events: readOpened(query.get("events")),
  };
}

function readNumber(text: string | null): number | undefined {
  return text !== null && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined;
}

function readTabs(query: URLSearchParams): Tabs {
  const tabs = PANELS.map((panel) => [
    panel,
    oneOf<string>(query.get(panel), TABS[panel], DEFAULT_TABS[panel]),
  ]);
  return Object.fromEntries(tabs) as Tabs;
}

/** The query part of the URL, with its question mark, or the empty text for the plain view. */
export function writeView(view: View): string {
  const query = new URLSearchParams();
  if (view.period === "custom" && view.custom) {
    query.set("from", view.custom.from);
    query.set("to", view.custom.to);
  } else if (view.period !== DEFAULT_PERIOD) query.set("period", view.period);
  if (view.metric !== "visitors") query.set("metric", view.metric);
  if (view.comparison !== "previous_period") query.set("comparison", view.comparison);
  if (view.bots !== "hidden") query.set("bots", view.bots);
  if (view.interval) query.set("interval", view.interval);
  if (view.group !== "visits") query.set("show", view.group);
  for (const panel of PANELS) {
    if (view.tabs[panel] !== DEFAULT_TABS[panel]) query.set(panel, view.tabs[panel]);
  }
  if (view.table) query.set("table", "1");
  if (view.segment) query.set("segment", String(view.segment));
  if (view.details) query.set("details", view.details);
  if (view.events) query.set("events", writeOpened(view.events));
  for (const filter of view.filters) query.append("f", writeFilter(filter));
  const text = query
    .toString()
    .replaceAll("%3A", ":")
    .replaceAll("%2F", "/")
    .replaceAll("%2C", ",");
  return text === "" ? "" : `?${text}`;
}

/** The days that a view shows; nothing for "all time", whose start only the server knows. */
export function rangeOfView(view: View, today: Day): Range | undefined {
  if (view.period === "custom") return view.custom;
  return view.period === "all" ? undefined : rangeOf(view.period, today);
}

/** A range as the preset it equals, if any, so that the URL stays short and moves with the days. */
export function withRange(view: View, range: Range, today: Day): View {
  const preset = PRESETS.find((p) => {
    if (p === "all") return false;
    const known = rangeOf(p, today);
    return known.from === range.from && known.to === range.to;
  });
  const next: View = preset
    ? { ...view, period: preset, custom: undefined }
    : { ...view, period: "custom", custom: range };
  return withValidInterval(next, today);
}

export function withPeriod(view: View, period: Preset, today: Day): View {
  return withValidInterval({ ...view, period, custom: undefined }, today);
}

function withValidInterval(view: View, today: Day): View {
  const allowed = intervalsOf(rangeOfView(view, today));
  return view.interval && !allowed.includes(view.interval)
    ? { ...view, interval: undefined }
    : view;
}

/** The interval of the chart; nothing means that the server chooses (all time). */
export function intervalOfView(view: View, today: Day): Interval | undefined {
  const allowed = intervalsOf(rangeOfView(view, today));
  return view.interval && allowed.includes(view.interval) ? view.interval : allowed[0];
}
