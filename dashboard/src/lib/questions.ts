// The questions that the Overview asks: one for the cards, one for the chart, one for each panel.
import type { Query, QueryFilter } from "./api/client.ts";
import type { Day, Interval } from "./dates.ts";
import { DEEDS, type Dimension, type Filter } from "./filters.ts";
import { type Figure, TAB } from "./panels.ts";
import {
  type Metric,
  type Panel,
  type View,
  METRICS,
  intervalOfView,
  rangeOfView,
} from "./view.ts";

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

const POSITIVE = {
  is: "is",
  is_not: "is",
  contains: "contains",
  contains_not: "contains",
} as const;

/** What was done is asked of the visit: page views are no clicks, and yet a visit has both. */
function apiFilter({ operator, dimension, values }: Filter): QueryFilter {
  const events = DEEDS[dimension];
  if (!events) return [operator, dimension, values];
  const test: QueryFilter = [POSITIVE[operator], dimension, values];
  const deed: QueryFilter =
    events.length > 0 ? ["and", [["is", "event:name", [...events]], test]] : test;
  return [operator === POSITIVE[operator] ? "has_done" : "has_not_done", deed];
}

export function apiFilters(view: View): QueryFilter[] {
  const filters: QueryFilter[] = view.filters.map(apiFilter);
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
  const name = view.tabs[panel];
  const tab = TAB[name];
  const question = base(siteId, view, today);
  return {
    ...question,
    metrics: [...tab.figures],
    dimensions: [tab.dimension],
    filters: [...(question.filters ?? []), ...(tab.filters ?? []), ...withoutEmpty(tab.dimension)],
    ...(tab.sort ? { order_by: [[tab.sort, "desc"]] } : {}),
    pagination: { limit: name === "country" ? MAP_ROWS : PANEL_ROWS, offset: 0 },
  };
}

/** The same figures over all rows, where a panel shows them. */
export function totalQuestion(
  siteId: string,
  view: View,
  panel: Panel,
  today: Day,
): Query | undefined {
  const { figures, filters = [], withTotal } = TAB[view.tabs[panel]];
  if (!withTotal) return undefined;
  const question = base(siteId, view, today);
  return {
    ...question,
    metrics: [...figures],
    filters: [...(question.filters ?? []), ...filters],
  };
}

/** Places and entry pages have no label for "missing": those rows are left out, and shown as unknown. */
function withoutEmpty(dimension: string): QueryFilter[] {
  const hidden = ["visit:region", "visit:city", "visit:entry_page", "visit:exit_page"];
  return hidden.includes(dimension) ? [["is_not", dimension, [""]]] : [];
}

export function detailsQuestion(
  siteId: string,
  view: View,
  panel: Panel,
  today: Day,
  list: { search: string; sort: Figure; descending: boolean; limit: number },
): Query {
  const { dimension, all, filters = [] } = TAB[view.tabs[panel]];
  const question = base(siteId, view, today);
  const found: QueryFilter[] = list.search
    ? [["contains", dimension, [list.search], { case_sensitive: false }]]
    : [];
  return {
    ...question,
    metrics: [...all],
    dimensions: [dimension],
    filters: [...(question.filters ?? []), ...filters, ...withoutEmpty(dimension), ...found],
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
  const question = base(siteId, view, today);
  const events = DEEDS[dimension as Dimension] ?? [];
  const about: QueryFilter[] = events.length > 0 ? [["is", "event:name", [...events]]] : [];
  return {
    ...question,
    metrics: ["visitors"],
    dimensions: [dimension],
    filters: [...(question.filters ?? []), ...about],
    pagination: { limit: 100, offset: 0 },
  };
}
