// What became of a hit, in words.

export const outcomes = {
  accepted: ["Accepted", "Stored and counted exactly once."],
  consent: ["Choice alone", "A choice was told without an event; the browser keeps it."],
  duplicate: ["Repetition", "The same event arrived before; it was not counted twice."],
  "dropped:opted_out": [
    "Opted out",
    "The visitor asked not to be measured, or was erased. Nothing was kept.",
  ],
  "dropped:policy": [
    "No permission",
    "Under this site’s privacy policy nothing may be kept without a yes.",
  ],
  "rejected:unknown_key": [
    "Unknown key",
    "No pixel has this key. The snippet may be from a deleted pixel.",
  ],
  "rejected:origin": ["Foreign origin", "The page it came from may not use this pixel."],
  "rejected:malformed": ["Unreadable", "The hit could not be read, or a value was impossible."],
  "rejected:unknown_field": [
    "Unknown field",
    "The event has a field that does not exist. Own fields belong into props.",
  ],
  "rejected:too_large": ["Too large", "The body, an id or a list is over its limit."],
  "rejected:too_old": ["Too old", "The event says it happened more than seven days ago."],
  "rejected:in_future": [
    "In the future",
    "The event says it happened more than five minutes from now.",
  ],
  "rejected:rate_limited": ["Too many at once", "One place sent more than it may."],
  "unavailable:log_full": [
    "Log full",
    "There was no room to store it safely. The sender was told to try again.",
  ],
  "unavailable:overloaded": [
    "Overloaded",
    "Too many requests at once. The sender was told to try again.",
  ],
} as Record<string, [name: string, meaning: string]>;

/** Why an event is taken for a program's. */
export const botReasons = {
  import: ["Stated", "The import said that it was a bot."],
  declared: ["Says so itself", "The agent names itself as a crawler."],
  headless: ["Headless browser", "A browser driven by a program."],
  library: ["Program library", "A tool for programs, not for people."],
  missing_user_agent: ["No agent", "A browser always says what it is; this did not."],
  missing_headers: ["Missing headers", "Headers that every browser sends were absent."],
  contradictory_headers: [
    "Contradiction",
    "Its headers do not fit the browser that it claims to be.",
  ],
  prefetch: ["Prefetch", "Loaded ahead of a visit that may never come."],
  mail: [
    "Mail or link",
    "A mail opened, or a tracked link followed, by a machine (docs/email.md).",
  ],
  ad: ["Ad", "Loaded or clicked by a machine (docs/ads.md)."],
} as Record<string, [name: string, meaning: string]>;

/** What gave a machine away that fetched from a mail, a link or an ad. */
export const machineReasons = {
  honeypot: "It followed a link that no person sees.",
  burst: "It followed several links within two seconds.",
  head_before_get: "It asked what stands behind the link before it followed it.",
  too_soon: "It came sooner than a person can.",
  security_scanner: "A mail security product that names itself.",
  link_preview: "A service that makes previews of links.",
  program: "A library, a crawler, or a browser without a window.",
  gmail_prefetch: "Gmail fetched it ahead of the reader.",
  prefetch: "It was fetched ahead of the reader.",
  no_browser_headers: "It has a browser’s name, but none of its headers.",
  hosted_program: "It came from a data centre, without every header of a browser.",
  no_agent_click: "It did not say what it is; a browser always does.",
  data_centre: "It came from a data centre’s network.",
} as Record<string, string>;
