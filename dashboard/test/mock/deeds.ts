// Rows about what was done in visits: naive, for tests of the dashboard only.
import type { QueryFilter } from "../../src/lib/api/client.ts";
import type { Deed, Visit } from "./visits.ts";

interface Done {
  visit: Visit;
  deed: Deed;
}

/** Dimensions whose values deeds have, and page views do not. */
export function isOfDeeds(dimension: string): boolean {
  return (
    ["event:section", "event:form", "event:element", "event:name"].includes(dimension) ||
    dimension.startsWith("event:props:")
  );
}

/** Deeds that a figure is made of. */
function scopeOf(metric: string): RegExp | undefined {
  if (metric.startsWith("section_")) return /^section$/;
  if (metric.startsWith("form_")) return /^form_/;
  if (/^(vitals|lcp|inp|cls|ttfb)_/.test(metric)) return /^vitals$/;
  if (metric.startsWith("email_")) return /^email_/;
  if (metric.startsWith("link_")) return /^link_/;
  return metric.startsWith("ad_") ? /^ad_/ : undefined;
}

/** Mails, links and ads name a campaign themselves, whatever the visit's is. */
export function haveOwnCampaign(metrics: string[]): boolean {
  return metrics.some((metric) => /^(email|link|ad)_/.test(metric));
}

export function isAboutDeeds(
  metrics: string[],
  filters: QueryFilter[],
  dimension?: string,
): boolean {
  return (
    metrics.some(scopeOf) ||
    (dimension !== undefined && dimension !== "event:name" && isOfDeeds(dimension)) ||
    filters.some(([, subject]) => subject === "event:name")
  );
}

export function passes(deed: Deed, filter: QueryFilter): boolean {
  if (filter[0] === "and") return (filter[1] as QueryFilter[]).every((one) => passes(deed, one));
  const [operator, dimension, clauses] = filter as [string, string, string[]];
  const value = dimension === "event:name" ? deed.name : (deed.values[dimension] ?? "");
  switch (operator) {
    case "is":
      return clauses.includes(value);
    case "is_not":
      return !clauses.includes(value);
    case "contains":
      return clauses.some((clause) => value.toLowerCase().includes(clause.toLowerCase()));
    default:
      throw new Error(`${operator} of a deed`);
  }
}

/** Groups of deeds by a value that they have. */
export function groupsOf(
  visits: Visit[],
  filters: QueryFilter[],
  metrics: string[],
  dimension: string | undefined,
): Map<string, Done[]> {
  const scope = metrics.map(scopeOf).find(Boolean);
  const groups = new Map<string, Done[]>();
  for (const visit of visits) {
    for (const deed of visit.deeds) {
      const value = dimension ? deed.values[dimension] : "all";
      const counted = value && (!scope || scope.test(deed.name));
      if (!counted || !filters.every((filter) => passes(deed, filter))) continue;
      groups.set(value, [...(groups.get(value) ?? []), { visit, deed }]);
    }
  }
  return groups;
}

const rate = (part: number, whole: number) =>
  whole === 0 ? null : Math.round((part / whole) * 1_000) / 10;

export function figureOf(done: Done[], metric: string): number | null {
  const named = (name: string, verdict?: string) =>
    done.filter(
      ({ deed }) => deed.name === name && (!verdict || deed.values["verdict"] === verdict),
    ).length;
  const of = (name: string) =>
    new Set(done.filter(({ deed }) => deed.name === name).map(({ visit }) => visit)).size;
  const percentile = /^(lcp|inp|cls|ttfb)_p(\d+)/.exec(metric);
  if (percentile) {
    const values = done.map(({ deed }) => Number(deed.values[percentile[1] ?? ""]));
    values.sort((a, b) => a - b);
    return (
      values[Math.max(1, Math.ceil((values.length * Number(percentile[2])) / 100)) - 1] ?? null
    );
  }
  const verdict = /_(machine|human)_/.exec(metric)?.[1];
  switch (metric.replace(/_(machine|human)_/, "_")) {
    case "visitors":
      return new Set(done.map(({ visit }) => visit.visitor)).size;
    case "visits":
      return new Set(done.map(({ visit }) => visit)).size;
    case "events":
    case "section_views":
    case "vitals_samples":
      return done.length;
    case "section_read_rate":
      return rate(done.filter(({ deed }) => deed.values["reading"] === "read").length, done.length);
    case "section_time_mean_s":
      return (
        done.reduce((sum, { deed }) => sum + Number(deed.values["ms"]), 0) / done.length / 1_000
      );
    case "section_time_total_s":
      return done.reduce((sum, { deed }) => sum + Number(deed.values["ms"]), 0) / 1_000;
    case "form_starts":
      return named("form_start");
    case "form_submits":
      return named("form_submit");
    case "form_leaves":
      return named("form_leave");
    case "form_completion_rate":
      return rate(of("form_submit"), of("form_start"));
    case "form_abandonment_rate":
      return rate(of("form_start") - of("form_submit"), of("form_start"));
    case "email_opens":
      return named("email_open", verdict);
    case "email_clicks":
      return named("email_click", verdict);
    case "link_clicks":
      return named("link_click", verdict);
    case "email_openers":
    case "email_clickers":
      return 0;
    case "email_click_to_open_rate":
      return rate(named("email_click"), named("email_open"));
    case "ad_impressions":
      return named("ad_impression", verdict);
    case "ad_viewable_impressions":
      return named("ad_viewable");
    case "ad_clicks":
      return named("ad_click", verdict);
    case "ad_viewable_rate":
      return rate(named("ad_viewable"), named("ad_impression"));
    case "ad_click_through_rate":
      return rate(named("ad_click"), named("ad_impression"));
    default:
      throw new Error(`unknown metric ${metric}`);
  }
}
