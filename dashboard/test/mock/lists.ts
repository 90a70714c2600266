// Lists of visits, visitors and people, and what one of them did, from the made-up visits.
import type { Query, QueryFilter } from "../../src/lib/api/client.ts";
import { todayIn } from "../../src/lib/dates.ts";
import { select } from "./engine.ts";
import { eventItem } from "./items.ts";
import type { Visit } from "./visits.ts";

interface Asked {
  date_range: Query["date_range"];
  filters?: QueryFilter[];
  limit?: number;
  after?: string;
}

const EVENTS_PER_PAGE = 3;
const instant = (at: number) => new Date(at).toISOString();
const startOf = (visit: Visit) => visit.hits[0]?.at ?? 0;
const endOf = (visit: Visit) => visit.hits.at(-1)?.at ?? 0;
const hexOf = (visitor: string) => Number(visitor.slice(1)).toString(16).padStart(16, "0");

/** Somebody whom the shop named, with a value that must never run. */
const ADA = {
  person_id: "00000000000000ad",
  user_id: "ada-7",
  traits: { name: "Ada", note: "<img src=x onerror=alert(1)>" },
};

function placeOf(visit: Visit) {
  const value = (name: string) => visit.values[`visit:${name}`] ?? "";
  const names = ["source", "country", "city", "device", "browser", "os"] as const;
  return {
    ...Object.fromEntries(names.map((name) => [name, value(name)])),
    identification: visit.visitor.endsWith("7") ? "identified" : "anonymous",
  };
}

function visitOf(visit: Visit, number: number) {
  const buys = visit.hits.length > 5;
  return {
    session_id: String(number),
    visitor_id: hexOf(visit.visitor),
    ...placeOf(visit),
    started_at: instant(startOf(visit)),
    duration_s: Math.round((endOf(visit) - startOf(visit)) / 1000),
    pageviews: visit.hits.length,
    events: visit.hits.length,
    entry_page: visit.values["visit:entry_page"],
    exit_page: visit.values["visit:exit_page"],
    channel: visit.values["visit:channel"],
    utm_campaign: visit.values["visit:utm_campaign"],
    region: visit.values["visit:region"],
    goals: buys ? ["Order placed"] : [],
    orders: buys ? 1 : 0,
    revenue: buys ? [{ value: 1234.5, currency: "EUR" }] : [],
  };
}

function visitorOf(visits: Visit[]) {
  const last = visits.at(-1) as Visit;
  const hits = visits.flatMap((visit) => visit.hits);
  return {
    visitor_id: hexOf(last.visitor),
    ...placeOf(last),
    visits: visits.length,
    pageviews: hits.length,
    events: hits.length,
    first_at: instant(Math.min(...hits.map((hit) => hit.at))),
    last_at: instant(Math.max(...hits.map((hit) => hit.at))),
  };
}

function peopleOf(visits: Visit[]) {
  const own = visits.filter((visit) => visit.visitor.endsWith("7"));
  if (own.length === 0) return [];
  const { visits: count, events, first_at, last_at } = visitorOf(own);
  return [{ ...ADA, visitors: 2, visits: count, events, first_at, last_at }];
}

function paged<T>(items: T[], after: string | undefined, limit: number) {
  const from = Number(after ?? 0);
  const rest = items.slice(from, from + limit);
  return { items: rest, next: from + limit < items.length ? String(from + limit) : null };
}

function eventsOf(visits: Visit[], all: Visit[]) {
  const events = visits.flatMap((visit) =>
    visit.hits.map((hit) => ({
      ...eventItem(hit.page, hit.at, ""),
      session_id: String(all.indexOf(visit)),
    })),
  );
  return events.reverse();
}

/** The answer to a request about lists; nothing where it is about something else. */
export function listsOf(
  all: Visit[],
  now: number,
  route: string,
  body: Asked,
  asked: URLSearchParams,
): unknown {
  const [, kind, id] = /\/(visits|visitors|people)\/(\w+)\/events$/.exec(route) ?? [];
  if (kind && id) {
    const own = all.filter((visit, number) => {
      if (kind === "visits") return String(number) === id;
      return kind === "visitors" ? hexOf(visit.visitor) === id : visit.visitor.endsWith("7");
    });
    return paged(eventsOf(own, all), asked.get("after") ?? undefined, EVENTS_PER_PAGE);
  }
  const [, list] = /^POST \/api\/v2\/(visits|visitors|people)$/.exec(route) ?? [];
  if (!list) return undefined;
  const [from, to] =
    typeof body.date_range === "string"
      ? ["2000-01-01", todayIn("UTC", new Date(now))]
      : body.date_range;
  const found = select(all, { from, to }, body.filters ?? []).map((part) => part.visit);
  const limit = body.limit ?? 50;
  if (list === "people") return paged(peopleOf(found), body.after, limit);
  const latest = found.toReversed();
  if (list === "visits") {
    const visits = latest.map((visit) => visitOf(visit, all.indexOf(visit)));
    return paged(visits, body.after, limit);
  }
  const visitors = new Map<string, Visit[]>();
  for (const visit of latest) {
    visitors.set(visit.visitor, [visit, ...(visitors.get(visit.visitor) ?? [])]);
  }
  return paged([...visitors.values()].map(visitorOf), body.after, limit);
}
