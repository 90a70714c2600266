// Texts of the page about campaigns: what they cost, what they brought, and the tables that it comes from.
import { exact } from "./format.ts";

export const campaigns = {
  title: "Campaigns",
  lead: "What advertising cost, and what it returned. Revenue is that of the orders of these days, in the site’s currency.",
  periodLabel: "Period",
  periods: {
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "91d": "Last 91 days",
    "12mo": "Last 12 months",
  },
  byLabel: "Rows",
  by: {
    "visit:utm_campaign": "Campaign",
    "visit:source": "Source",
    "visit:channel": "Channel",
    "visit:utm_medium": "Medium",
    "visit:utm_content": "Creative",
    "visit:utm_term": "Keyword",
  },
  countedLabel: "Conversions are",
  orders: "Orders",
  table: "Cost and return",
  total: "All together",
  metrics: {
    cost: "Cost",
    cost_clicks: "Clicks",
    conversions: "Conversions",
    cost_per_conversion: "Cost per conversion",
    revenue: "Revenue",
    net_revenue: "Net of refunds",
    roas: "ROAS",
    roi: "ROI",
  } as Record<string, string>,
  meaning: {
    cost: "What the cost table says for these days.",
    cost_clicks: "Clicks that the cost table tells of.",
    conversions: "Orders, each once; or events of the goal chosen above.",
    cost_per_conversion: "Cost divided by conversions.",
    revenue: "Amounts of the orders, each converted at the rate of its day.",
    net_revenue: "Revenue less what was given back of these orders, whenever that was.",
    roas: "Return on ad spend: revenue divided by cost.",
    roi: "Return on investment: net revenue less cost, divided by cost.",
  } as Record<string, string>,
  sortBy: (name: string) => `Sort by ${name}`,
  times: (text: string) => `${text}×`,
  none: "No campaign in these days has visits, orders or costs.",
  more: (count: number) => `and ${exact(count)} more`,
  notes: {
    repeated: (count: number) =>
      count === 1
        ? "1 purchase repeats an order and is not counted."
        : `${exact(count)} purchases repeat an order and are not counted.`,
    unmatched: (count: number) =>
      count === 1
        ? "1 refund names no order that is known, or another currency: it changed nothing."
        : `${exact(count)} refunds name no order that is known, or another currency: they changed nothing.`,
    orders: (count: number, amount: string) =>
      `Not converted, for no rate is known: ${exact(count)} ${count === 1 ? "order" : "orders"} of ${amount}.`,
    costs: (amount: string) => `Not converted, for no rate is known: costs of ${amount}.`,
  },
  file: {
    open: "Add costs",
    title: "Costs from a file",
    lead: "A table of your advertiser as CSV: a row for each day and campaign. Reading it again changes nothing.",
    choose: "CSV file",
    columns: "Which column tells what",
    columnOf: {
      date: "Day",
      cost: "Cost",
      currency: "Currency",
      source: "Source (utm_source)",
      medium: "Medium (utm_medium)",
      campaign: "Campaign (utm_campaign)",
      content: "Creative (utm_content)",
      term: "Keyword (utm_term)",
      impressions: "Impressions",
      clicks: "Clicks",
    } as Record<string, string>,
    noColumn: "None",
    fixed: "Where the table does not say it",
    fixedHint: "Holds for every row, as your links carry it.",
    decimalMark: "Decimals after",
    marks: { ".": "A point: 1,234.50", ",": "A comma: 1.234,50" } as Record<string, string>,
    dateOrder: "Days are written",
    orders: {
      year_first: "2026-01-31",
      day_first: "31.01.2026",
      month_first: "01/31/2026",
    } as Record<string, string>,
    currency: "Currency, where the table has none",
    look: "Look at it",
    take: (count: number) => (count === 1 ? "Take 1 cost" : `Take ${exact(count)} costs`),
    found: (rows: number, costs: number) =>
      `${exact(rows)} ${rows === 1 ? "row" : "rows"} about ${exact(costs)} ${costs === 1 ? "day of a campaign" : "days of campaigns"}`,
    days: (first: string, last: string) => (first === last ? first : `${first} to ${last}`),
    faults: (count: number) =>
      count === 1
        ? "1 place is wrong; nothing was taken."
        : `${exact(count)} places are wrong; nothing was taken.`,
    place: (line: number, column: string) =>
      [line > 0 && `line ${line}`, column && `column “${column}”`].filter(Boolean).join(", "),
    done: (added: number, replaced: number) =>
      `Taken: ${exact(added)} new, ${exact(replaced)} replaced.`,
    first: "The first rows",
  },
  rates: {
    title: "Exchange rates",
    lead: "Amounts in other currencies are converted at the rate of their own day.",
    none: "None is known: amounts in other currencies are told apart.",
    known: (count: number, base: string) =>
      count === 1 ? `1 currency against ${base}` : `${exact(count)} currencies against ${base}`,
    span: (currency: string, first: string, last: string) => `${currency}: ${first} to ${last}`,
    age: (days: number) =>
      `Where a day has no rate, the last one before it counts, if it is at most ${exact(days)} days old.`,
    add: "Add a file",
    hint: "The history that the European Central Bank publishes (CSV), or lines of date,currency,rate.",
    base: "Rates are against",
    done: (added: number, replaced: number) =>
      `${exact(added)} rates are new, ${exact(replaced)} were replaced.`,
    take: "Read it",
  },
};
