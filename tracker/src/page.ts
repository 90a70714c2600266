// What counts as a page view, and how long and how far it was really looked at.

import { deliver, record } from "./delivery";
import type { Fields } from "./event";

/** Set by `data-hash` on the script: the part after # belongs to the page's address. */
let hashRoutes = false;
let user = "";

/** The address of the page view that runs now. */
let viewUrl = "";
let viewPath = "";
/** Visible time since it was last reported, in milliseconds. */
let engagedMs = 0;
/** `performance.now()` when the clock was last read, while it runs; 0 while it stands. */
let runningSince = 0;
let lowestPixel = 0;
let reportedPercent = 0;

/** An event with its time and place. It is copied, so that the page may go on changing `fields`. */
export function happened(name: string, fields?: Fields): void {
  record({
    timestamp: new Date().toISOString(),
    url: address(),
    user_id: user || undefined,
    ...JSON.parse(JSON.stringify(fields || {})),
    event: name,
  });
}

export function setUser(id: string): void {
  user = id;
}

export function watchPage(withHash: boolean): void {
  hashRoutes = withHash;
  startView(document.referrer);

  (["pushState", "replaceState"] as const).forEach((name) => {
    const original = history[name];
    history[name] = function (this: History) {
      original.apply(this, arguments as unknown as Parameters<History["pushState"]>);
      navigated();
    };
  });
  addEventListener("popstate", navigated);
  if (hashRoutes) addEventListener("hashchange", navigated);

  addEventListener("pageshow", (shown) => {
    if (shown.persisted) startView(document.referrer);
  });
  addEventListener("pagehide", () => leave(1));
  addEventListener("focus", readClock);
  addEventListener("blur", readClock);
  addEventListener("scroll", readScroll, { passive: true });
  document.addEventListener("visibilitychange", () =>
    document.visibilityState === "hidden" ? leave(1000) : readClock(),
  );
  document.addEventListener(
    "click",
    (click) => {
      // A script may send a click to the document itself, which has no `closest`.
      const at = click.target as Element;
      const marked = at.closest && at.closest("[data-cairn-event]");
      if (marked) happened(marked.getAttribute("data-cairn-event") as string);
    },
    true,
  );
}

/** A fragment may hold secrets (log-in answers do), so it stays in the browser unless asked for. */
function address(): string {
  return hashRoutes ? location.href : location.href.split("#")[0]!;
}

function path(): string {
  return location.pathname + (hashRoutes ? location.hash : "");
}

function startView(referrer: string): void {
  viewUrl = address();
  viewPath = path();
  engagedMs = runningSince = lowestPixel = reportedPercent = 0;
  readClock();
  happened("page_view", { referrer });
}

function navigated(): void {
  if (path() !== viewPath) {
    reportEngagement(1);
    startView(viewUrl);
  }
}

function leave(enoughMs: number): void {
  reportEngagement(enoughMs);
  deliver(true);
}

function readClock(): void {
  const now = performance.now();
  if (runningSince) engagedMs += now - runningSince;
  runningSince = document.visibilityState === "visible" && document.hasFocus() ? now : 0;
}

function readScroll(): void {
  lowestPixel = Math.max(lowestPixel, scrollY + innerHeight);
}

/**
 * Nothing is reported while nothing is new: enough time, or a part of the page not yet seen. Each
 * report holds the time since the one before, so those of a page view add up.
 */
function reportEngagement(enoughMs: number): void {
  readClock();
  readScroll();
  const height = (document.scrollingElement || document.documentElement).scrollHeight || 1;
  const percent = Math.min(100, Math.round((lowestPixel / height) * 100));
  if (engagedMs >= enoughMs || (engagedMs && percent > reportedPercent)) {
    happened("engagement", {
      url: viewUrl,
      engagement_ms: Math.round(engagedMs),
      scroll_percent: percent,
    });
    engagedMs = 0;
    reportedPercent = percent;
  }
}
