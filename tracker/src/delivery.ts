// Brings events to the collector. An event leaves memory only when the collector has answered for
// it, or when it can never be taken. Until analytics is granted nothing outlives the page.

import { warn, type TrackedEvent } from "./event";

// An enumeration, because the bundler writes its numbers where they are used.
const enum Bound {
  /** Events kept while the collector cannot be reached; the newest stay. */
  QUEUE_EVENTS = 50,
  /** Characters of one envelope: at three bytes each they fit 64 KiB, also the keepalive budget. */
  ENVELOPE_CHARACTERS = 16_000,
  /** The same with what stands around the events. */
  KEEPALIVE_CHARACTERS = 32_000,
  /** How long events wait for company, and a new page for its title. */
  BATCH_MS = 50,
  LONGEST_BACKOFF_MS = 300_000,
}

/** What the trackers of a page share: calls so far, who is there, and whether one is sending. */
export interface Shared extends Array<ArrayLike<unknown>> {
  /** A request is under way. Two at once could each be given a new `cairn_id`. */
  b?: number;
  /** `Date.now()` when the visitor last said something on this page. */
  t?: number;
  /** Set under a key and where its events go, once its tracker runs. */
  [tracker: string]: unknown;
}

let shared: Shared;
let key: string;
let endpoint: string;
/** Not yet in flight. */
let queue: TrackedEvent[] = [];
/** The visitor's choice as this page knows it. The durable record is the collector's own cookie. */
const choice: Record<string, "granted" | "denied"> = {};
/** What of it is new since the collector was told, with the evidence of it; each time another object. */
let said: object | undefined;
/** What of it the collector has answered for, or is being told. */
let told = said;
let credentials: RequestCredentials = "include";
let failures = 0;
/** `performance.now()` before which nothing is sent. */
let pausedUntil = 0;
/** The pause is the collector's own wish, so neither leaving nor coming online ends it. */
let asked: unknown;
/** What waits in the browser's storage for the next page. */
let stored: unknown;
let timer: unknown;
/** A choice was made while the page runs, not only repeated as it began. */
let chosenHere: unknown;

export const analytics = () => choice["analytics"];

const granted = () => analytics() === "granted";

export function deliverTo(calls: Shared, pixel: string, url: string): void {
  shared = calls;
  key = pixel;
  endpoint = url;
}

const newest = (older: TrackedEvent[], newer: TrackedEvent[]) =>
  [...older, ...newer].slice(-Bound.QUEUE_EVENTS);

export function enqueue(event: TrackedEvent): void {
  queue = newest(queue, [event]);
  soon();
}

/**
 * Answers with what analytics was before. A choice made while the page runs goes by itself: it is the
 * visitor's own answer. `evidence` tells how it came about.
 */
export function choose(
  given: Record<string, unknown>,
  evidence: object | undefined,
  running: unknown,
): unknown {
  const before = analytics();
  // What was said of other purposes earlier is not said anew.
  const now: typeof choice = said === told ? {} : { ...said };
  for (const name in given) {
    if (/^(analytics|ads|personalization|functional)$/.test(name)) {
      now[name] = choice[name] = given[name] === "granted" ? "granted" : "denied";
    } else warn(name);
  }
  said = { ...now, ...evidence };
  // For a key that comes later it was said when the first one heard it.
  shared.t = (!running && shared.t) || Date.now();
  // What an earlier page could not deliver may be read after a yes; after a no it is erased.
  if (granted()) {
    storage((kept) => {
      queue = newest(kept, queue);
    });
  } else if (before === "granted") storage();
  chosenHere = running;
  soon();
  return before;
}

function soon(): void {
  timer ||= setTimeout(() => {
    timer = 0;
    deliver();
  }, Bound.BATCH_MS);
}

/** Sends what waits; somebody who is leaving cannot wait, then everything goes out together. */
export function deliver(leaving?: unknown): void {
  // What has to wait keeps the title of its own page.
  for (const event of queue) if (event.event === "page_view") event.title ??= document.title;
  // Over a page change only what has failed already: a first attempt usually arrives.
  if (leaving && granted() && queue[0] && (failures || !navigator.onLine)) {
    storage((kept) =>
      newest(
        kept.filter((old) => !queue.some((event) => event.event_id === old.event_id)),
        queue,
      ),
    );
  }
  while (
    (queue[0] || said !== told) &&
    (performance.now() > pausedUntil || (leaving && !asked))
  ) {
    if (shared.b && !leaving) return soon();
    void send();
  }
}

/** Sends one envelope: what waits, or a choice. */
async function send(): Promise<void> {
  const before = told;
  const batch: TrackedEvent[] = [];
  told = said;
  while (
    (!chosenHere || before === told) &&
    queue[0] &&
    (!batch[0] || JSON.stringify([batch, queue[0]]).length < Bound.ENVELOPE_CHARACTERS)
  ) {
    batch.push(queue.shift()!);
  }
  const body = JSON.stringify(
    {
      key,
      events: batch,
      // What was told before is no new word: another tab may have said the newest since then.
      consent:
        before === told
          ? told && { repeated: true, ...choice, ...told }
          : // What goes at once is the newest, however long the way.
            { ...told, age_ms: failures || !chosenHere ? Date.now() - shared.t! : 0 },
      screen: screen.width + "x" + screen.height,
      language: navigator.language,
    },
    // Whoever said no is not named, not even to a server that would refuse the name.
    (name, value) =>
      analytics() === "denied" && /^(user_id|traits)$/.test(name) ? undefined : value,
  );
  const post = () =>
    fetch(endpoint, {
      method: "POST",
      body,
      credentials,
      keepalive: body.length < Bound.KEEPALIVE_CHARACTERS,
    });
  shared.b = 1;
  const answer = await post()
    // An origin that the site does not list is answered without leave for cookies, which the
    // browser reports as a failure: ask again without them.
    .catch((fault) => {
      if (endpoint.startsWith(location.origin + "/")) throw fault;
      credentials = "omit";
      return post();
    })
    .catch(() => 0 as const);
  if (!answer || /^5|429/.test(answer.status as unknown as string)) {
    queue = newest(batch, queue);
    told = before;
    credentials = "include";
    asked = answer;
    const wish = answer && (answer.headers.get("Retry-After") as unknown as number) * 1000;
    const wait =
      Math.max(wish || 0, Math.min(500 * 2 ** failures++, Bound.LONGEST_BACKOFF_MS)) *
      (1 + Math.random() / 2);
    pausedUntil = performance.now() + wait;
    setTimeout(deliver, wait + Bound.BATCH_MS);
  } else {
    failures = pausedUntil = 0;
    if (stored) storage();
    await answer
      .json()
      .then((report) => settle(batch, report))
      .catch(warn);
  }
  shared.b = 0;
  deliver();
}

interface Refusal {
  index?: number;
  reason?: string;
  error?: unknown;
}

/** Tells the developer what was refused; a clock that runs ahead is corrected by leaving it out. */
function settle(batch: TrackedEvent[], report: Refusal & { rejected?: Refusal[] }): void {
  (report.rejected || [report]).forEach(({ index, reason, error }) => {
    const event = batch[index!];
    if (event?.timestamp && /future/.test(reason!)) {
      delete event.timestamp;
      queue.push(event);
    } else warn(event?.event, reason, error);
  });
}

/** The only place that touches the browser's storage; it is called with permission only. */
function storage(change?: (kept: TrackedEvent[]) => TrackedEvent[] | void): void {
  const name = "cairn:" + key;
  try {
    stored = change?.(JSON.parse(localStorage[name] || "[]"));
    if (stored) localStorage[name] = JSON.stringify(stored);
    else delete localStorage[name];
  } catch {
    // Storage may be full or forbidden: the events then live as long as the page.
  }
}
