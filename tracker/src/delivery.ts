// Brings events to the collectors. An event leaves memory only when the collector has answered for
// it, or when it can never be taken. Until analytics is granted nothing outlives the page.

import { randomId, warn, type TrackedEvent } from "./event";
import { choice, consentText } from "./consent";

/** Events kept for one key while its collector cannot be reached; the newest stay. */
const QUEUE_EVENTS = 50;
/** Characters of one envelope: at three bytes each they fit 64 KiB, also the keepalive budget. */
const ENVELOPE_CHARACTERS = 16_000;
/** How long events wait for company, and a new page for its title. */
const BATCH_MS = 50;
const LONGEST_BACKOFF_MS = 300_000;

interface Target {
  key: string;
  endpoint: string;
  /** Not yet in flight. */
  queue: TrackedEvent[];
  /** The consent text that the collector has answered for. */
  told: string;
  credentials: RequestCredentials;
  failures: number;
  /** Unix milliseconds before which nothing is sent. */
  pausedUntil: number;
  /** The pause is the collector's own wish, so neither leaving nor coming online ends it. */
  asked: boolean;
  stored: boolean;
}

const targets: Target[] = [];
/** What happened on this page so far, for a key whose script comes later. */
const past: TrackedEvent[] = [];
let inFlight = 0;
let timer = 0;
/** A choice was made while the page runs, not only repeated as it began. */
let chosenHere = false;

export function addTarget(key: string, endpoint: string): void {
  if (targets.some((known) => known.key === key && known.endpoint === endpoint)) return;
  const target: Target = {
    key,
    endpoint,
    queue: [],
    told: "",
    credentials: "include",
    failures: 0,
    pausedUntil: 0,
    asked: false,
    stored: false,
  };
  targets.push(target);
  past.forEach((event) => enqueue(target, event));
  if (choice.analytics === "granted") restore(target);
  soon();
}

/** Keeps the event for every key of the page; each key gets an id of its own. */
export function record(event: TrackedEvent): void {
  past.push(event);
  past.splice(0, past.length - QUEUE_EVENTS);
  targets.forEach((target) => enqueue(target, event));
  soon();
}

/** Tells the choice; one made here goes by itself, which marks it as the visitor's own answer. */
export function tellChoice(): void {
  chosenHere = targets.length > 0;
  soon();
}

function soon(): void {
  if (!timer) {
    timer = window.setTimeout(() => {
      timer = 0;
      deliver();
    }, BATCH_MS);
  }
}

/**
 * Sends what waits, one request at a time: two at once could each be given a new `cairn_id`.
 * Somebody who is leaving cannot wait, then everything goes out together.
 */
export function deliver(leaving?: boolean): void {
  for (const target of targets) {
    if (leaving && choice.analytics === "granted") keep(target);
    if (Date.now() < target.pausedUntil && (target.asked || !leaving)) continue;
    while ((leaving || !inFlight) && send(target, leaving));
  }
}

export function backOnline(): void {
  targets.forEach((target) => {
    if (!target.asked) target.pausedUntil = 0;
  });
  deliver();
}

/** Analytics was granted: what an earlier page could not deliver may be read now. */
export function restoreAll(): void {
  targets.forEach(restore);
}

/** Analytics was withdrawn on this page: what was kept is erased. */
export function forgetAll(): void {
  targets.forEach((target) => storage(target, () => []));
}

function enqueue(target: Target, event: TrackedEvent): void {
  target.queue.push({ event_id: randomId(), ...event });
  trim(target);
}

function trim(target: Target): void {
  target.queue.splice(0, target.queue.length - QUEUE_EVENTS);
}

/** One envelope. Answers whether one was sent. */
function send(target: Target, leaving?: boolean): boolean {
  const consent = consentText();
  const told = target.told;
  const batch = chosenHere && consent !== told ? [] : take(target);
  if (!batch.length && consent === told) return false;
  const body = envelope(target, batch, consent);
  if (leaving) {
    // Only what is confirmed later can be retried, so a beacon is the last choice.
    if (!("keepalive" in Request.prototype)) {
      navigator.sendBeacon(target.endpoint, body);
      target.told = consent;
      return true;
    }
    target.told = consent;
  }
  const attempt = (credentials: RequestCredentials) =>
    fetch(target.endpoint, {
      method: "POST",
      body,
      credentials,
      keepalive: body.length < 2 * ENVELOPE_CHARACTERS,
    }).then((answer) => {
      target.credentials = credentials;
      return answer;
    });
  const failed = (answer?: Response) => {
    target.queue.unshift(...batch);
    trim(target);
    target.told = told;
    target.asked = !!answer;
    pause(target, answer ? Number(answer.headers.get("Retry-After")) : 0);
  };
  inFlight++;
  attempt(target.credentials)
    // An origin that the site does not list is answered without leave for cookies, which the
    // browser reports as a failure: ask again without them.
    .catch((fault) => {
      if (target.endpoint.startsWith(location.origin + "/")) throw fault;
      return attempt("omit");
    })
    .then(
      (answer) => {
        if (answer.status > 499 || answer.status === 429) return failed(answer);
        target.failures = target.pausedUntil = 0;
        target.told = consent;
        if (target.stored) storage(target, () => []);
        return answer.json().then((report) => settle(target, batch, report));
      },
      () => failed(),
    )
    .catch(() => 0)
    .then(() => {
      inFlight--;
      deliver();
    });
  return true;
}

function take(target: Target): TrackedEvent[] {
  let characters = 0;
  let count = 0;
  for (const event of target.queue) {
    if (event.event === "page_view" && event.title == null) event.title = document.title;
    characters += JSON.stringify(event).length;
    if (count && characters > ENVELOPE_CHARACTERS) break;
    count++;
  }
  return target.queue.splice(0, count);
}

function envelope(target: Target, events: TrackedEvent[], consent: string): string {
  return JSON.stringify(
    {
      key: target.key,
      events,
      consent: consent || undefined,
      screen: screen.width + "x" + screen.height,
      language: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    },
    // Whoever said no is not named, not even to a server that would refuse the name.
    (name, value) =>
      choice.analytics === "denied" && (name === "user_id" || name === "traits")
        ? undefined
        : value,
  );
}

function pause(target: Target, retryAfterSeconds: number): void {
  const backoff = Math.min(500 * 2 ** target.failures++, LONGEST_BACKOFF_MS);
  const wait = Math.max(retryAfterSeconds * 1000 || 0, backoff) * (1 + Math.random() / 2);
  target.pausedUntil = Date.now() + wait;
  setTimeout(deliver, wait + 1);
}

interface Report {
  rejected?: { index: number; reason: string }[];
  error?: unknown;
}

/** Tells the developer what was refused; a clock that runs ahead is corrected by leaving it out. */
function settle(target: Target, batch: TrackedEvent[], report: Report): void {
  if (report.error) warn(report.error);
  (report.rejected || []).forEach(({ index, reason }) => {
    const event = batch[index];
    if (event && event.timestamp && /future/.test(reason)) {
      delete event.timestamp;
      target.queue.push(event);
    } else warn(event && event.event, reason);
  });
}

/** Over a page change only what has failed already: a first attempt usually arrives. */
function keep(target: Target): void {
  if (target.queue.length && (target.failures || !navigator.onLine)) {
    target.stored = true;
    storage(target, (kept) =>
      kept
        .filter((old) => !target.queue.some((event) => event.event_id === old.event_id))
        .concat(target.queue)
        .slice(-QUEUE_EVENTS),
    );
  }
}

function restore(target: Target): void {
  storage(target, (kept) => {
    target.queue.unshift(...kept);
    trim(target);
    return [];
  });
}

/** The only place that touches the browser's storage; it is called with permission only. */
function storage(target: Target, change: (kept: TrackedEvent[]) => TrackedEvent[]): void {
  const name = "cairn:" + target.key;
  try {
    const rest = change(JSON.parse(localStorage.getItem(name) || "[]"));
    if (rest.length) localStorage.setItem(name, JSON.stringify(rest));
    else localStorage.removeItem(name);
  } catch {
    // Storage may be full or forbidden: the events then live as long as the page.
  }
}
