// What the collector says about a key: one JSON object, sent with the script.

import type { Fields } from "./event";

/** How a part of the tracker was asked for: where it lies, and what it was told. */
export interface PartOptions {
  /** Address of its module, relative to where events go. */
  src?: string;
  /** Endings of files that count as downloads. */
  extensions?: string[];
  /** Query parameters that hold what was searched for. */
  parameters?: string[];
  /** The key, for a part that asks the collector by itself. */
  key?: string;
  /** Hosts of the site, for a part that looks at links. */
  hosts?: string[];
  /** Consent managers that are heard; all where it is left out. */
  read?: string[];
}

export interface Settings {
  [part: string]: PartOptions | boolean | undefined;
  banner?: PartOptions;
  clicks?: PartOptions;
  forms?: PartOptions;
  links?: PartOptions;
  managers?: PartOptions;
  not_found?: PartOptions;
  scroll?: PartOptions;
  search?: PartOptions;
  sections?: PartOptions;
  vitals?: PartOptions;
  /** The part of an address after # names a page. */
  hash_routes?: boolean;
}

/** Called with the fields of an engagement report before it goes; without any when a place is new. */
export type Hook = (report?: Fields) => void;

/** What a part's module exports. Its words have places and no names, which would cost bytes. */
export type Part = (
  /** Reports an event, to the keys whose settings ask for the part. */
  record: (name: string, fields?: Fields) => void,
  /** Asks to be told of reports and of new places. */
  watch: (hook: Hook) => void,
  /** Reads the clock: milliseconds for which this page was looked at. */
  clock: () => number,
  options: PartOptions,
) => void;
