// Answers the questions of the Overview over made-up visits: naive, for tests of the dashboard only.
// Zone: UTC. It knows what the dashboard asks, and answers 400 to anything else.
import type { Answer, Query, QueryFilter, Row } from "../../src/lib/api/client.ts";
import {
  type Range,
  addDays,
  addMonths,
  lengthOf,
  todayIn,
  weekdayOf,
} from "../../src/lib/dates.ts";
import { figureOf, groupsOf, haveOwnCampaign, isAboutDeeds, isOfDeeds, passes } from "./deeds.ts";
import type { Visit } from "./visits.ts";

const DAY = 86_400_000;
type Values = (number | null)[];

export class BadQuestion extends Error {}

function matches(visit: Visit, filter: QueryFilter): (hit: Visit["hits"][number]) => boolean {
  if (filter[0] === "has_done" || filter[0] === "has_not_done") {
    const deed = filter[1] as QueryFilter;
    const done = visit.deeds.some((one) => passes(one, deed));
    return () => done === (filter[0] === "has_done");
  }
  const [operator, dimension, clauses, options] = filter as [
    string,
    string,
    string[],
    { case_sensitive?: boolean }?,
  ];
  const fold = (text: string) => (options?.case_sensitive === false ? text.toLowerCase() : text);
  return (hit) => {
    const value = fold(
      dimension === "event:page"
        ? hit.page
        : dimension === "event:name"
          ? hit.event
          : dimension === "event:goal"
            ? goalOf(hit)
            : (visit.values[dimension] ?? ""),
    );
    const all = clauses.map(fold);
    switch (operator) {
      case "is":
        return all.includes(value);
      case "is_not":
        return !all.includes(value);
      case "contains":
        return all.some((clause) => value.includes(clause));
      case "contains_not":
        return !all.some((clause) => value.includes(clause));
      default:
        throw new BadQuestion(`unknown operator ${operator}`);
    }
  };
}

/** Every page is a goal here. */
const goalOf = (hit: Visit["hits"][number]) => `Visit ${hit.page}`;

interface Part {
  visit: Visit;
  hits: Visit["hits"];
}

/** Visits with hits that pass, and those hits. */
export function select(visits: Visit[], range: Range, filters: QueryFilter[]): Part[] {
  const from = Date.parse(`${range.from}T00:00:00Z`);
  const to = Date.parse(`${range.to}T00:00:00Z`) + DAY;
  const all = filters.some((f) => f[1] === "visit:bot")
    ? filters
    : [...filters, ["is", "visit:bot", ["false"]] as QueryFilter];
  return visits.flatMap((visit) => {
    const tests = all.map((filter) => matches(visit, filter));
    const hits = visit.hits.filter(
      (hit) => hit.at >= from && hit.at < to && tests.every((test) => test(hit)),
    );
    return hits.length > 0 ? [{ visit, hits }] : [];
  });
}

function measure(parts: Part[], metrics: string[], everyone: number): Values {
  const visits = new Set(parts.map((part) => part.visit));
  const visitors = new Set(parts.map((part) => part.visit.visitor)).size;
  const views = parts.reduce((sum, part) => sum + part.hits.length, 0);
  const mean = (of: (visit: Visit) => number) =>
    visits.size === 0 ? 0 : [...visits].reduce((sum, visit) => sum + of(visit), 0) / visits.size;
  return metrics.map((metric) => {
    switch (metric) {
      case "visitors":
        return visitors;
      case "visits":
        return visits.size;
      case "pageviews":
      case "events":
      case "conversions":
        return views;
      case "revenue":
        return views * 10;
      case "cost":
        return visits.size;
      case "roas":
        return visits.size === 0 ? null : (views * 10) / visits.size;
      case "roi":
        return visits.size === 0 ? null : (views * 10 - visits.size) / visits.size;
      case "conversion_rate":
        return everyone === 0 ? 0 : Math.round((visitors / everyone) * 10_000) / 100;
      case "views_per_visit":
        return Math.round(mean((visit) => visit.hits.length) * 100) / 100;
      case "bounce_rate":
        return Math.round(mean((visit) => (visit.hits.length === 1 ? 100 : 0)));
      case "visit_duration":
        return Math.round(
          mean((visit) => ((visit.hits.at(-1)?.at ?? 0) - (visit.hits[0]?.at ?? 0)) / 1000),
        );
      case "time_on_page":
      case "scroll_depth":
        // Made-up visits do not tell how far and how long a page was looked at.
        return null;
      case "percentage":
        return everyone === 0 ? null : Math.round((visitors / everyone) * 1000) / 10;
      default:
        throw new BadQuestion(`unknown metric ${metric}`);
    }
  });
}

function bucketOf(at: number, interval: string, range: Range): string {
  const text = new Date(at).toISOString();
  const day = text.slice(0, 10);
  if (interval === "hour") return `${day} ${text.slice(11, 13)}:00:00`;
  if (interval === "month") return `${day.slice(0, 7)}-01`;
  if (interval === "day") return day;
  const monday = addDays(day, -weekdayOf(day));
  return monday < range.from ? range.from : monday;
}

function labelsOf(range: Range, interval: string): string[] {
  const labels: string[] = [];
  for (let day = range.from; day <= range.to; day = addDays(day, 1)) {
    for (let hour = 0; hour < (interval === "hour" ? 24 : 1); hour += 1) {
      const label = bucketOf(Date.parse(`${day}T00:00:00Z`) + hour * 3_600_000, interval, range);
      if (labels.at(-1) !== label) labels.push(label);
    }
  }
  return labels;
}

function intervalFor(range: Range): string {
  const days = lengthOf(range);
  if (days <= 2) return "hour";
  return days <= 40 ? "day" : days <= 364 ? "week" : "month";
}

function keyOf(dimension: string, interval: string, range: Range) {
  return (part: Part, hit: Visit["hits"][number]): string => {
    if (dimension.startsWith("time")) return bucketOf(hit.at, interval, range);
    if (dimension === "event:page") return hit.page;
    if (dimension === "event:goal") return goalOf(hit);
    return dimension === "event:name" ? hit.event : (part.visit.values[dimension] ?? "");
  };
}

function group(
  parts: Part[],
  key: (part: Part, hit: Visit["hits"][number]) => string,
): Map<string, Part[]> {
  const groups = new Map<string, Part[]>();
  for (const part of parts) {
    const own = new Map<string, Visit["hits"]>();
    for (const hit of part.hits) {
      const name = key(part, hit);
      own.set(name, [...(own.get(name) ?? []), hit]);
    }
    for (const [name, hits] of own) {
      const all = groups.get(name) ?? [];
      all.push({ visit: part.visit, hits });
      groups.set(name, all);
    }
  }
  return groups;
}

function growth(metric: string, now: number | null, then: number | null): number | null {
  if (now === null || then === null) return null;
  if (metric === "bounce_rate") return then === 0 ? null : Math.round(now - then);
  if (then === 0) return now > 0 ? 100 : 0;
  return Math.round(((now - then) / then) * 100);
}

function rangeFor(question: Query, visits: Visit[], now: number): Range {
  const today = todayIn("UTC", new Date(now));
  if (Array.isArray(question.date_range)) {
    return { from: question.date_range[0] as string, to: question.date_range[1] as string };
  }
  const first = visits[0]?.hits[0]?.at ?? now;
  if (question.date_range !== "all") throw new BadQuestion(`date_range ${question.date_range}`);
  return { from: todayIn("UTC", new Date(first)), to: today };
}

function earlierThan(range: Range, mode: string): Range {
  if (mode === "year_over_year")
    return { from: addMonths(range.from, -12), to: addMonths(range.to, -12) };
  const days = lengthOf(range);
  return { from: addDays(range.from, -days), to: addDays(range.to, -days) };
}

export function answer(question: Query, visits: Visit[], now: number): Answer {
  const range = rangeFor(question, visits, now);
  const filters = (question.filters ?? []) as QueryFilter[];
  const metrics = question.metrics as string[];
  const dimension = (question.dimensions as string[] | undefined)?.[0];
  const interval = dimension === "time" ? intervalFor(range) : (dimension?.split(":")[1] ?? "");
  const isTime = dimension?.startsWith("time") ?? false;
  if (dimension && metrics.includes("views_per_visit"))
    throw new BadQuestion("#/metrics views_per_visit");
  const mode = question.include?.comparisons?.mode;
  const before = mode ? earlierThan(range, mode) : undefined;

  const rowsOf = (within: Range): Map<string, Values> => {
    if (isAboutDeeds(metrics, filters, dimension)) {
      const ofDeeds = (filter: QueryFilter) =>
        !filter[0].startsWith("has_") &&
        (isOfDeeds(filter[1] as string) ||
          (haveOwnCampaign(metrics) && filter[1] === "visit:utm_campaign"));
      const among = select(
        visits,
        within,
        filters.filter((filter) => !ofDeeds(filter)),
      );
      const groups = groupsOf(
        among.map((part) => part.visit),
        filters.filter(ofDeeds),
        metrics,
        dimension,
      );
      const figures = (
        done: ReturnType<typeof groupsOf> extends Map<string, infer D> ? D : never,
      ) => metrics.map((metric) => figureOf(done, metric));
      return new Map([...groups].map(([name, done]) => [name, figures(done)]));
    }
    const parts = select(visits, within, filters);
    const everyone = new Set(parts.map((part) => part.visit.visitor)).size;
    if (!dimension) return new Map([["", measure(parts, metrics, everyone)]]);
    const groups = group(parts, keyOf(dimension, interval, within));
    return new Map([...groups].map(([name, own]) => [name, measure(own, metrics, everyone)]));
  };

  const present = rowsOf(range);
  const past = before ? rowsOf(before) : undefined;
  const zero: Values = metrics.map(() => 0);
  let names = [...present.keys()];
  if (isTime) names = before ? labelsOf(range, interval) : names.sort();
  const pastLabels = before && isTime ? labelsOf(before, interval) : [];
  let results = names.map((name, index): Row => {
    const row = { dimensions: dimension ? [name] : [], metrics: present.get(name) ?? zero } as Row;
    if (!past) return row;
    const pastName = isTime ? (pastLabels[index] ?? "") : name;
    const then = past.get(pastName) ?? zero;
    const change = metrics.map((metric, at) =>
      growth(metric, row.metrics[at] ?? null, then[at] ?? null),
    );
    return {
      ...row,
      comparison: { dimensions: dimension ? [pastName] : [], metrics: then, change },
    };
  });
  if (dimension && !isTime) {
    const [by, order] = (question.order_by?.[0] ?? [metrics[0], "desc"]) as [string, string];
    const at = metrics.indexOf(by);
    const sign = order === "asc" ? 1 : -1;
    results.sort(
      (a, b) =>
        sign * ((a.metrics[at] ?? 0) - (b.metrics[at] ?? 0)) ||
        String(a.dimensions[0]).localeCompare(String(b.dimensions[0])),
    );
  }
  const total = results.length;
  results = results.slice(0, question.pagination?.limit ?? 10_000);
  return {
    results,
    meta: {
      ...(question.include?.time_labels ? { time_labels: labelsOf(range, interval) } : {}),
      ...(question.include?.total_rows ? { total_rows: total } : {}),
    },
    query: {
      ...question,
      date_range: [`${range.from}T00:00:00+00:00`, `${range.to}T23:59:59+00:00`],
      dimensions: isTime ? [`time:${interval}`] : dimension ? [dimension] : [],
    },
  } as Answer;
}
