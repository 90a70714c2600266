// Texts of the page about visits, visitors and people.

const counted = (count: string, one: boolean, singular: string, plural: string) =>
  `${count} ${one ? singular : plural}`;

export const visits = {
  title: "Visits",
  lead: "Who came, and what they did. A row opens it step by step.",
  listLabel: "What is listed",
  list: { visits: "Visits", visitors: "Visitors", people: "People" },
  about: {
    visits:
      "Visits that were active in these days, the latest first. Goals and orders are those of these days.",
    visitors:
      "Browsers and devices. One without permission is a number that is forgotten at midnight: the same person is somebody new on the next day.",
    people:
      "People whom your site named, by their permission. What is claimed about them is what your site said.",
  },
  none: {
    visits: "No visit in these days passes the filters.",
    visitors: "No visitor in these days passes the filters.",
    people:
      "Nobody was named in these days. People are listed when your site tells who is logged in and they permit it.",
  },
  more: "Show more",
  shown: (count: string) => `${count} shown`,
  direct: "Direct",
  unknown: "Unknown",
  noPage: "No page",
  to: "to",
  identification: { identified: "Known again", anonymous: "Until midnight" } as Record<
    string,
    string
  >,
  visitor: (number: string) => `Visitor ${number}`,
  nobody: "A person whose name is kept no more",
  pageviews: (count: string, one: boolean) => counted(count, one, "page view", "page views"),
  events: (count: string, one: boolean) => counted(count, one, "event", "events"),
  visits: (count: string, one: boolean) => counted(count, one, "visit", "visits"),
  browsers: (count: string, one: boolean) => counted(count, one, "browser", "browsers"),
  orders: (count: string, one: boolean) => counted(count, one, "order", "orders"),
  since: (at: string) => `First seen within these days: ${at}`,
  timeline: {
    title: "What was done, the latest first",
    none: "No event is stored any more.",
    more: "Show earlier",
    names: {
      page_view: "Page view",
      engagement: "Reading",
    } as Record<string, string>,
    visible: (time: string) => `${time} in view`,
    scrolled: (share: string) => `scrolled to ${share}`,
    section: (id: string) => `section ${id}`,
    newVisit: "Another visit",
    elsewhere: "Away from the site",
    whole: "All that this visitor did",
    claimed: "Claimed, not proven",
    close: "Close",
  },
};
