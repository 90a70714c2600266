// Every text of the page about pixels (English).
export const pixels = {
  title: "Pixels",
  lead: "A pixel is where visits come from: a page, a message, an ad, a server.",
  add: "Add a pixel",
  list: "Your pixels",
  empty: "No pixel yet. Add one to get the snippet for your pages.",
  name: "Name",
  namePlaceholder: "Main site",
  url: "Page or site address",
  urlHint: "Where it will be installed. May stay empty.",
  kind: "Kind",
  kinds: {
    web: "Web page (script)",
    image: "Web page (image only)",
    email: "E-mail",
    ad: "Advertisement",
    server: "Your server",
    app: "Phone app",
  } as Record<string, string>,
  kindsAbout: {
    web: "Page views, time, clicks and your own events, by a small script.",
    image: "Page views where scripts cannot run: feeds, marketplaces, simple pages.",
    email: "Who opens a mail and follows its links, told person or machine.",
    ad: "Impressions and clicks of your advertisements.",
    server: "Orders, refunds, sign-ups: what only your server knows.",
    app: "What happens in your app, by an SDK you may have already.",
  } as Record<string, string>,
  submit: "Add pixel",
  edit: "Edit",
  editTitle: "Edit the pixel",
  reports: "What the script reports",
  reportsHint:
    "Page views, visible time and your own events always. What is ticked here is loaded in addition; a change reaches browsers within an hour.",
  parts: {
    scroll: ["Scroll depth", "How far down a page was seen."],
    clicks: ["Clicks", "Buttons and links, links that lead away, downloads, mail and telephone."],
    sections: ["Sections", "Which parts of a page were seen, for how long, read or skimmed."],
    forms: ["Forms", "Started, left at which field, submitted. Never what was typed."],
    search: ["Site search", "What was searched for on your site."],
    not_found: ["Pages not found", "Addresses that led nowhere, with the page before."],
    vitals: ["Web vitals", "How fast pages were for this visitor: LCP, INP, CLS, TTFB."],
    banner: [
      "Ask for permission",
      "A banner where the policy of the visitor’s place needs it, and a preference centre that any element with data-cairn-preferences opens.",
    ],
    links: [
      "Links to your other domains",
      "Carry a visit there, with permission for analytics: by a signed word in the link, for one browser and two minutes.",
    ],
    hash_routes: ["Routes after #", "For apps whose pages differ only after the # of the address."],
  } as Record<
    | "scroll"
    | "clicks"
    | "sections"
    | "forms"
    | "search"
    | "not_found"
    | "vitals"
    | "banner"
    | "links"
    | "hash_routes",
    [name: string, about: string]
  >,
  crossSite: "Cookies on your pages of other domains",
  crossSiteHint:
    "For pages on domains that are listed in the site’s settings and lie outside of the collector’s own. Nothing is set without permission.",
  crossSites: {
    none: ["None", "Visits there are counted without being recognised."],
    partitioned: [
      "Partitioned",
      "Another cookie on each of your domains: recognised there, never across them. Current browsers allow it.",
    ],
    third_party: [
      "Third-party",
      "One cookie on all of your domains. Warning: this follows people across sites, which permission must cover; Safari blocks it, Firefox keeps it apart, and anybody may block it.",
    ],
  } as Record<string, [name: string, about: string]>,
  managers: "Consent managers of your pages",
  managersHint:
    "Where you ask with another product: what it tells is heard. One that is not there says nothing.",
  managerNames: {
    tcf: ["IAB TCF", "__tcfapi: most banners in Europe."],
    gpp: ["IAB GPP", "__gpp: the states of the USA and others."],
    us_privacy: ["US Privacy", "__uspapi: the older string of the USA."],
    consent_mode: ["Google consent mode", 'Updates by gtag("consent", …).'],
  } as Record<string, [name: string, about: string]>,
  extensions: "Endings of downloads",
  extensionsHint: "For example pdf, zip. Empty: common ones.",
  parameters: "Parameters of the search page",
  parametersHint: "As in ?q=tent. Empty: q, query, s, search, keyword, keywords.",
  save: "Save",
  remove: "Delete",
  cancel: "Cancel",
  status: { waiting: "Waiting", receiving: "Receiving", silent: "Silent" } as Record<
    string,
    string
  >,
  statusLong: {
    waiting: "Waiting for the first visit",
    receiving: "Receiving",
    silent: "Silent: nothing in the last 24 hours",
  } as Record<string, string>,
  waitingHint:
    "Put the snippet into your page, then open the page in another tab. It shows up here by itself.",
  first: "First event",
  last: "Last event",
  last24h: "Last 24 hours",
  events: (count: string) => (count === "1" ? "1 event" : `${count} events`),
  activity: "Events",
  periods: { "24h": "Last 24 hours", "30d": "Last 30 days" } as Record<"24h" | "30d", string>,
  period: "Shown in the small charts",
  activityLabel: (count: string, period: string, most: string, when: string) =>
    `${count} events, ${period.toLowerCase()}; most ${when}: ${most}`,
  activityNone: (period: string) => `No events, ${period.toLowerCase()}`,
  slot: (when: string, count: string) => `${when}: ${count}`,
  snippet: "Install",
  tabs: {
    html: "HTML",
    manager: "Tag Manager",
    react: "React",
    noscript: "No script",
    mail: "Image",
    api: "API",
    curl: "curl",
    node: "Node.js",
    segment: "Segment SDK",
    ios: "iOS",
    android: "Android",
  },
  steps: {
    web: {
      html: "Paste this into the head of every page.",
      manager:
        "In Google Tag Manager: New tag, Custom HTML, paste this, trigger “All pages”, save and publish.",
      react: "Render this component once, near the root of the app.",
      noscript: "For pages where scripts cannot run. It counts the view, not the reading time.",
    },
    image: {
      html: "Paste this anywhere into the page’s body. The attribute lets the browser tell which page it was.",
      manager:
        "In Google Tag Manager: New tag, Custom Image, paste this as image URL, switch cache busting off (nothing is cached anyway), trigger “All pages”.",
      react: "Render this component on every page that shall count.",
    },
    email: {
      mail: "A fixed image counts opens of all recipients together. For links, recipients and a verdict on machines, make a tracked mail below or by the API.",
      api: "Your mail system asks for each mail and sends the HTML that it gets back. TOKEN is an API token.",
    },
    ad: {
      html: "A fixed image counts impressions of all campaigns together. For campaigns, creatives and costs, make a tag below or by the API.",
      api: "One call for each creative; the answer holds the tag for your ad server. TOKEN is an API token.",
    },
    server: {
      curl: "Send what happened when it happened. With the same event_id, sending again counts once.",
      node: "Works as it is with Node.js 18 and later.",
      segment:
        "Or keep the SDK that you have: Segment’s and RudderStack’s libraries send here after a change of host.",
    },
    app: {
      ios: "Segment’s library for Swift, sent here instead of Segment. The server must answer on HTTPS.",
      android:
        "Segment’s library for Kotlin, sent here instead of Segment. The server must answer on HTTPS.",
      curl: "Any language that speaks HTTP.",
    },
  } as Record<string, Record<string, string>>,
  csp: "With a Content-Security-Policy",
  cspAbout: {
    web: "Add these to your policy. Put your nonce on both script elements, or the hash of the first line into script-src.",
    image: "Add this to your policy.",
  } as Record<string, string>,
  key: "Key",
  secret: "This key is secret: keep it on your server, out of pages and repositories.",
  copy: "Copy",
  copied: "Copied",
  seeIt: "See it in the overview",
  arriving: "Arriving now",
  arrivingEmpty: "Events appear here within a second.",
  test: {
    title: "Live test",
    lead: {
      visit: "Opens your page in a new tab and shows what becomes of your visit, stage by stage.",
      pixel: "Watches the next hits of this pixel for five minutes and shows what becomes of each.",
    },
    what: {
      email: "Start it, then open the mail or follow one of its links.",
      ad: "Start it, then look at the advertisement.",
      server: "Start it, then let your server send an event.",
      app: "Start it, then use the app.",
    } as Record<string, string>,
    page: "Page to open",
    start: "Start the live test",
    again: "Test again",
    stop: "Stop",
    open: "Open the page",
    blocked: "The new tab was blocked. Open the page by this link.",
    waiting: "Waiting for the first hit",
    watching: "Watching",
    ended: "The test is over.",
    lost: "The connection was lost; trying again.",
    until: (time: string) => `Runs until ${time}`,
    stages: {
      received: "Received",
      permission: "Permission",
      recognised: "Recognised",
      stored: "Stored",
    } as Record<string, string>,
    states: { waiting: "waiting", passed: "passed", failed: "failed" },
    said: (stage: string, state: string, about: string) => `${stage}: ${state}. ${about}`,
    received: (event: string, road: string, origin: string) =>
      `${event || "A hit"} ${road}${origin ? `, from ${origin}` : ""}`,
    roads: {
      script: "by the script",
      image: "by the image",
      direct: "without a browser",
      signed: "by a signed link or image",
    } as Record<string, string>,
    keys: {
      other: "with the key of another pixel of this site",
      other_site: "The page reports to a pixel of another site, not to this one.",
      unknown:
        "The page has a key that no pixel has. Perhaps its pixel was deleted: paste the snippet of this one.",
    } as Record<string, string>,
    uncertain: "It carried no code of the test, so it may be somebody else’s.",
    verdicts: {
      full: "May be recognised.",
      anonymous: "Counted without being recognised: no cookie, no id, no address.",
      drop: "Nothing may be kept.",
    } as Record<string, string>,
    reasons: {
      "silence; opt-out region": "Nobody was asked, and in the visitor’s region silence is enough.",
      "silence; region unknown":
        "Nobody was asked, and the region is unknown: it is treated as one that needs a yes.",
      "silence; opt-in region": "Nobody said yes, and the visitor’s region needs one.",
      "silence; policy opt_out": "The site’s policy: until they object.",
      "silence; policy opt_in": "The site’s policy: only with permission, and nobody gave it.",
      "silence; policy opt_in_strict": "The site’s policy: nothing without permission.",
      "silence; policy anonymous": "The site’s policy: always anonymous.",
      "granted with the hit": "The page sent a yes along.",
      "denied with the hit": "The page sent a no along.",
      "granted, on record": "A yes is recorded in this browser.",
      "denied, on record": "A no is recorded in this browser.",
      "Global Privacy Control": "This browser sends Global Privacy Control.",
      "granted by a TC string's publisher segment":
        "The consent manager’s TC string has a yes to the publisher.",
      "denied by a TC string's publisher segment":
        "The consent manager’s TC string has no yes to the publisher.",
      "granted by a TC string's purposes":
        "The consent manager’s TC string has a yes to all purposes that this needs.",
      "denied by a TC string's purposes":
        "The consent manager’s TC string lacks a yes to purposes that this needs.",
      "granted by a Canadian GPP section": "The consent manager’s GPP string has express consent.",
      "denied by a Canadian GPP section": "The consent manager’s GPP string has no consent.",
      "objected to sale by a US Privacy string":
        "The US Privacy string objects to the sale of data.",
      "objected to by a GPP section of the United States":
        "The consent manager’s GPP string has an objection.",
      "granted by Google consent mode": "Google consent mode was updated to a yes.",
      "denied by Google consent mode": "Google consent mode says no.",
      "granted by all that was sent": "All consent strings that came along say yes.",
      "denied by some of what was sent": "One of the consent strings that came along says no.",
      "consent string that counts as no":
        "The page sent a consent string that cannot be relied on. It counts as a no.",
      "origin that the site does not list":
        "The page’s origin is not one of the site. Add it under Settings, Further hosts.",
      "cross-site without cookies":
        "The page is on another domain, and the site takes no cookies there.",
      "the recipient agreed": "The recipient agreed.",
      "counted for the campaign: no recipient who agreed":
        "Counted for the campaign, since no recipient agreed to be followed.",
      "an opt-out or an erasure is on record": "An opt-out or an erasure is on record.",
      "the site keeps nothing without a yes":
        "The site’s policy keeps nothing without a yes, and there is none.",
    } as Record<string, string>,
    visitors: {
      known: "A visitor who was here before",
      new: "A new visitor, who gets a first-party cookie",
      named: "A visitor named by an id that was sent",
      anonymous: "An anonymous visitor",
    } as Record<string, string>,
    bot: (reason: string) => `taken for a bot (${reason}): reports leave it out`,
    stored: (time: string) => `In the reports ${time} after it arrived`,
    delayed: "It is safe on disk; the store is behind and will have it later.",
    field: (name: string) => `Field: ${name}.`,
    others: "Further hits",
    other: {
      stored: "stored",
      waiting: "on its way",
      duplicate: "a repetition, counted once",
    } as Record<string, string>,
    nothing: (seconds: number) => `Nothing has arrived for ${seconds} seconds`,
    nothingPixel: "Nothing has come in yet. The test goes on.",
    scriptCame:
      "The script was loaded, so its events are held back: look at the third point first.",
    checks: {
      not_installed: "The snippet is not on this page, or it was not published yet.",
      script_blocked:
        "A blocker in the browser keeps the script back. Try a window without extensions; serve it from a path of your own (docs/tracker.md).",
      content_security_policy:
        "The page’s Content-Security-Policy forbids it. The browser’s console says so; what to allow stands under “Install”.",
      wrong_host: "The snippet points to another server than this one.",
      parameter_lost:
        "The page changes its address (a redirect or a router) before the script runs, and loses cairn_test. Test the page it leads to.",
    } as Record<string, string>,
  },
  mail: {
    title: "Make a tracked mail",
    lead: "Rewrites the links of a mail and adds the image that counts opens. Nothing of the mail is kept.",
    campaign: "Campaign",
    campaignHint: "Opens and clicks are counted under it.",
    template: "Template",
    templateHint: "Or variant. May stay empty.",
    audience: "Recipient",
    audienceHint: "Following individuals needs a permission of its own.",
    audiences: {
      many: ["Many, nobody in particular", "Counted for the campaign, for each sender once a day."],
      one: ["One recipient", "Counted as this user’s, as far as they agreed."],
    } as Record<string, [name: string, about: string]>,
    user: "User id",
    userHint: "As identify sends it.",
    opens: "Agreed to opens",
    clicks: "Agreed to clicks",
    choices: { "": "As on record", granted: "Yes", denied: "No" } as Record<string, string>,
    html: "The mail’s HTML",
    htmlHint: "At most 512 KiB. Empty: only the address of the image.",
    honeypot: "Add a link that no person sees",
    honeypotAbout: "Who follows it is a scanner. Some spam filters dislike it.",
    expires: "Days for which it counts",
    submit: "Make the mail",
    result: "The tracked mail",
    resultHtml: "HTML to send",
    openUrl: "Address of the image",
    optedOut: "This recipient opted out: the mail comes back without image and tracked links.",
    counted: {
      individual: "counted for the recipient",
      aggregate: "counted for the campaign",
      none: "not counted",
    } as Record<string, string>,
    kept: (opens: string, clicks: string) => `Opens are ${opens}, clicks are ${clicks}.`,
    until: (date: string) =>
      `They count until ${date}; links lead to their targets after that too.`,
    links: (count: string) => `Tracked links: ${count}`,
    leadsTo: "Leads to",
    address: "Address in the mail",
    left: "Left alone",
    leftNone: "No link was left alone.",
    leftReasons: {
      as_asked: "asked to be left alone",
      not_web: "not to a web page (mail, telephone, parts of the page)",
      placeholder: "with a placeholder of your mail system",
      unsubscribes: "to unsubscribe",
      own: "tracked already",
      unreadable: "not readable as an address",
    } as Record<string, string>,
  },
  link: {
    title: "Make a tracked link",
    lead: "For posts, printed codes and anything that is not a mail.",
    url: "Leads to",
    submit: "Make the link",
    result: "The tracked link",
    until: (date: string) => `Clicks count until ${date}; it leads to its target after that too.`,
  },
  tag: {
    title: "Make an ad tag",
    lead: "An impression image and a signed click link, with the macros of your ad server in place.",
    target: "Leads to",
    targetHint: "The page that a click opens.",
    source: "Source",
    sourceHint: "Where the ad runs. Empty: the ad server’s name.",
    medium: "Medium",
    mediumHint: "Empty: display.",
    content: "Content",
    term: "Term",
    clickId: "Parameter for an id of the click",
    clickIdHint: "For postbacks: the page is told the id by this name. May stay empty.",
    creative: "Creative",
    placement: "Placement",
    macroHint: "Empty: what the ad server’s macro says.",
    adServer: "Ad server",
    adServers: {
      none: "None: a page of your own",
      generic: "Another one (generic macros)",
      google_ad_manager: "Google Ad Manager",
      campaign_manager: "Campaign Manager 360",
      display_video: "Display & Video 360",
      xandr: "Xandr",
      the_trade_desk: "The Trade Desk",
      amazon: "Amazon Ads",
    } as Record<string, string>,
    genericNote:
      "Before you use it: replace {CLICKURL} by your server’s click macro, or delete it. While it stands there, the link leads nowhere. The other words in braces are for your server’s macros too.",
    cost: "Cost",
    amount: "Amount",
    amountHint: "For example 2.50. May stay empty.",
    currency: "Currency",
    per: "For",
    pers: {
      thousand_impressions: "A thousand impressions",
      impression: "One impression",
      click: "One click",
    } as Record<string, string>,
    more: "More about the ad",
    submit: "Make the tag",
    result: "The ad tag",
    resultTag: "Tag for the ad server",
    impression: "Impression image",
    click: "Click link",
    viewable: "Script for viewable impressions",
    until: (date: string) => `It counts until ${date}.`,
  },
};
