// What counts as a page view, and for how long somebody really looked.

import { deliver, enqueue } from "./delivery";
import { randomId, warn, type Fields } from "./event";
import type { Hook, Part, PartOptions, Settings } from "./settings";

const enum Bound {
  /** After this long without a sign of life nobody is taken to be reading. */
  IDLE_MS = 60_000,
}

/** Set by the key's settings or by `data-hash`: the part after # belongs to the page's address. */
let hashRoutes: unknown;
/** What the settings ask for, until it was loaded. */
let parts: Settings;
let endpoint: string;
/** Where the person is. */
let viewUrl: string;
/** What a view that nobody has looked at yet will say. */
let unseen: Fields | 0;
/** Time for which the page was looked at, and how much of it is reported, in milliseconds. */
let lookedMs = 0;
let reportedMs = 0;
/** `performance.now()` when the clock was last read, while it runs; 0 while it stands. */
let runningSince = 0;
const hooks: Hook[] = [];
/** Who the page says that its visitor is. */
export const identity: { user_id?: string; traits?: unknown } = {};

/** An event with its time and place. It is copied, so that the page may go on changing `fields`. */
export function happened(name: string, fields?: Fields): void {
  enqueue(
    JSON.parse(
      JSON.stringify({
        event_id: randomId(),
        timestamp: new Date(),
        url: viewUrl,
        user_id: identity.user_id,
        ...fields,
        // A call without a name ends here, as a warning.
        event: name.slice(),
      }),
    ),
  );
}

/** Listens to everything on the page, before its own scripts do. */
export const on = (names: string, listener: (event: never) => void) =>
  names.split(" ").forEach((name) => addEventListener(name, listener as EventListener, true));

export function watchPage(url: string, settings: Settings): void {
  hashRoutes = settings.hash_routes;
  parts = settings;
  endpoint = url;
  startView(document.referrer);

  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (this: History) {
      original.apply(this, arguments as unknown as Parameters<History["pushState"]>);
      navigated();
    };
  }
  // Navigations that were begun by the Navigation API pass the history by.
  (window as { navigation?: EventTarget }).navigation?.addEventListener(
    "currententrychange",
    navigated,
  );
  on("popstate", navigated);
  on("pageshow", (shown: PageTransitionEvent) => shown.persisted && startView(document.referrer));
  on("focus blur scroll pointermove pointerdown keydown", readClock);
  on("visibilitychange", () => (document.hidden ? leave() : show()));
  on("pagehide", leave);
  on("online", deliver);
  on("click", (click: MouseEvent) => {
    // A script may send a click to the document itself, which has no `closest`.
    const name = (click.target as Element).closest?.<HTMLElement>("[data-cairn-event]");
    if (name) happened(name.dataset["cairnEvent"]!);
  });
}

/** A fragment may hold secrets (log-in answers do), so it stays in the browser unless asked for. */
const address = () => (hashRoutes ? location.href : location.href.split("#")[0]!);

/** What makes an address another page: not its query, nor that of a hash route. */
const place = (url: string) => url.replace(/\?[^#]*/g, "");

/** Loads a part that is asked for. */
export function load(options: PartOptions): void {
  if (options.src) {
    import(/* webpackIgnore: true */ /* @vite-ignore */ new URL(options.src, endpoint).href)
      .then((part: { default: Part }) =>
        part.default(happened, (hook) => hooks.push(hook), readClock, options),
      )
      .catch(warn);
  }
}

function startView(referrer: string): void {
  viewUrl = address();
  unseen = { referrer };
  show();
}

/** A view counts once the page is looked at, which one that was opened in the background is not. */
function show(): void {
  readClock();
  if (unseen && !document.hidden) {
    reportedMs = lookedMs;
    happened("page_view", unseen);
    unseen = 0;
    hooks.forEach((hook) => hook());
    for (const name in parts) load(parts[name] as PartOptions);
    parts = {};
  }
}

function navigated(): void {
  if (place(address()) !== place(viewUrl)) {
    report();
    startView(viewUrl);
  } else {
    viewUrl = address();
  }
}

function leave(): void {
  report();
  // The browser may call the page hidden only after it was left.
  runningSince = 0;
  deliver(1);
}

/** Milliseconds for which the page was visible, had the focus and saw a sign of life. */
function readClock(): number {
  const now = performance.now();
  if (runningSince) lookedMs += Math.min(now - runningSince, Bound.IDLE_MS);
  runningSince = !document.hidden && document.hasFocus() ? now : 0;
  return lookedMs;
}

/** Each report holds the time since the one before, so those of a page view add up. */
function report(): void {
  const ms = Math.round(readClock() - reportedMs);
  if (ms) {
    const fields = { engagement_ms: ms };
    hooks.forEach((hook) => hook(fields));
    happened("engagement", fields);
    reportedMs += ms;
  }
}
