// From the answer of the chart's question to what is drawn: one value per interval, the earlier
// value beside it, and where the present cuts the line.
import type { Annotation, Answer, Row, Value } from "./api/client.ts";
import {
  type Day,
  type Interval,
  addDays,
  hourIn,
  lastOfMonth,
  progressOf,
  todayIn,
  weekdayOf,
} from "./dates.ts";
import { CHART_METRICS } from "./questions.ts";
import { MONEY_METRICS, type Metric, isMoneyMetric } from "./view.ts";

/** Where nothing happened there are none, and no rate. */
export const COUNTS: readonly Metric[] = [
  "visitors",
  "visits",
  "pageviews",
  "conversions",
  "revenue",
];

export interface Point {
  label: string;
  value: number | null;
  earlier: { label: string; value: number | null } | undefined;
}

export interface Series {
  interval: Interval;
  points: Point[];
  /** Index of the interval that has not ended; -1: all have. */
  running: number;
  /** Intervals in which the server was restarted, so that anonymous visitors began anew. */
  restarted: ReadonlySet<number>;
  /** Amounts beside the line, one per interval, in `currency`; nothing where there was none. */
  revenue: (number | null)[] | undefined;
  currency: string | undefined;
  /** What is noted of days in an interval. */
  notes: ReadonlyMap<number, Annotation[]>;
}

/** What stands beside the answer of the chart's question. */
export interface Beside {
  earned?: Answer | undefined;
  currency?: string | undefined;
  notes?: readonly Annotation[];
}

/** Intervals are in the order of their labels: a day is in the last one that does not begin behind it. */
function notesOf(notes: readonly Annotation[], labels: string[], interval: Interval) {
  const found = new Map<number, Annotation[]>();
  for (const note of notes) {
    const index =
      interval === "hour"
        ? labels.findIndex((label) => label.slice(0, 10) === note.date)
        : labels.findLastIndex((label) => label <= note.date);
    const first = labels[index];
    if (first === undefined || note.date > lastDayOf(first, interval)) continue;
    found.set(index, [...(found.get(index) ?? []), note]);
  }
  return found;
}

/** Last day of an interval with this label. */
export function lastDayOf(label: string, interval: Interval): Day {
  const day = label.slice(0, 10);
  if (interval === "month") return lastOfMonth(day);
  return interval === "week" ? addDays(day, 6 - weekdayOf(day)) : day;
}

/** The metric that an answer is about: one about money has nothing else, and another one no money. */
export function metricOf(answer: Answer, wanted: Metric): Metric {
  if (answer.query.metrics.includes(wanted)) return wanted;
  const [first] = answer.query.metrics;
  if (isMoneyMetric(first)) return first;
  return isMoneyMetric(wanted) ? "visitors" : wanted;
}

/** A number, or the number of an amount. */
export function numberOf(value: Value | undefined): number | null {
  return typeof value === "object" && value !== null ? value.value : (value ?? null);
}

function read(metrics: (number | null)[], metric: Metric): number | null {
  if (isMoneyMetric(metric)) return numberOf(metrics[MONEY_METRICS.indexOf(metric)]);
  const at = (name: (typeof CHART_METRICS)[number]) => metrics[CHART_METRICS.indexOf(name)] ?? null;
  const visits = at("visits");
  if (metric === "views_per_visit") {
    const views = at("pageviews");
    return views === null || !visits ? null : Math.round((views / visits) * 100) / 100;
  }
  // Without a visit a rate is not zero: it does not exist.
  if ((metric === "bounce_rate" || metric === "visit_duration") && !visits) return null;
  return at(metric);
}

function intervalOf(answer: Answer): Interval {
  const name = answer.query.dimensions[0]?.replace("time:", "");
  return name === "hour" || name === "week" || name === "month" ? name : "day";
}

/** Rows by label, in order: an hour that the clocks repeat has two rows with one label. */
function aligned(labels: string[], rows: Row[]): (Row | undefined)[] {
  let next = 0;
  return labels.map((label) => {
    const row = rows[next];
    if (row?.dimensions[0] !== label) return undefined;
    next += 1;
    return row;
  });
}

/** Labels are when intervals begin: an instant is in the last one that is not behind it. */
function restartedOf(answer: Answer, labels: string[], interval: Interval, zone: string) {
  const found = new Set<number>();
  for (const text of answer.meta.anonymous_restarts ?? []) {
    const at = new Date(text);
    const now = interval === "hour" ? hourIn(zone, at) : todayIn(zone, at);
    const index = labels.findLastIndex((label) => label <= now);
    if (index >= 0) found.add(index);
  }
  return found;
}

/** Amounts by interval; nothing where there was none. */
function earnedOf(answer: Answer | undefined, labels: string[], future: number) {
  if (!answer) return undefined;
  const amounts = aligned(labels, answer.results).map((row, index) =>
    row && index < future ? read(row.metrics, "revenue") : null,
  );
  return amounts.some((amount) => amount) ? amounts : undefined;
}

export function seriesOf(
  answer: Answer,
  metric: Metric,
  today: Day,
  hour: string,
  zone: string,
  beside: Beside = {},
): Series {
  const interval = intervalOf(answer);
  const rows = answer.results;
  const all = answer.meta.time_labels ?? rows.map((row) => row.dimensions[0] ?? "");
  const { running, future } = progressOf(all, interval, today, hour);
  const byLabel = aligned(all, rows);
  const counts = COUNTS.includes(metric);
  const points = all.map((label, index): Point => {
    const row = byLabel[index];
    const value = row ? read(row.metrics, metric) : counts ? 0 : null;
    const compared = row?.comparison;
    const earlierLabel = compared?.dimensions[0];
    return {
      label,
      value: index >= future ? null : value,
      earlier:
        compared && earlierLabel
          ? { label: earlierLabel, value: read(compared.metrics, metric) }
          : undefined,
    };
  });
  const earned = earnedOf(beside.earned, all, future);
  return {
    interval,
    points,
    running,
    restarted: restartedOf(answer, all, interval, zone),
    revenue: earned,
    currency: beside.currency,
    notes: notesOf(beside.notes ?? [], all, interval),
  };
}

/** Growth from the earlier to the present value, as the API computes it for the cards. */
export function growth(
  metric: Metric,
  value: number | null,
  earlier: number | null,
): number | null {
  if (value === null || earlier === null) return null;
  if (metric === "bounce_rate") return earlier === 0 ? null : Math.round(value - earlier);
  if (earlier === 0) return value > 0 ? 100 : 0;
  return Math.round(((value - earlier) / earlier) * 100);
}
