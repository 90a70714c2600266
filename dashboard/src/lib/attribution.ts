// What the page about attribution shows: its state in the address, and what is drawn of an answer.
import type { AttributionPath, AttributionQuery } from "./api/client.ts";

export const MODELS = [
  "last",
  "last_non_direct",
  "first",
  "linear",
  "time_decay",
  "position_based",
  "markov",
  "shapley",
] as const;
export type Model = (typeof MODELS)[number];
export const PERIODS = ["7d", "30d", "91d", "12mo"] as const;
export const DIMENSIONS = [
  "visit:channel",
  "visit:source",
  "visit:utm_campaign",
  "visit:utm_medium",
  "visit:utm_source",
  "visit:utm_content",
  "visit:utm_term",
] as const;
/** Days that a conversion looks back. */
export const LOOKBACKS = ["1", "7", "30", "90", "180", "365"] as const;
export const MEASURES = ["conversions", "revenue"] as const;
export type Measure = (typeof MEASURES)[number];
/** Paths beneath each other. */
export const PATHS_PER_PAGE = 10;

export interface View {
  /** Name of a goal; empty: every purchase with an amount. */
  goal: string;
  period: (typeof PERIODS)[number];
  by: (typeof DIMENSIONS)[number];
  lookback: (typeof LOOKBACKS)[number];
  /** Advertisements that were only seen are touches, too. */
  views: boolean;
  model: Model;
  measure: Measure;
  /** Page of the paths, from 0. */
  page: number;
}

const USUAL: View = {
  goal: "",
  period: "30d",
  by: "visit:channel",
  lookback: "30",
  views: false,
  model: "markov",
  measure: "conversions",
  page: 0,
};

/** What the address asks for; what it does not know is as usual. */
export function viewOf(search: string): View {
  const asked = new URLSearchParams(search);
  const oneOf = <T extends string>(name: string, known: readonly T[], usual: T) =>
    known.find((value) => value === asked.get(name)) ?? usual;
  const page = Number(asked.get("page"));
  return {
    goal: asked.get("goal") ?? "",
    period: oneOf("period", PERIODS, USUAL.period),
    by: oneOf("by", DIMENSIONS, USUAL.by),
    lookback: oneOf("lookback", LOOKBACKS, USUAL.lookback),
    views: asked.get("views") === "true",
    model: oneOf("model", MODELS, USUAL.model),
    measure: oneOf("measure", MEASURES, USUAL.measure),
    page: Number.isInteger(page) && page > 0 ? page : 0,
  };
}

/** The part of the address that says this; what is usual is left out. */
export function searchOf(view: View): string {
  const pairs = Object.entries(view)
    .filter(([name, value]) => value !== USUAL[name as keyof View])
    .map(([name, value]) => [name, String(value)]);
  const search = new URLSearchParams(pairs).toString();
  return search && `?${search}`;
}

export function questionOf(siteId: string, view: View): AttributionQuery {
  return {
    site_id: siteId,
    date_range: view.period,
    ...(view.goal ? { goal: view.goal } : { revenue: true }),
    dimension: view.by,
    lookback_days: Number(view.lookback),
    view_through: view.views,
    pagination: { limit: PATHS_PER_PAGE, offset: view.page * PATHS_PER_PAGE },
  };
}

export type Touch = AttributionPath["touches"][number];

/** A path with the same touch in a row told once, and how often. */
export function stepsOf(touches: Touch[]): (Touch & { times: number })[] {
  const steps: (Touch & { times: number })[] = [];
  for (const touch of touches) {
    const last = steps.at(-1);
    if (last && last.channel === touch.channel && last.via === touch.via) last.times += 1;
    else steps.push({ ...touch, times: 1 });
  }
  return steps;
}

/** A stretch of a line from 0 to the largest value, in percent of its length. */
export function stretch(
  from: number,
  to: number,
  largest: number,
): { left: number; width: number } {
  const at = (value: number) => (largest > 0 ? (Math.max(0, value) / largest) * 100 : 0);
  return { left: at(from), width: at(to) - at(from) };
}
