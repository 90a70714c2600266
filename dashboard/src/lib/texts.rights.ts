// Texts of the page about people's rights: requests, finding somebody, erasures.
import { exact } from "./format.ts";

const counted = (count: number, one: string, many: string) =>
  `${exact(count)} ${count === 1 ? one : many}`;

export const rights = {
  title: "Rights",
  lead: "What people ask for about themselves, and by when they must be answered.",
  waiting: (open: number, overdue: number) =>
    overdue > 0
      ? `${counted(open, "request waits", "requests wait")}, ${exact(overdue)} overdue.`
      : `${counted(open, "request waits", "requests wait")}.`,
  inbox: "Requests",
  listLabel: "Which",
  lists: { waiting: "Waiting", "": "All", done: "Done", refused: "Refused" },
  noneWaiting: "Nobody waits for an answer.",
  none: "No request yet.",
  about: "Request",
  due: "Due",
  state: "State",
  received: "Received",
  kinds: {
    access: "Copy of the data",
    erase: "Erasure",
    opt_out: "Opt-out",
    rectification: "Correction",
  } as Record<string, string>,
  laws: { gdpr: "GDPR", ccpa: "CCPA (California)" } as Record<string, string>,
  states: {
    open: "Open",
    erasing: "Being erased",
    done: "Done",
    refused: "Refused",
    withdrawn: "Withdrawn",
  } as Record<string, string>,
  identifiers: {
    user_id: "User id",
    email: "E-mail",
    cairn_id: "Cookie cairn_id",
    visitor_id: "Visitor number",
    anonymous_id: "SDK’s id (anonymousId)",
    order_id: "Order",
  } as Record<string, string>,
  byVisitor: "A visitor, on the privacy page",
  forgotten: "No longer kept",
  daysLeft: (days: number) =>
    days > 1
      ? `${exact(days)} days left`
      : days === 1
        ? "1 day left"
        : days === 0
          ? "Today is the last day"
          : `${counted(-days, "day", "days")} overdue`,
  more: "Show more",
  findTitle: "Find somebody",
  findLead:
    "By anything he is known by. What you type is sent, not stored; check first that it is really he who asks.",
  findKind: "Known by",
  findValue: "Value",
  find: "Find",
  nothing: "Nothing is held of anybody with this.",
  foundTitle: "What is held",
  events: "Events",
  visits: "Visits",
  period: "From, to",
  people: "Accounts",
  devices: "Browsers and devices",
  memory: "Remembered values",
  receipts: "Receipts that name him",
  mailChoices: "Words about mails",
  optedOut: "An opt-out or an erasure is on record: nothing new of him is kept.",
  shared: (count: number) =>
    `${counted(count, "browser is", "browsers are")} used by others as well: of these only events that name his accounts are counted, taken along and erased.`,
  cut: "There is more than one look may find. Look again after the erasure.",
  newTitle: "Write a request down",
  newLead: (value: string) => `For “${value}”.`,
  newKind: "What is asked for",
  newLaw: "Under which law",
  newDay: "Received on",
  newDayHint: "The time counts from this day, in the site’s zone.",
  write: "Write down",
  detail: (kind: string, reference: string) => `${kind} ${reference}`,
  facts: "Facts",
  who: "Who",
  law: "Law",
  dueOn: "Last day",
  extended: "extended",
  reason: "Reason",
  closed: "Closed",
  reference: "Reference",
  exportTitle: "Copy for him",
  exportLead: "Everything that is held of him, in one file. Hand it over only to him.",
  exportHtml: "To read",
  exportJson: "For programs (JSON)",
  exportLanguage: "Language",
  languages: { en: "English", de: "Deutsch", fr: "Français", es: "Español" } as Record<
    string,
    string
  >,
  answer: "Answer",
  erase: "Erase …",
  eraseTitle: "Erase for good?",
  eraseLead: (events: number, visits: number, people: number, memory: number) =>
    `${counted(events, "event", "events")}, ${counted(visits, "visit", "visits")}, ${counted(people, "account", "accounts")} and ${counted(memory, "remembered value", "remembered values")} go from everywhere on this machine, and nothing new of him is kept. This cannot be undone.`,
  eraseNothing:
    "Nothing is held of him now. The erasure keeps it so: nothing new of him is kept from then on.",
  eraseNow: "Erase now",
  done: "Mark as done",
  doneTitle: "Answered?",
  doneLead:
    "The identifier of the request is forgotten then: no more copies can be made for it. What was done stays on record.",
  withdraw: "Withdrawn by him",
  withdrawTitle: "Did he take it back?",
  withdrawLead: "The request is closed, and its identifier is forgotten.",
  extend: "Extend …",
  extendTitle: "Extend the time",
  extendLead: {
    gdpr: "To three months from the day it came, where the request is complex or there are many. Tell him why, within the first month (GDPR Art. 12(3)).",
    ccpa: "To 90 days from the day it came, where that is reasonably necessary. Tell him why, within the first 45 days (Cal. Civ. Code § 1798.130(a)(2)(A)).",
  } as Record<string, string>,
  refuse: "Refuse …",
  refuseTitle: "Refuse the request",
  refuseLead:
    "Tell him why, and that he may complain to the authority or go to court. The identifier of the request is forgotten.",
  reasonLabel: "Reason",
  reasonHint: "As he was told. It stays on record: name nobody.",
  erasure: "The erasure",
  erasureStates: {
    waiting: "Nothing new is kept; what is held is being erased.",
    running: "No report finds anything of him any more; files are being overwritten.",
    done: "Everything is erased.",
  } as Record<string, string>,
  place: "Where",
  what: "What",
  count: "How many",
  at: "Done",
  notYet: "not yet",
  stays: (text: string) => `Stays: ${text}.`,
  places: {
    people: "People",
    mail_choices: "Mail choices",
    memory: "Memory",
    answers: "Kept answers",
    receipts: "Receipts",
    process: "Process",
    events: "Events",
    visits: "Visits",
    store_file: "Store’s files",
    log: "Log’s files",
    catalog_file: "Catalog’s file",
    event_ids: "Event ids",
    opt_outs: "Opt-outs",
    backups: "Backups",
  } as Record<string, string>,
  log: "What was done",
  deeds: {
    received: "Written down",
    exported: "Copy taken",
    extended: "Time extended",
    refused: "Refused",
    withdrawn: "Withdrawn",
    erasing: "Erasure begun",
    done: "Done",
  } as Record<string, string>,
  byItself: "by itself, or by a program",
  keptFor:
    "Requests stay three years after they were closed, under keyed numbers: 11 CCR § 7101 asks for two.",
};
