// The questions that the Overview asks: one for the cards, one for the chart, one for each panel.
import type { Query, QueryFilter } from "./api/client.ts";
import type { Day, Interval } from "./dates.ts";
import {
  type Metric,
  type Panel,
  type View,
  METRICS,
  intervalOfView,
  rangeOfView,
} from "./view.ts";

export const DIMENSION_OF_TAB = {
  channel: "visit:channel",
  source: "visit:source",
  referrer: "visit:referrer",
  utm_campaign: "visit:utm_campaign",
  page: "event:page",
  entry_page: "visit:entry_page",
  exit_page: "visit:exit_page",
  country: "visit:country",
  region: "visit:region",
  city: "visit:city",
  device: "visit:device",
  browser: "visit:browser",
  os: "visit:os",
} as const;

/** Countries ever assigned, with room: all of them are needed to colour the map. */
export const MAP_ROWS = 300;
export const PANEL_ROWS = 9;
export const DETAIL_ROWS = 100;

/** Metrics of the chart; views per visit is divided here, since it cannot be asked by interval. */
export const CHART_METRICS = [
  "visitors",
  "visits",
  "pageviews",
  "bounce_rate",
  "visit_duration",
] as const;

/** Metrics that the cards can ask under these filters; the API refuses views per visit of one page. */
export function cardMetrics(view: View): Metric[] {
  const ofPage = view.filters.some((f) => f.dimension === "event:page");
  return METRICS.filter((metric) => metric !== "views_per_visit" || !ofPage);
}

export function apiFilters(view: View): QueryFilter[] {
  const filters: QueryFilter[] = view.filters.map((f) => [f.operator, f.dimension, f.values]);
  if (view.bots === "shown") filters.push(["is", "visit:bot", ["true", "false"]]);
  if (view.bots === "only") filters.push(["is", "visit:bot", ["true"]]);
  return filters;
}

function base(
  siteId: string,
  view: View,
  today: Day,
): Pick<Query, "site_id" | "date_range" | "filters"> {
  const range = rangeOfView(view, today);
  return {
    site_id: siteId,
    date_range: range ? [range.from, range.to] : "all",
    filters: apiFilters(view),
  };
}

function comparison(view: View): Pick<NonNullable<Query["include"]>, "comparisons"> {
  if (view.comparison === "off" || view.period === "all") return {};
  return { comparisons: { mode: view.comparison } };
}

export function cardsQuestion(siteId: string, view: View, today: Day): Query {
  return { ...base(siteId, view, today), metrics: cardMetrics(view), include: comparison(view) };
}

/** Events of people and of bots: what the reports leave out. */
export function botsQuestion(siteId: string, view: View, today: Day): Query {
  const question = base(siteId, { ...view, bots: "shown" }, today);
  return { ...question, metrics: ["events"], dimensions: ["visit:bot"] };
}

export function chartQuestion(siteId: string, view: View, today: Day): Query {
  const interval: Interval | undefined = intervalOfView(view, today);
  return {
    ...base(siteId, view, today),
    metrics: [...CHART_METRICS],
    dimensions: [interval ? `time:${interval}` : "time"],
    include: { time_labels: true, ...comparison(view) },
  };
}

export function panelQuestion(siteId: string, view: View, panel: Panel, today: Day): Query {
  const tab = view.tabs[panel];
  const dimension = DIMENSION_OF_TAB[tab];
  const question = base(siteId, view, today);
  return {
    ...question,
    metrics: ["visitors", "percentage"],
    dimensions: [dimension],
    filters: [...(question.filters ?? []), ...withoutEmpty(dimension)],
    pagination: { limit: tab === "country" ? MAP_ROWS : PANEL_ROWS, offset: 0 },
  };
}

/** Places and entry pages have no label for "missing": those rows are left out, and shown as unknown. */
function withoutEmpty(dimension: string): QueryFilter[] {
  const hidden = ["visit:region", "visit:city", "visit:entry_page", "visit:exit_page"];
  return hidden.includes(dimension) ? [["is_not", dimension, [""]]] : [];
}

export type DetailMetric =
  "visitors" | "percentage" | "visits" | "pageviews" | "bounce_rate" | "visit_duration";

/** Columns of the full list: page views cannot be asked of entry and exit pages. */
export function detailMetrics(panel: Panel, tab: View["tabs"][Panel]): DetailMetric[] {
  const endpoint = tab === "entry_page" || tab === "exit_page";
  const middle: DetailMetric[] = endpoint ? ["visits"] : ["pageviews"];
  if (panel === "pages" && tab === "exit_page") return ["visitors", "percentage", ...middle];
  return ["visitors", "percentage", ...middle, "bounce_rate", "visit_duration"];
}

export function detailsQuestion(
  siteId: string,
  view: View,
  panel: Panel,
  today: Day,
  list: { search: string; sort: DetailMetric; descending: boolean; limit: number },
): Query {
  const tab = view.tabs[panel];
  const dimension = DIMENSION_OF_TAB[tab];
  const question = base(siteId, view, today);
  const found: QueryFilter[] = list.search
    ? [["contains", dimension, [list.search], { case_sensitive: false }]]
    : [];
  return {
    ...question,
    metrics: detailMetrics(panel, tab),
    dimensions: [dimension],
    filters: [...(question.filters ?? []), ...withoutEmpty(dimension), ...found],
    order_by: [[list.sort, list.descending ? "desc" : "asc"]],
    include: { total_rows: true },
    pagination: { limit: list.limit, offset: 0 },
  };
}

/** Values of a dimension that occur in the range, most frequent first. */
export function suggestionsQuestion(
  siteId: string,
  view: View,
  dimension: string,
  today: Day,
): Query {
  return {
    ...base(siteId, view, today),
    metrics: ["visitors"],
    dimensions: [dimension],
    pagination: { limit: 100, offset: 0 },
  };
}
