// Filters of a view: what they are, how they read in the URL, how a click changes them.

export const OPERATORS = ["is", "is_not", "contains", "contains_not"] as const;
export type Operator = (typeof OPERATORS)[number];

export const DIMENSIONS = [
  "event:page",
  "event:name",
  "event:goal",
  "event:hostname",
  "visit:entry_page",
  "visit:exit_page",
  "visit:channel",
  "visit:source",
  "visit:referrer",
  "visit:utm_source",
  "visit:utm_medium",
  "visit:utm_campaign",
  "visit:utm_content",
  "visit:utm_term",
  "visit:country",
  "visit:region",
  "visit:city",
  "visit:device",
  "visit:browser",
  "visit:browser_version",
  "visit:os",
  "visit:os_version",
  "visit:identification",
  "event:section",
  "event:element",
  "event:props:link_url",
  "event:props:file_name",
  "event:form",
  "event:props:field",
  "event:props:search_term",
  "event:props:template",
  "event:props:link",
  "event:props:creative",
  "event:props:placement",
  "event:props:cost_currency",
  "event:props:reasons",
] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** Values of mails, links and ads, which no visit has: under such a filter there are no visits. */
export const BESIDE_VISITS: readonly Dimension[] = [
  "event:props:template",
  "event:props:link",
  "event:props:creative",
  "event:props:placement",
  "event:props:cost_currency",
  "event:props:reasons",
];

/** What a search on the site is called: by the tracker, and by servers and apps. */
export const SEARCHES: readonly string[] = ["view_search_results", "search"];

/** What somebody did on the site, by the events that tell it: such a filter keeps whole visits in which it was done. What
 * happened in mails and with ads belongs to no visit; its campaign is that of the visits that it brought. */
export const DEEDS: Partial<Record<Dimension, readonly string[]>> = {
  "event:section": [],
  "event:element": ["click"],
  "event:props:link_url": ["click"],
  "event:props:file_name": ["file_download"],
  "event:form": ["form_start", "form_leave", "form_submit"],
  "event:props:field": ["form_leave"],
  "event:props:search_term": SEARCHES,
};

export interface Filter {
  operator: Operator;
  dimension: Dimension;
  values: string[];
}

/** More values than this in one filter make no readable question. */
const MAX_VALUES = 50;

const escape = (part: string) => part.replace(/[%,]/g, (sign) => (sign === "," ? "%2C" : "%25"));
const unescape = (part: string) => part.replace(/%2C/g, ",").replace(/%25/g, "%");

/** `is,visit:source,Google,Bing`; a comma or percent sign inside a value is escaped. */
export function writeFilter(filter: Filter): string {
  return [filter.operator, filter.dimension, ...filter.values.map(escape)].join(",");
}

export function readFilter(text: string): Filter | undefined {
  const [operator, dimension, ...values] = text.split(",").map(unescape);
  if (!OPERATORS.includes(operator as Operator)) return undefined;
  if (!DIMENSIONS.includes(dimension as Dimension)) return undefined;
  if (values.length === 0 || values.length > MAX_VALUES) return undefined;
  return { operator: operator as Operator, dimension: dimension as Dimension, values };
}

export type Gesture = "only" | "exclude" | "add";

/** What a click on a row does: keep only it (again: undo), exclude it, or add it to what is kept. */
export function clicked(
  filters: Filter[],
  dimension: Dimension,
  value: string,
  gesture: Gesture,
): Filter[] {
  const operator: Operator = gesture === "exclude" ? "is_not" : "is";
  const at = filters.findIndex((f) => f.dimension === dimension && f.operator === operator);
  const existing = filters[at];
  if (!existing) return [...filters, { operator, dimension, values: [value] }];
  const has = existing.values.includes(value);
  let values: string[];
  if (has) values = existing.values.filter((v) => v !== value);
  else values = gesture === "only" ? [value] : [...existing.values, value].slice(0, MAX_VALUES);
  if (values.length === 0) return filters.filter((_, index) => index !== at);
  return filters.map((f, index) => (index === at ? { ...f, values } : f));
}

const OPPOSITE: Record<Operator, Operator> = {
  is: "is_not",
  is_not: "is",
  contains: "contains_not",
  contains_not: "contains",
};

export function negated(filters: Filter[], index: number): Filter[] {
  return filters.map((f, i) => (i === index ? { ...f, operator: OPPOSITE[f.operator] } : f));
}

export function without(filters: Filter[], index: number): Filter[] {
  return filters.filter((_, i) => i !== index);
}

/** True when the row with this value is one that the filters keep by name. */
export function isChosen(filters: Filter[], dimension: Dimension, value: string): boolean {
  return filters.some(
    (f) => f.dimension === dimension && f.operator === "is" && f.values.includes(value),
  );
}
