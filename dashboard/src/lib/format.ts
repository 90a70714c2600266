// Numbers, durations and dates as the reader's locale writes them.
import { t } from "./texts.ts";
import {
  type Interval,
  type Range,
  addDays,
  firstOfMonth,
  lastOfMonth,
  lengthOf,
  utcOf,
  weekdayOf,
} from "./dates.ts";
import type { Metric } from "./view.ts";

type Locale = string | undefined;

const numbers = new Map<string, Intl.NumberFormat>();
function numberFormat(locale: Locale, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `${locale}|${JSON.stringify(options)}`;
  let format = numbers.get(key);
  if (!format) numbers.set(key, (format = new Intl.NumberFormat(locale, options)));
  return format;
}

const dates = new Map<string, Intl.DateTimeFormat>();
function dateFormat(locale: Locale, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale}|${JSON.stringify(options)}`;
  let format = dates.get(key);
  if (!format) dates.set(key, (format = new Intl.DateTimeFormat(locale, options)));
  return format;
}

export function exact(value: number, locale?: Locale): string {
  return numberFormat(locale, { maximumFractionDigits: 2 }).format(value);
}

/** An amount of money. */
export function money(value: number, currency: string, locale?: Locale): string {
  return numberFormat(locale, { style: "currency", currency }).format(value);
}

/** With so many decimals, noughts too. */
export function fixed(value: number, digits: number, locale?: Locale): string {
  return numberFormat(locale, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/** `12.4K` from ten thousand on; below that every digit fits. */
export function compact(value: number, locale?: Locale): string {
  if (Math.abs(value) < 10_000) return exact(value, locale);
  return numberFormat(locale, { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

export function percent(value: number, digits = 0, locale?: Locale): string {
  return numberFormat(locale, {
    style: "percent",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value / 100);
}

/** A share of something: one decimal below ten percent, and never "0 %" for what exists. */
export function share(value: number, locale?: Locale): string {
  if (value > 0 && value < 0.1) return t.unit.less(percent(0.1, 1, locale));
  return percent(value, value > 0 && value < 9.95 ? 1 : 0, locale);
}

/** `1h 04m`, `2m 05s`, `48s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const h = Math.floor(whole / 3600);
  const m = Math.floor((whole % 3600) / 60);
  const s = whole % 60;
  const two = (value: number) => String(value).padStart(2, "0");
  if (h > 0) return t.unit.hoursMinutes(String(h), two(m));
  return m > 0 ? t.unit.minutesSeconds(String(m), two(s)) : t.unit.seconds(String(s));
}

/** An amount in the reader's notation. */
export function amount(value: number, currency: string, short = false, locale?: Locale): string {
  const large = short && Math.abs(value) >= 10_000;
  return numberFormat(locale, {
    style: "currency",
    currency,
    ...(large ? { notation: "compact", maximumFractionDigits: 1 } : {}),
    ...(short && !large && Math.abs(value) >= 1_000 ? { maximumFractionDigits: 0 } : {}),
  }).format(value);
}

function valueOf(
  metric: Metric,
  value: number,
  whole: (value: number) => string,
  locale: Locale,
  money: (value: number) => string,
) {
  switch (metric) {
    case "revenue":
      return money(value);
    case "roas":
      return t.campaigns.times(fixed(value, 2, locale));
    case "bounce_rate":
      return percent(value, 0, locale);
    case "visit_duration":
      return duration(value);
    case "views_per_visit":
      return fixed(value, 2, locale);
    default:
      return whole(value);
  }
}

/** Without a currency an amount is a number. */
export function metricCompact(
  metric: Metric,
  value: number | null,
  locale?: Locale,
  currency?: string,
): string {
  if (value === null) return t.unit.none;
  const whole = (v: number) => compact(v, locale);
  const money = (v: number) => (currency ? amount(v, currency, true, locale) : whole(v));
  return valueOf(metric, value, whole, locale, money);
}

export function metricExact(
  metric: Metric,
  value: number | null,
  locale?: Locale,
  currency?: string,
): string {
  if (value === null) return t.unit.none;
  const whole = (v: number) => exact(v, locale);
  const money = (v: number) => (currency ? amount(v, currency, false, locale) : whole(v));
  return valueOf(metric, value, whole, locale, money);
}

export type Tone = "better" | "worse" | "same";

/** A change as the API reports it: percent of growth, points for the bounce rate. */
export function change(
  metric: Metric,
  value: number,
  locale?: Locale,
): { text: string; size: string; tone: Tone } {
  const unit = metric === "bounce_rate" ? t.unit.points : t.unit.percent;
  const signed = numberFormat(locale, { signDisplay: "exceptZero", maximumFractionDigits: 1 });
  const text = unit(signed.format(value));
  const size = unit(compact(Math.abs(value), locale));
  if (value === 0) return { text, size, tone: "same" };
  const up = value > 0;
  return { text, size, tone: up === (metric !== "bounce_rate") ? "better" : "worse" };
}

export function day(
  text: string,
  locale?: Locale,
  options: Intl.DateTimeFormatOptions = {},
): string {
  return dateFormat(locale, {
    timeZone: "UTC",
    day: "numeric",
    month: "short",
    year: "numeric",
    ...options,
  }).format(utcOf(text));
}

export function monthAndYear(text: string, locale?: Locale): string {
  return dateFormat(locale, { timeZone: "UTC", month: "long", year: "numeric" }).format(
    utcOf(text),
  );
}

/** A range in words: a month by its name, a year by its number, else its first and last day. */
export function range(days: Range, locale?: Locale): string {
  if (days.from === days.to) return day(days.from, locale, { weekday: "short" });
  if (days.from === firstOfMonth(days.from) && days.to === lastOfMonth(days.from)) {
    return monthAndYear(days.from, locale);
  }
  const year = days.from.slice(0, 4);
  if (days.from === `${year}-01-01` && days.to === `${year}-12-31`) return year;
  return dateFormat(locale, {
    timeZone: "UTC",
    day: "numeric",
    month: "short",
    year: "numeric",
  }).formatRange(utcOf(days.from), utcOf(days.to));
}

function instantOf(label: string): Date {
  return new Date(`${label.slice(0, 10)}T${label.slice(11) || "00:00:00"}Z`);
}

/** A label of the time axis: short, since many stand side by side. */
export function tick(
  label: string,
  interval: Interval,
  severalYears: boolean,
  locale?: Locale,
): string {
  const at = instantOf(label);
  switch (interval) {
    case "hour":
      return dateFormat(locale, { timeZone: "UTC", hour: "numeric", minute: "2-digit" }).format(at);
    case "month":
      return dateFormat(locale, {
        timeZone: "UTC",
        month: "short",
        ...(severalYears ? { year: "numeric" } : {}),
      }).format(at);
    default:
      return dateFormat(locale, { timeZone: "UTC", day: "numeric", month: "short" }).format(at);
  }
}

/** A label of the time axis in full, for the tooltip, the table and readers of the screen. */
export function bucket(label: string, interval: Interval, locale?: Locale): string {
  const at = instantOf(label);
  switch (interval) {
    case "hour":
      return dateFormat(locale, {
        timeZone: "UTC",
        weekday: "short",
        day: "numeric",
        month: "short",
        hour: "numeric",
        minute: "2-digit",
      }).format(at);
    case "day":
      return day(label, locale, { weekday: "short" });
    case "week": {
      const to = addDays(label, 6 - weekdayOf(label));
      return lengthOf({ from: label, to }) === 1
        ? day(label, locale)
        : range({ from: label, to }, locale);
    }
    case "month":
      return monthAndYear(label, locale);
  }
}

/** How long ago, in the largest whole unit. */
export function ago(then: Date, now: Date, locale?: Locale): string {
  const seconds = Math.max(0, Math.round((now.getTime() - then.getTime()) / 1000));
  const format = new Intl.RelativeTimeFormat(locale, { numeric: "always", style: "narrow" });
  if (seconds < 5) return t.unit.justNow;
  if (seconds < 60) return format.format(-seconds, "second");
  if (seconds < 3600) return format.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return format.format(-Math.floor(seconds / 3600), "hour");
  return format.format(-Math.floor(seconds / 86_400), "day");
}

export function instant(text: string, zone: string, locale?: Locale): string {
  return dateFormat(locale, { timeZone: zone, dateStyle: "medium", timeStyle: "short" }).format(
    new Date(text),
  );
}

export function clock(text: string, zone: string, locale?: Locale): string {
  return dateFormat(locale, { timeZone: zone, timeStyle: "medium" }).format(new Date(text));
}

const names = new Map<string, Intl.DisplayNames>();

/** A country's name in the reader's language; the code itself when it is not one. */
export function country(code: string, locale?: Locale): string {
  if (code === "" || code === "ZZ") return t.panel.unknownPlace;
  const key = String(locale);
  let format = names.get(key);
  if (!format) {
    const wanted = locale ?? (typeof navigator === "undefined" ? "en" : navigator.language);
    names.set(key, (format = new Intl.DisplayNames([wanted, "en"], { type: "region" })));
  }
  return /^[A-Z]{2}$/.test(code) ? (format.of(code) ?? code) : code;
}

/** RFC 4180, with a formula's first sign defused, since the file will be opened in a spreadsheet. */
export function csv(rows: (string | number | null)[][]): string {
  const cell = (value: string | number | null) => {
    if (value === null) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
