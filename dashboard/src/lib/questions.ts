// The questions that the Overview asks: one for the cards, one for the chart, one for each panel.
import type { Query, QueryFilter } from "./api/client.ts";
import { type Day, type Interval, instantsOf } from "./dates.ts";
import type { Opened } from "./events.ts";
import { DEEDS, type Dimension, type Filter } from "./filters.ts";
import { type Figure, TAB } from "./panels.ts";
import {
  MONEY_METRICS,
  type Panel,
  type View,
  type VisitMetric,
  VISIT_METRICS,
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
export function cardMetrics(view: View): VisitMetric[] {
  const ofPage = view.filters.some((f) => f.dimension === "event:page");
  return VISIT_METRICS.filter((metric) => metric !== "views_per_visit" || !ofPage);
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

/** The filters of a view as a segment keeps them. */
export function savedFilters(view: View): QueryFilter[] {
  return view.filters.map(apiFilter);
}

export function apiFilters(view: View): QueryFilter[] {
  const filters = savedFilters(view);
  if (view.segment) filters.push(["is", "segment", [view.segment]]);
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

/** What orders brought and advertising cost: beside the visits, since money is counted from events. */
export function moneyQuestion(siteId: string, view: View, today: Day): Query {
  return { ...cardsQuestion(siteId, view, today), metrics: [...MONEY_METRICS] };
}

/** The same by interval. */
export function moneyChartQuestion(siteId: string, view: View, today: Day): Query {
  return { ...chartQuestion(siteId, view, today), metrics: [...MONEY_METRICS] };
}

/** Site, days and filters, as a funnel is asked for them. */
export function funnelQuestion(siteId: string, view: View, today: Day) {
  return base(siteId, view, today);
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

/** Filters and days of the list of events behind a number. */
export function eventsQuestion(
  view: View,
  opened: Opened,
  today: Day,
  zone: string,
): { filters: QueryFilter[]; date_range: string | undefined } {
  const filters = apiFilters({ ...view, filters: [...view.filters, ...opened.filters] });
  if (opened.at) {
    const instants = instantsOf(opened.at, zone);
    return { filters, date_range: JSON.stringify(instants ?? [opened.at.slice(0, 10)]) };
  }
  const range = opened.days ?? rangeOfView(view, today);
  return { filters, date_range: range && JSON.stringify([range.from, range.to]) };
}

/** A question without its page, for whoever takes it along. */
export function wholeQuestion(question: Query): Query {
  const { pagination: _, ...whole } = question;
  return whole;
}
