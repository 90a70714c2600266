// Calendar days and ranges of days, in the site's time zone.
//
// A `Day` is the text `YYYY-MM-DD`. Arithmetic runs on UTC midnights, so that no clock change can
// shift it; only `todayIn` and `hourIn` look at a real zone.

export type Day = string;
export interface Range {
  from: Day;
  to: Day;
}

const DAY_MS = 86_400_000;

export function isDay(text: string | null | undefined): text is Day {
  if (!text || !/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const at = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().slice(0, 10) === text;
}

export function utcOf(day: Day): Date {
  return new Date(`${day}T00:00:00Z`);
}

function dayOf(at: Date): Day {
  return at.toISOString().slice(0, 10);
}

export function addDays(day: Day, count: number): Day {
  return dayOf(new Date(utcOf(day).getTime() + count * DAY_MS));
}

/** Moves by months; the day of the month is kept, or cut to the last one that exists. */
export function addMonths(day: Day, count: number): Day {
  const at = utcOf(day);
  const wanted = at.getUTCDate();
  at.setUTCDate(1);
  at.setUTCMonth(at.getUTCMonth() + count);
  const first = dayOf(at);
  const length = Number(lastOfMonth(first).slice(8));
  return `${first.slice(0, 8)}${String(Math.min(wanted, length)).padStart(2, "0")}`;
}

export function firstOfMonth(day: Day): Day {
  return `${day.slice(0, 8)}01`;
}

export function lastOfMonth(day: Day): Day {
  const at = utcOf(firstOfMonth(day));
  at.setUTCMonth(at.getUTCMonth() + 1);
  return dayOf(new Date(at.getTime() - DAY_MS));
}

/** Number of days in a range, both ends included. */
export function lengthOf(range: Range): number {
  return Math.round((utcOf(range.to).getTime() - utcOf(range.from).getTime()) / DAY_MS) + 1;
}

/** Monday is 0. */
export function weekdayOf(day: Day): number {
  return (utcOf(day).getUTCDay() + 6) % 7;
}

function partsIn(zone: string, now: Date): Record<string, string> {
  const format = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    hourCycle: "h23",
  });
  return Object.fromEntries(format.formatToParts(now).map((part) => [part.type, part.value]));
}

export function todayIn(zone: string, now: Date): Day {
  const { year, month, day } = partsIn(zone, now);
  return `${year?.padStart(4, "0")}-${month}-${day}`;
}

/** The label of the running hour, as the API writes it: `2026-11-22 09:00:00`. */
export function hourIn(zone: string, now: Date): string {
  return `${todayIn(zone, now)} ${partsIn(zone, now)["hour"]}:00:00`;
}

/** Longest and smallest step of offsets from UTC, in minutes. */
const OFFSET_MAX = 15 * 60;
const OFFSET_STEP = 15;

/** First and last second of an hour that a label of the time axis names; an hour that comes twice is taken whole. */
export function instantsOf(label: string, zone: string): [from: string, to: string] | undefined {
  const near = Date.parse(`${label.slice(0, 10)}T${label.slice(11)}Z`);
  const starts: number[] = [];
  for (let offset = OFFSET_MAX; offset >= -OFFSET_MAX; offset -= OFFSET_STEP) {
    const at = near - offset * 60_000;
    if (hourIn(zone, new Date(at)) === label) starts.push(at);
  }
  const [first, last] = [starts[0], starts.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const end = last + OFFSET_STEP * 60_000 - 1_000;
  return [new Date(first).toISOString(), new Date(end).toISOString()];
}

export const PRESETS = [
  "today",
  "yesterday",
  "7d",
  "30d",
  "90d",
  "month",
  "last_month",
  "year",
  "12mo",
  "all",
] as const;
export type Preset = (typeof PRESETS)[number];

/** The key that chooses a preset. */
export const PERIOD_KEY: Record<Preset, string> = {
  today: "D",
  yesterday: "E",
  "7d": "W",
  "30d": "T",
  "90d": "N",
  month: "M",
  last_month: "P",
  year: "Y",
  "12mo": "L",
  all: "A",
};

/** The days of a preset, today included where it has not ended; `all` has no fixed start. */
export function rangeOf(preset: Exclude<Preset, "all">, today: Day): Range {
  const previous = addMonths(firstOfMonth(today), -1);
  switch (preset) {
    case "today":
      return { from: today, to: today };
    case "yesterday":
      return { from: addDays(today, -1), to: addDays(today, -1) };
    case "7d":
      return { from: addDays(today, -6), to: today };
    case "30d":
      return { from: addDays(today, -29), to: today };
    case "90d":
      return { from: addDays(today, -89), to: today };
    case "month":
      return { from: firstOfMonth(today), to: today };
    case "last_month":
      return { from: previous, to: lastOfMonth(previous) };
    case "year":
      return { from: `${today.slice(0, 4)}-01-01`, to: today };
    case "12mo":
      return { from: addMonths(firstOfMonth(today), -11), to: today };
  }
}

function isWholeMonth(range: Range): boolean {
  return range.from === firstOfMonth(range.from) && range.to === lastOfMonth(range.from);
}

function isWholeYear(range: Range): boolean {
  const year = range.from.slice(0, 4);
  return range.from === `${year}-01-01` && range.to === `${year}-12-31`;
}

/**
 * The range before or after this one: a calendar month steps to a calendar month, a year to a year,
 * anything else by its own length. Returns nothing when that lies wholly in the future.
 */
export function step(
  range: Range,
  direction: -1 | 1,
  today: Day,
  preset?: Preset,
): Range | undefined {
  const next = stepped(range, direction, preset);
  if (next.from > today) return undefined;
  return { from: next.from, to: next.to > today ? today : next.to };
}

function stepped(range: Range, direction: -1 | 1, preset?: Preset): Range {
  if (preset === "year" || isWholeYear(range)) {
    const year = String(Number(range.from.slice(0, 4)) + direction).padStart(4, "0");
    return { from: `${year}-01-01`, to: `${year}-12-31` };
  }
  if (preset === "month" || isWholeMonth(range)) {
    const from = addMonths(firstOfMonth(range.from), direction);
    return { from, to: lastOfMonth(from) };
  }
  const days = lengthOf(range) * direction;
  return { from: addDays(range.from, days), to: addDays(range.to, days) };
}

export type Interval = "hour" | "day" | "week" | "month";

/** Intervals that make a readable chart of a range; the first is the one used when none is chosen. */
export function intervalsOf(range: Range | undefined): Interval[] {
  if (!range) return [];
  const days = lengthOf(range);
  if (days <= 2) return days === 1 ? ["hour"] : ["hour", "day"];
  if (days <= 7) return ["day", "hour"];
  if (days <= 31) return ["day", "week"];
  if (days <= 92) return ["day", "week", "month"];
  if (days <= 200) return ["week", "day", "month"];
  return days <= 400 ? ["month", "week", "day"] : ["month", "week"];
}

/**
 * Where "now" falls among the labels of a chart: intervals from `future` on have not begun,
 * `running` has begun and not ended (-1: none).
 */
export function progressOf(
  labels: string[],
  interval: Interval,
  today: Day,
  hour: string,
): { running: number; future: number } {
  const now = interval === "hour" ? hour : today;
  const begun = labels.filter((label) => label <= now).length;
  const last = labels[begun - 1];
  const runs = last !== undefined && isRunning(last, interval, today, hour);
  return { running: runs ? begun - 1 : -1, future: begun };
}

function isRunning(label: string, interval: Interval, today: Day, hour: string): boolean {
  switch (interval) {
    case "hour":
      return label === hour;
    case "day":
      return label === today;
    case "week":
      return today <= addDays(label, 6 - weekdayOf(label));
    case "month":
      return today <= lastOfMonth(label);
  }
}

/** Weeks of a month for a calendar: rows of seven days, starting on Monday, filled from the neighbours. */
export function weeksOf(month: Day): Day[][] {
  const first = firstOfMonth(month);
  const start = addDays(first, -weekdayOf(first));
  return Array.from({ length: 6 }, (_, week) =>
    Array.from({ length: 7 }, (_, day) => addDays(start, week * 7 + day)),
  );
}
