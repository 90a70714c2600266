// Which events are listed behind a number, and how that reads in the URL:
// `[day..day|hour;]filter;filter`, or `all`.
import { type Range, isDay } from "./dates.ts";
import { type Filter, readFilter, writeFilter } from "./filters.ts";

export interface Opened {
  /** Beside the filters of the view. */
  filters: Filter[];
  /** Other days than the view has. */
  days?: Range;
  /** One hour, by the label of the time axis. */
  at?: string;
}

const HOUR = /^\d{4}-\d{2}-\d{2} \d{2}:00:00$/;
const SEMICOLON = "%3B";

export function writeOpened({ filters, days, at }: Opened): string {
  const parts = filters.map((filter) => writeFilter(filter).replaceAll(";", SEMICOLON));
  if (at) parts.unshift(at);
  else if (days) parts.unshift(`${days.from}..${days.to}`);
  return parts.join(";") || "all";
}

export function readOpened(text: string | null): Opened | undefined {
  if (!text) return undefined;
  if (text === "all") return { filters: [] };
  const parts = text.split(";");
  const first = parts[0] ?? "";
  const [from, to] = first.split("..");
  const opened: Opened = { filters: [] };
  if (HOUR.test(first) && isDay(first.slice(0, 10))) opened.at = first;
  else if (isDay(from) && isDay(to) && from <= to) opened.days = { from, to };
  const rest = opened.at || opened.days ? parts.slice(1) : parts;
  for (const part of rest) {
    const filter = readFilter(part.replaceAll(SEMICOLON, ";"));
    if (!filter) return undefined;
    opened.filters.push(filter);
  }
  return opened;
}
