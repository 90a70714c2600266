// What the page about visits shows, and how that reads in the URL: days, filters and bots as on the
// Overview, then which list and which of its entries is open.
import type { ListQuestion } from "./api/client.ts";
import type { Day } from "./dates.ts";
import type { Opened } from "./events.ts";
import { siteAddress } from "./navigation.svelte.ts";
import { apiFilters } from "./questions.ts";
import { rangeOfView, readView, writeView, type View } from "./view.ts";

export const LISTS = ["visits", "visitors", "people"] as const;
export type List = (typeof LISTS)[number];

/** Entries of a page. */
export const PAGE = 50;

export interface VisitsView extends View {
  list: List;
  /** Number of the entry whose events are shown. */
  opened: string | undefined;
}

export function readVisitsView(search: string): VisitsView {
  const query = new URLSearchParams(search);
  const opened = query.get("open") ?? "";
  return {
    ...readView(search),
    list: LISTS.find((name) => name === query.get("list")) ?? "visits",
    opened: /^[0-9a-f]{1,20}$/.test(opened) ? opened : undefined,
  };
}

export function visitsAddress(site: string, view: VisitsView): string {
  const query = new URLSearchParams();
  if (view.list !== "visits") query.set("list", view.list);
  if (view.opened) query.set("open", view.opened);
  const [shown, own] = [writeView(view), query.toString()];
  const search = own === "" ? shown : `${shown || "?"}${shown ? "&" : ""}${own}`;
  return siteAddress(site, "visits") + search;
}

/** The visits that events behind a number belong to. */
export function visitsBehind(site: string, view: View, opened: Opened): string {
  const day = opened.at?.slice(0, 10);
  const days = opened.days ?? (day ? { from: day, to: day } : undefined);
  return visitsAddress(site, {
    ...view,
    ...(days ? { period: "custom" as const, custom: days } : {}),
    filters: [...view.filters, ...opened.filters],
    events: undefined,
    details: undefined,
    list: "visits",
    opened: undefined,
  });
}

export function listQuestion(siteId: string, view: View, today: Day): ListQuestion {
  const range = rangeOfView(view, today);
  return {
    site_id: siteId,
    date_range: range ? [range.from, range.to] : "all",
    filters: apiFilters(view),
    limit: PAGE,
  };
}
