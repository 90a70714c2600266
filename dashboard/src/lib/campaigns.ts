// The questions of the page about campaigns, and how its figures are written.
import type { Answer, Money, Query, Value } from "./api/client.ts";
import { exact, fixed, percent } from "./format.ts";
import { t } from "./texts.ts";

export const CAMPAIGN_METRICS = [
  "cost",
  "cost_clicks",
  "conversions",
  "cost_per_conversion",
  "revenue",
  "net_revenue",
  "roas",
  "roi",
] as const;
export type CampaignMetric = (typeof CAMPAIGN_METRICS)[number];
export const PERIODS = ["7d", "30d", "91d", "12mo"] as const;
export const ROWS = [
  "visit:utm_campaign",
  "visit:source",
  "visit:channel",
  "visit:utm_medium",
  "visit:utm_content",
  "visit:utm_term",
] as const;
export const ROWS_SHOWN = 100;

/** What the page shows; it is what the address says. */
export interface CampaignView {
  period: (typeof PERIODS)[number];
  by: (typeof ROWS)[number];
  /** Whose conversions are counted; empty: orders. */
  goal: string;
  sort: CampaignMetric;
  ascending: boolean;
}

function oneOf<T extends string>(text: string | null, all: readonly T[], otherwise: T): T {
  return all.find((one) => one === text) ?? otherwise;
}

export function readCampaignView(search: string): CampaignView {
  const asked = new URLSearchParams(search);
  return {
    period: oneOf(asked.get("period"), PERIODS, "30d"),
    by: oneOf(`visit:${asked.get("by")}`, ROWS, "visit:utm_campaign"),
    goal: asked.get("goal") ?? "",
    sort: oneOf(asked.get("sort"), CAMPAIGN_METRICS, "cost"),
    ascending: asked.get("order") === "asc",
  };
}

/** The query part of the address, with its question mark; the empty text for the plain view. */
export function writeCampaignView(view: CampaignView): string {
  const pairs = {
    period: view.period === "30d" ? "" : view.period,
    by: view.by === "visit:utm_campaign" ? "" : view.by.slice("visit:".length),
    goal: view.goal,
    sort: view.sort === "cost" ? "" : view.sort,
    order: view.ascending ? "asc" : "",
  };
  const told = Object.entries(pairs).filter(([, value]) => value !== "");
  const query = new URLSearchParams(told).toString();
  return query && `?${query}`;
}

export function campaignQuestions(site: string, view: CampaignView): { rows: Query; total: Query } {
  const total: Query = {
    site_id: site,
    metrics: [...CAMPAIGN_METRICS],
    date_range: view.period,
    filters: view.goal ? [["is", "event:goal", [view.goal]]] : [],
  };
  const rows: Query = {
    ...total,
    dimensions: [view.by],
    order_by: [[view.sort, view.ascending ? "asc" : "desc"]],
    include: { total_rows: true },
    pagination: { limit: ROWS_SHOWN, offset: 0 },
  };
  return { rows, total };
}

const amounts = new Map<string, Intl.NumberFormat>();

/** An amount as the reader's locale writes it. */
export function amountText({ value, currency }: Money, locale?: string): string {
  const key = `${locale}|${currency}`;
  let format = amounts.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, { style: "currency", currency });
    amounts.set(key, format);
  }
  return format.format(value);
}

export function figureText(metric: CampaignMetric, value: Value | undefined): string {
  if (value === null || value === undefined) return t.unit.none;
  if (typeof value === "object") return amountText(value);
  if (metric === "roas") return t.campaigns.times(fixed(value, 2));
  if (metric === "roi") return percent(value * 100, 0);
  return exact(value);
}

/** What is to be known beside the figures, a sentence each. */
export function notesOf(answer: Answer | undefined): string[] {
  const money = (answer?.meta.money ?? {}) as {
    repeated_orders?: number;
    unmatched_refunds?: number;
    orders_not_converted?: { orders: number; revenue: Money }[];
    costs_not_converted?: Money[];
  };
  const warnings = (answer?.meta.metric_warnings ?? {}) as Record<string, { warning: string }>;
  const words = t.campaigns.notes;
  return [
    ...new Set(Object.values(warnings).map(({ warning }) => warning)),
    ...(money.repeated_orders ? [words.repeated(money.repeated_orders)] : []),
    ...(money.unmatched_refunds ? [words.unmatched(money.unmatched_refunds)] : []),
    ...(money.orders_not_converted ?? []).map((one) =>
      words.orders(one.orders, amountText(one.revenue)),
    ),
    ...(money.costs_not_converted ?? []).map((one) => words.costs(amountText(one))),
  ];
}
