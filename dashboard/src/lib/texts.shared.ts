// Texts of shared reports: where they are made, and what whoever opens one sees.
import { exact } from "./format.ts";

export const shared = {
  title: "Shared reports",
  lead: "A link shows this site’s figures to whoever has it, without a log-in: sources, pages, places and devices, and no group of fewer people than you say.",
  none: "Nothing is shared.",
  name: "For whom",
  nameHint: "Only you see it.",
  size: "Fewest visitors in a group",
  sizeHint:
    "3 to 1,000. Smaller groups are left out, and all counts are rounded to multiples of it, so that they cannot be computed.",
  password: "Password",
  passwordHint: "10 characters or more. Empty: the link is enough.",
  days: "Days until it ends",
  daysHint: "Empty: it lasts until you end it.",
  until: (day: string) => `until ${day}`,
  withPassword: "with a password",
  filtered: "filtered",
  locked: "This report has a password",
  lockedLead: "Whoever gave you the link knows it.",
  unlock: "Open",
  onlyFiltered: "Only visits that its owner chose are counted.",
  make: "Make a link",
  made: "The link",
  once: "This is the only time it is shown.",
  groups: (size: number) => `groups of at least ${exact(size)}`,
  since: (day: string) => `since ${day}`,
  end: "End",
  endOf: (name: string) => `End “${name}”`,
  endTitle: (name: string) => `End “${name}”?`,
  endLead: "Its link opens nothing any more.",
  pageTitle: (site: string) => `Visits to ${site}`,
  pageLead: (size: number) =>
    `People only, no bots. Groups of fewer than ${exact(size)} visitors are left out and counts are rounded to multiples of it, so that figures tell of nobody in particular.`,
  period: "Period",
  periods: {
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "91d": "Last 91 days",
    "12mo": "Last 12 months",
  },
  byTime: "Over time",
  byTimeLabel: (low: string, high: string) => `Visitors, from ${low} to ${high}`,
  at: (label: string, visitors: string) => `${label}: ${visitors}`,
  withheld: (count: number) =>
    count === 1 ? "1 group is left out." : `${exact(count)} groups are left out.`,
  empty: "Nothing to show in this time.",
  tooFew: "Too few visitors in this time to be shown.",
  mixed:
    "Visitors who permit it are counted once; all others are anonymous and counted once a day.",
  ended: "This link opens nothing (any more).",
  endedLead: "Whoever gave it to you may have ended it. Ask for a new one.",
};
