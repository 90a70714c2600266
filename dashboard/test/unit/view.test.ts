import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DIMENSIONS,
  OPERATORS,
  clicked,
  isChosen,
  negated,
  readFilter,
  writeFilter,
} from "../../src/lib/filters.ts";
import {
  cardsQuestion,
  chartQuestion,
  savedFilters,
  detailsQuestion,
  panelQuestion,
} from "../../src/lib/questions.ts";
import {
  BOTS,
  COMPARISONS,
  GROUPS,
  GROUP_NAMES,
  METRICS,
  VISIT_METRICS,
  PANELS,
  TABS,
  readView,
  withPeriod,
  withRange,
  writeView,
} from "../../src/lib/view.ts";
import { type Figure, gradeOf, shown } from "../../src/lib/panels.ts";
import { PRESETS } from "../../src/lib/dates.ts";
import { chance } from "../mock/visits.ts";

const TODAY = "2026-11-22";

test("the plain view is the plain address", () => {
  assert.equal(writeView(readView("")), "");
  assert.equal(readView("").period, "30d");
});

test("any view survives the URL", () => {
  const random = chance(3);
  const one = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)] as T;
  const awkward = [
    "",
    "a,b",
    "50%",
    "%2C",
    "a&b=c",
    "/p?x=1#y",
    "ü 日本",
    "is",
    ",",
    "\u202Eabc",
    "a+b c",
  ];
  for (let round = 0; round < 500; round += 1) {
    const view = readView("");
    view.period = one(PRESETS);
    if (random() < 0.3) {
      view.period = "custom";
      view.custom = { from: "2026-01-02", to: "2026-03-04" };
    }
    view.metric = one(METRICS);
    view.comparison = one(COMPARISONS);
    view.bots = one(BOTS);
    view.interval = one(["hour", "day", "week", "month", undefined]);
    view.table = random() < 0.5;
    view.details = one([...PANELS, undefined]);
    view.group = one(GROUP_NAMES);
    for (const panel of PANELS) Object.assign(view.tabs, { [panel]: one<string>(TABS[panel]) });
    view.segment = one([undefined, 1, 4711]);
    view.events = one([
      undefined,
      { filters: [] },
      { filters: [], at: "2026-11-22 09:00:00" },
      {
        days: { from: "2026-11-01", to: "2026-11-22" },
        filters: [{ operator: "is", dimension: "visit:source", values: [one(awkward), ";"] }],
      },
    ]);
    view.filters = Array.from({ length: Math.floor(random() * 4) }, () => ({
      operator: one(OPERATORS),
      dimension: one(DIMENSIONS),
      values: Array.from({ length: 1 + Math.floor(random() * 3) }, () => one(awkward)),
    }));
    assert.deepEqual(readView(writeView(view)), view, writeView(view));
  }
});

test("nonsense in the URL falls back to the default", () => {
  const view = readView(
    "?period=soon&metric=money&from=2026-13-01&to=x&f=eats,visit:source,a&f=is,visit:shoe,a&f=is,visit:source&sources=x&details=y&show=z&vitals=ping&segment=0&events=eats,visit:source,a",
  );
  assert.deepEqual(view, readView(""));
  assert.equal(readView("?from=2026-11-09&to=2026-11-01").period, "30d");
});

test("the URL is readable", () => {
  const view = readView("?f=is,visit:source,Google&f=is,event:page,/p/7");
  assert.equal(writeView(view), "?f=is,visit:source,Google&f=is,event:page,/p/7");
});

test("a filter with too many values is no filter", () => {
  assert.equal(readFilter(`is,visit:city,${Array(51).fill("a").join(",")}`), undefined);
});

test("commas and percent signs stay inside their value", () => {
  const filter = {
    operator: "is" as const,
    dimension: "event:page" as const,
    values: ["a,b", "100%", "%2C"],
  };
  assert.deepEqual(readFilter(writeFilter(filter)), filter);
});

test("a click keeps only the row, again undoes it; Alt excludes; Shift adds", () => {
  const a = clicked([], "visit:source", "Google", "only");
  assert.deepEqual(a, [{ operator: "is", dimension: "visit:source", values: ["Google"] }]);
  assert.deepEqual(clicked(a, "visit:source", "Google", "only"), []);
  assert.deepEqual(clicked(a, "visit:source", "Bing", "only")[0]?.values, ["Bing"]);
  const both = clicked(a, "visit:source", "Bing", "add");
  assert.deepEqual(both[0]?.values, ["Google", "Bing"]);
  assert.ok(isChosen(both, "visit:source", "Bing"));
  assert.deepEqual(clicked(both, "visit:source", "Google", "add")[0]?.values, ["Bing"]);
  const excluded = clicked(a, "visit:source", "Bing", "exclude");
  assert.deepEqual(excluded[1], {
    operator: "is_not",
    dimension: "visit:source",
    values: ["Bing"],
  });
  assert.ok(!isChosen(excluded, "visit:source", "Bing"));
  assert.deepEqual(negated(excluded, 1)[1]?.operator, "is");
});

test("a range that is a preset becomes it; an interval that no longer fits is dropped", () => {
  const view = { ...readView(""), interval: "hour" as const };
  const week = withRange(view, { from: "2026-11-16", to: TODAY }, TODAY);
  assert.equal(week.period, "7d");
  assert.equal(week.interval, "hour");
  assert.equal(withPeriod(week, "30d", TODAY).interval, undefined);
  const other = withRange(view, { from: "2026-11-02", to: "2026-11-05" }, TODAY);
  assert.deepEqual(
    [other.period, other.custom],
    ["custom", { from: "2026-11-02", to: "2026-11-05" }],
  );
});

test("questions carry the range, the filters and the comparison", () => {
  const view = readView("?period=7d&f=is,visit:source,Google");
  const cards = cardsQuestion("1", view, TODAY);
  assert.deepEqual(cards.date_range, ["2026-11-16", TODAY]);
  assert.deepEqual(cards.filters, [["is", "visit:source", ["Google"]]]);
  assert.deepEqual(cards.include, { comparisons: { mode: "previous_period" } });
  assert.deepEqual(cards.metrics, [...VISIT_METRICS]);
  const chart = chartQuestion("1", view, TODAY);
  assert.deepEqual(chart.dimensions, ["time:day"]);
  assert.ok(!(chart.metrics as string[]).includes("views_per_visit"));
});

test("views per visit is not asked of one page, nor a comparison of all time", () => {
  const page = cardsQuestion("1", readView("?f=contains,event:page,/p/"), TODAY);
  assert.ok(!(page.metrics as string[]).includes("views_per_visit"));
  const all = readView("?period=all");
  assert.deepEqual(cardsQuestion("1", all, TODAY).include, {});
  assert.deepEqual(chartQuestion("1", all, TODAY).dimensions, ["time"]);
});

test("bots are left to the API's default, or asked for by name", () => {
  const filters = (search: string) => cardsQuestion("1", readView(search), TODAY).filters;
  assert.deepEqual(filters(""), []);
  assert.deepEqual(filters("?bots=shown"), [["is", "visit:bot", ["true", "false"]]]);
  assert.deepEqual(filters("?bots=only"), [["is", "visit:bot", ["true"]]]);
});

test("panels leave out what has no name, and details find, sort and page", () => {
  const view = readView("?places=city&pages=exit_page");
  assert.deepEqual(panelQuestion("1", view, "places", TODAY).filters, [
    ["is_not", "visit:city", [""]],
  ]);
  assert.deepEqual(panelQuestion("1", view, "sources", TODAY).filters, []);
  const list = { search: "oak", sort: "visits" as const, descending: false, limit: 100 };
  const details = detailsQuestion("1", view, "pages", TODAY, list);
  assert.deepEqual(details.order_by, [["visits", "asc"]]);
  assert.deepEqual(details.filters?.at(-1), [
    "contains",
    "visit:exit_page",
    ["oak"],
    { case_sensitive: false },
  ]);
  assert.ok(!(details.metrics as string[]).includes("pageviews"));
  assert.equal(details.include?.total_rows, true);
});

test("every panel stands in one group", () => {
  assert.deepEqual(Object.values(GROUPS).flat().toSorted(), PANELS.toSorted());
});

test("what was done is asked of the whole visit, by the events that tell it", () => {
  const filters = (search: string) => cardsQuestion("1", readView(search), TODAY).filters;
  assert.deepEqual(filters("?f=is,event:section,pricing"), [
    ["has_done", ["is", "event:section", ["pricing"]]],
  ]);
  assert.deepEqual(filters("?f=contains_not,event:props:search_term,tent"), [
    [
      "has_not_done",
      [
        "and",
        [
          ["is", "event:name", ["view_search_results", "search"]],
          ["contains", "event:props:search_term", ["tent"]],
        ],
      ],
    ],
  ]);
  assert.deepEqual(filters("?f=is,event:page,/"), [["is", "event:page", ["/"]]]);
});

test("panels of deeds ask for their own figures, in an order of their own", () => {
  const view = readView("?vitals=cls&clicks=outbound");
  const vitals = panelQuestion("1", view, "vitals", TODAY);
  assert.deepEqual(vitals.metrics, ["cls_p75", "vitals_samples"]);
  assert.deepEqual(vitals.order_by, [["vitals_samples", "desc"]]);
  assert.deepEqual(panelQuestion("1", view, "clicks", TODAY).filters, [
    ["is", "event:name", ["click"]],
    ["is", "event:props:link_type", ["outbound"]],
  ]);
  const searches = panelQuestion("1", readView("?content=search"), "content", TODAY);
  assert.deepEqual(searches.filters, [["is", "event:name", ["view_search_results", "search"]]]);
});

test("grades of vitals change at the bounds that web.dev names", () => {
  const grades = (figure: Figure, values: (number | null)[]) =>
    values.map((value) => gradeOf(figure, value));
  assert.deepEqual(grades("lcp_p75_ms", [2500, 2501, 4000, 4001]), [
    "good",
    "fair",
    "fair",
    "poor",
  ]);
  assert.deepEqual(grades("inp_p95_ms", [200, 500, 501]), ["good", "fair", "poor"]);
  assert.deepEqual(grades("cls_p75", [0.1, 0.25, 0.2501, null]), [
    "good",
    "fair",
    "poor",
    undefined,
  ]);
  assert.deepEqual(grades("ttfb_p50_ms", [800, 1800, 1801]), ["good", "fair", "poor"]);
  assert.equal(gradeOf("vitals_samples", 5), undefined);
});

test("figures are written by their unit", () => {
  assert.equal(shown("lcp_p75_ms", 2_480), "2.48s");
  assert.equal(shown("inp_p75_ms", 96), "96ms");
  assert.equal(shown("cls_p75", 0.1), "0.10");
  assert.equal(shown("section_time_mean_s", 4.2), "4.2s");
  assert.equal(shown("section_time_total_s", 3_700), "1h 01m");
  assert.equal(shown("ad_click_through_rate", 0.59), "0.59%");
  assert.equal(shown("scroll_depth", 64), "64%");
  assert.equal(shown("time_on_page", 75), "1m 15s");
  assert.equal(shown("form_completion_rate", null), "–");
});

test("a segment is asked for by its number, beside the filters and without them in itself", () => {
  const view = readView("?segment=12&f=is,visit:source,Google");
  const google = ["is", "visit:source", ["Google"]];
  assert.deepEqual(cardsQuestion("1", view, TODAY).filters, [google, ["is", "segment", [12]]]);
  assert.deepEqual(savedFilters(view), [google]);
});
