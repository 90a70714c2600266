// Texts of the page about attribution.
import { exact } from "./format.ts";

const HOURS_AS_DAYS = 48;

export const attribution = {
  title: "Attribution",
  lead: "Which channels your conversions are owed to, by eight models side by side.",
  conversion: "Conversion",
  purchases: "All purchases",
  periodLabel: "Period",
  periods: {
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "91d": "Last 91 days",
    "12mo": "Last 12 months",
  },
  byLabel: "Channels by",
  dimensions: {
    "visit:channel": "Channel",
    "visit:source": "Source",
    "visit:utm_campaign": "Campaign",
    "visit:utm_medium": "Medium",
    "visit:utm_source": "UTM source",
    "visit:utm_content": "UTM content",
    "visit:utm_term": "UTM term",
  },
  lookbackLabel: "Look back",
  lookbacks: {
    "1": "1 day back",
    "7": "7 days back",
    "30": "30 days back",
    "90": "90 days back",
    "180": "180 days back",
    "365": "365 days back",
  },
  views: "Count advertisements that were only seen",
  modelLabel: "Model",
  models: {
    last: "Last touch",
    last_non_direct: "Last non-direct",
    first: "First touch",
    linear: "Linear",
    time_decay: "Time decay",
    position_based: "Position based",
    markov: "Markov",
    shapley: "Shapley",
  },
  about: {
    last: "All to the last visit.",
    last_non_direct: "All to the last visit that came from somewhere.",
    first: "All to the first visit.",
    linear: "Equal parts to all visits.",
    time_decay: "Each visit has half of the weight of one a week later.",
    position_based: "40 % to the first visit, 40 % to the last, the rest to those between.",
    markov: "By what would be lost if the channel led nowhere.",
    shapley: "By what the channel adds to the others, on average.",
  },
  sortBy: (model: string) => `Judge by ${model}`,
  measureLabel: "Figures",
  measures: { conversions: "Conversions", revenue: "Revenue" },
  totals: "All conversions",
  people: "Came and did not convert",
  channels: "Channels",
  range: "From the least to the most",
  between: (least: string, most: string) => `from ${least} to ${most}, depending on the model`,
  assisted: (assisted: number, touched: number) =>
    `assisted ${exact(assisted)} of ${exact(touched)}`,
  seen: "only seen",
  all: (count: number) => `Show all ${exact(count)} channels`,
  paths: "Paths",
  pathsLead: "The journeys themselves: the visits before a conversion, in their order.",
  times: (count: number) => `${exact(count)} times`,
  converted: "Conversions",
  revenue: "Revenue",
  without: "Did not convert",
  meanTime: "Mean time",
  soon: "less than 1 h",
  hours: (hours: number) =>
    hours < HOURS_AS_DAYS ? `${exact(hours)} h` : `${exact(Math.round(hours / 2.4) / 10)} days`,
  page: (from: number, to: number, total: number) =>
    `${exact(from)} to ${exact(to)} of ${exact(total)}`,
  earlier: "Previous paths",
  later: "Next paths",
  none: "No such conversion in this time. Choose another conversion or a longer period.",
  notes: {
    models: "Models share out what happened; none of them knows what caused it.",
    anonymous: (count: number) =>
      `${exact(count)} of the conversions are of anonymous visitors, who are known for one day.`,
    otherCurrency: (count: number) =>
      `${exact(count)} of the conversions have an amount in another currency, which is not counted.`,
    paths: (paths: number, conversions: number) =>
      `The ${exact(paths)} rarest paths, with ${exact(conversions)} conversions, are left out.`,
    shortened: (count: number, touches: number) =>
      `Of ${exact(count)} conversions only the last ${exact(touches)} visits are counted.`,
    merged: (count: number) => `${exact(count)} rare channels are put together as (other).`,
  },
};
