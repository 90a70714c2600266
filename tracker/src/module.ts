// The tracker of Cairn as a module, for pages that bundle their scripts. It does what the script
// does; its settings come from the collector in a request of their own. Importing it does nothing,
// also where there is no browser.

import { sharedCalls, start as begin } from "./commands";
import { warn } from "./event";
import type { Settings } from "./settings";

/** Where to report to. */
export interface Options {
  /** The key of the pixel. */
  key: string;
  /** Address of the collector, such as `https://stats.shop.example`. */
  host: string;
  /** The part of an address after # names a page. */
  hashRoutes?: boolean;
}

export type Choice = "granted" | "denied";

/** What a visitor allows; what is left out is not chosen. */
export interface Consent {
  analytics?: Choice;
  ads?: Choice;
  personalization?: Choice;
  functional?: Choice;
}

/** How a choice came about, for its proof. */
export interface Evidence {
  /** What the visitor was shown: its version, as you name it (at most 64 bytes), and its language. */
  shown?: { version: string; language?: string };
  /** By what the visitor said it. */
  signal?: "banner" | "preference_centre" | "page";
  /** Strings of a consent manager. */
  tcf?: string;
  gpp?: string;
  gpp_sid?: number[];
  us_privacy?: string;
}

export interface Item {
  item_id: string;
  item_name?: string;
  price?: number;
  quantity?: number;
  item_category?: string;
  item_variant?: string;
  image_url?: string;
  url?: string;
}

/** What an event may say beyond its name. */
export interface EventFields {
  /** Money; needs `currency` (ISO 4217). */
  value?: number;
  currency?: string;
  order_id?: string;
  items?: Item[];
  /** Anything else: texts, numbers, truth values. */
  props?: Record<string, string | number | boolean>;
  /** By which repetitions are recognised for seven days; made up where it is left out. */
  event_id?: string;
  url?: string;
  referrer?: string;
  title?: string;
}

/** Reports what happened. */
export function cairn(command: "event", name: string, fields?: EventFields): void;
/**
 * Says who the visitor is, for analysis. With the proof of it (a token that the site's server signed), what is
 * remembered follows the person to this browser.
 */
export function cairn(
  command: "identify",
  userId: string,
  traits?: Record<string, unknown>,
  proof?: { token: string },
): void;
/** Says what the visitor allows, and how that is known. */
export function cairn(command: "consent", choice: Consent, evidence?: Evidence): void;
/** Shows the preference centre, where the pixel has the banner. */
export function cairn(command: "preferences"): void;
/** Has a value remembered under a name, with permission for `functional`. Never passwords. */
export function cairn(command: "remember", name: string, value: unknown): void;
/** Asks for what is remembered; `undefined`: nothing, or it is not permitted. */
export function cairn(command: "recall", name: string, callback: (value: unknown) => void): void;
/** Forgets what is remembered under a name. */
export function cairn(command: "forget", name: string): void;
/** The person leaves this browser: what is remembered of him stays with him. */
export function cairn(command: "sign_out"): void;
export function cairn(...words: unknown[]): void {
  if (typeof document === "undefined") return;
  sharedCalls();
  window.cairn!(...words);
}

let started = "";

/** Begins to report, to one key. Calls made before, or while the settings are on their way, are kept. */
export function start({ key, host, hashRoutes }: Options): void {
  if (typeof document === "undefined") return;
  if (started) {
    if (started !== key) warn("the module reports to one key; load the script for another", key);
    return;
  }
  started = key;
  const base = host.replace(/\/$/, "");
  sharedCalls();
  fetch(`${base}/cairn.json?key=${encodeURIComponent(key)}`, { credentials: "omit" })
    .then((answer): Promise<Settings> | Settings => (answer.ok ? answer.json() : {}))
    // Without its settings the tracker does what needs none.
    .catch((): Settings => ({}))
    .then((settings) => {
      if (hashRoutes) settings.hash_routes = true;
      begin(key, `${base}/e`, settings);
    });
}
