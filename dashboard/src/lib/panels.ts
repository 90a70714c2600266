// What each tab of a panel asks for and shows: the group of its rows, its figures, and what switches it on.
import type { QueryFilter, Value } from "./api/client.ts";
import { type Dimension, SEARCHES } from "./filters.ts";
import { amount, duration, exact, fixed, percent, share } from "./format.ts";
import { t } from "./texts.ts";
import type { Panel, Tabs } from "./view.ts";

export type TabName = Tabs[Panel];

/** Figures of rows. */
export const FIGURES = [
  "visitors",
  "percentage",
  "visits",
  "pageviews",
  "bounce_rate",
  "visit_duration",
  "time_on_page",
  "scroll_depth",
  "events",
  "section_views",
  "section_read_rate",
  "section_time_mean_s",
  "section_time_total_s",
  "form_starts",
  "form_submits",
  "form_leaves",
  "form_completion_rate",
  "form_abandonment_rate",
  "vitals_samples",
  "lcp_p50_ms",
  "lcp_p75_ms",
  "lcp_p95_ms",
  "inp_p50_ms",
  "inp_p75_ms",
  "inp_p95_ms",
  "cls_p50",
  "cls_p75",
  "cls_p95",
  "ttfb_p50_ms",
  "ttfb_p75_ms",
  "ttfb_p95_ms",
  "email_opens",
  "email_machine_opens",
  "email_human_opens",
  "email_openers",
  "email_clicks",
  "email_machine_clicks",
  "email_human_clicks",
  "email_clickers",
  "email_click_to_open_rate",
  "link_clicks",
  "link_machine_clicks",
  "link_human_clicks",
  "ad_impressions",
  "ad_machine_impressions",
  "ad_viewable_impressions",
  "ad_viewable_rate",
  "ad_clicks",
  "ad_machine_clicks",
  "ad_click_through_rate",
  "ad_cost",
  "conversion_rate",
  "conversions",
  "cost",
  "revenue",
  "net_revenue",
  "roas",
  "roi",
] as const;
export type Figure = (typeof FIGURES)[number];

/** Parts of a pixel's script, and kinds of pixels, that report what a tab shows. */
export type Reporter =
  "sections" | "search" | "not_found" | "clicks" | "forms" | "vitals" | "emails" | "links" | "ads";

export interface Tab {
  dimension: Dimension;
  /** In the panel. The bar of a row shows its share of the largest `sort`. */
  figures: readonly Figure[];
  /** In the list of all rows. */
  all: readonly Figure[];
  /** The figure that sorts; the first, unless it is another. */
  sort?: Figure;
  /** A first line has the figures of all rows together, which cannot be made from theirs. */
  withTotal?: boolean;
  /** Which events the rows are about. */
  filters?: readonly QueryFilter[];
  reporter?: Reporter;
  /** Figures stand in columns, though no part of a pixel has to be switched on for them. */
  inColumns?: boolean;
}

const VISITS: Figure[] = ["visitors", "percentage"];
const ordinary = (dimension: Dimension): Tab => ({
  dimension,
  figures: VISITS,
  all: [...VISITS, "pageviews", "bounce_rate", "visit_duration"],
});
const named = (...names: string[]): QueryFilter[] => [["is", "event:name", names]];

const deeds = (
  dimension: Dimension,
  events: readonly string[],
  reporter: Reporter,
  filters: QueryFilter[] = [],
): Tab => ({
  dimension,
  figures: ["events", "visitors"],
  all: ["events", "visitors", "visits"],
  filters: [...named(...events), ...filters],
  reporter,
});

const vital = (p50: Figure, p75: Figure, p95: Figure): Tab => ({
  dimension: "event:page",
  figures: [p75, "vitals_samples"],
  all: [p75, p50, p95, "vitals_samples"],
  sort: "vitals_samples",
  withTotal: true,
  reporter: "vitals",
});

const OPENS: Figure[] = ["email_opens", "email_machine_opens", "email_human_opens"];
const CLICKS: Figure[] = ["email_clicks", "email_machine_clicks", "email_human_clicks"];
const LINKS: Figure[] = ["link_clicks", "link_machine_clicks", "link_human_clicks"];
const mail = (dimension: Dimension, figures: Figure[], filters: QueryFilter[] = []): Tab => ({
  dimension,
  figures,
  all: [
    ...figures,
    ...(figures === OPENS ? CLICKS : OPENS),
    "email_openers",
    "email_clickers",
    "email_click_to_open_rate",
  ],
  filters,
  reporter: "emails",
});

const ad = (dimension: Dimension): Tab => ({
  dimension,
  figures: ["ad_impressions", "ad_viewable_rate", "ad_clicks"],
  all: [
    "ad_impressions",
    "ad_viewable_impressions",
    "ad_viewable_rate",
    "ad_clicks",
    "ad_click_through_rate",
    "ad_machine_impressions",
    "ad_machine_clicks",
  ],
  reporter: "ads",
});

const ofGoals: Tab = {
  dimension: "event:goal",
  figures: ["conversions", "conversion_rate"],
  all: ["conversions", "visitors", "conversion_rate"],
  inColumns: true,
};

export const TAB: Record<TabName, Tab> = {
  goal: ofGoals,
  // Rows are asked for one by one; the list of all is that of the goals.
  funnel: ofGoals,
  return: {
    dimension: "visit:utm_campaign",
    figures: ["cost", "revenue", "roi"],
    all: ["cost", "conversions", "revenue", "net_revenue", "roas", "roi"],
    sort: "revenue",
    inColumns: true,
  },
  channel: ordinary("visit:channel"),
  source: ordinary("visit:source"),
  referrer: ordinary("visit:referrer"),
  utm_campaign: ordinary("visit:utm_campaign"),
  page: {
    ...ordinary("event:page"),
    all: [...ordinary("event:page").all, "time_on_page", "scroll_depth"],
  },
  // Page views cannot be asked of entry and exit pages.
  entry_page: {
    dimension: "visit:entry_page",
    figures: VISITS,
    all: [...VISITS, "visits", "bounce_rate", "visit_duration"],
  },
  exit_page: { dimension: "visit:exit_page", figures: VISITS, all: [...VISITS, "visits"] },
  country: ordinary("visit:country"),
  region: ordinary("visit:region"),
  city: ordinary("visit:city"),
  device: ordinary("visit:device"),
  browser: ordinary("visit:browser"),
  os: ordinary("visit:os"),
  section: {
    dimension: "event:section",
    figures: ["section_views", "section_read_rate"],
    all: [
      "section_views",
      "section_read_rate",
      "section_time_mean_s",
      "section_time_total_s",
      "visitors",
    ],
    reporter: "sections",
  },
  search: deeds("event:props:search_term", SEARCHES, "search"),
  not_found: deeds("event:page", ["page_not_found"], "not_found"),
  element: deeds("event:element", ["click"], "clicks"),
  outbound: deeds("event:props:link_url", ["click"], "clicks", [
    ["is", "event:props:link_type", ["outbound"]],
  ]),
  download: deeds("event:props:file_name", ["file_download"], "clicks"),
  form: {
    dimension: "event:form",
    figures: ["form_starts", "form_completion_rate"],
    all: [
      "form_starts",
      "form_submits",
      "form_leaves",
      "form_completion_rate",
      "form_abandonment_rate",
      "visitors",
    ],
    reporter: "forms",
  },
  field: deeds("event:props:field", ["form_leave"], "forms"),
  lcp: vital("lcp_p50_ms", "lcp_p75_ms", "lcp_p95_ms"),
  inp: vital("inp_p50_ms", "inp_p75_ms", "inp_p95_ms"),
  cls: vital("cls_p50", "cls_p75", "cls_p95"),
  ttfb: vital("ttfb_p50_ms", "ttfb_p75_ms", "ttfb_p95_ms"),
  mail_opens: mail("visit:utm_campaign", OPENS),
  mail_clicks: mail("visit:utm_campaign", CLICKS),
  mail_template: mail("event:props:template", OPENS),
  mail_link: {
    ...mail("event:props:link", CLICKS, named("email_click", "click_landed")),
    all: CLICKS,
  },
  // The figures of a row are about one kind of event: a sign of clicks is none of opens.
  mail_open_reasons: { ...mail("event:props:reasons", OPENS), all: OPENS },
  mail_click_reasons: { ...mail("event:props:reasons", CLICKS), all: CLICKS },
  tracked_link: {
    dimension: "visit:utm_campaign",
    figures: LINKS,
    all: LINKS,
    reporter: "links",
  },
  ad_campaign: ad("visit:utm_campaign"),
  creative: ad("event:props:creative"),
  placement: ad("event:props:placement"),
  ad_reasons: {
    dimension: "event:props:reasons",
    figures: ["ad_impressions", "ad_machine_impressions", "ad_machine_clicks"],
    all: ["ad_impressions", "ad_machine_impressions", "ad_clicks", "ad_machine_clicks"],
    reporter: "ads",
  },
  // Costs are added up in one currency only.
  cost: {
    dimension: "event:props:cost_currency",
    figures: ["ad_cost", "ad_impressions", "ad_clicks"],
    all: ["ad_cost", "ad_impressions", "ad_clicks"],
    sort: "ad_impressions",
    filters: [["is_not", "event:props:cost_currency", ["(none)"]]],
    reporter: "ads",
  },
};

/** Above the first a page needs improvement, above the second it is poor (web.dev/articles/vitals). */
const BOUNDS: Record<string, readonly [good: number, poor: number]> = {
  lcp: [2_500, 4_000],
  inp: [200, 500],
  cls: [0.1, 0.25],
  ttfb: [800, 1_800],
};

export type Grade = "good" | "fair" | "poor";

/** How a figure of a vital is to be taken; nothing for other figures. */
export function gradeOf(figure: Figure, value: Value | undefined): Grade | undefined {
  const bounds = BOUNDS[figure.split("_", 1)[0] ?? ""];
  if (!bounds || typeof value !== "number") return undefined;
  if (value <= bounds[0]) return "good";
  return value <= bounds[1] ? "fair" : "poor";
}

const DURATIONS: readonly Figure[] = ["visit_duration", "time_on_page", "section_time_total_s"];

/** A figure in words; `whole` says how counts are written. */
export function shown(
  figure: Figure,
  value: Value | undefined,
  whole: (value: number) => string = exact,
): string {
  if (value === null || value === undefined) return t.unit.none;
  if (typeof value === "object")
    return whole === exact ? value.long : amount(value.value, value.currency, true);
  if (figure === "roas") return t.campaigns.times(fixed(value, 2));
  if (figure === "roi") return percent(value * 100);
  if (figure === "bounce_rate" || figure === "scroll_depth") return percent(value);
  if (DURATIONS.includes(figure)) return duration(value);
  if (figure === "section_time_mean_s")
    return value < 10 ? t.unit.seconds(exact(value)) : duration(value);
  if (figure === "ad_click_through_rate") return percent(value, 2);
  if (figure === "percentage" || figure.endsWith("_rate")) return share(value);
  if (figure.startsWith("cls_")) return fixed(value, 2);
  if (figure.endsWith("_ms")) return milliseconds(value);
  return whole(value);
}

function milliseconds(value: number): string {
  return value < 1_000
    ? t.unit.milliseconds(exact(value))
    : t.unit.seconds(fixed(value / 1_000, 2));
}
