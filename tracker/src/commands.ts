// What a page may say: `cairn("event", …)` and its kin.

import { analytics, choose, deliverTo, type Shared } from "./delivery";
import { warn, type Fields } from "./event";
import { happened, identity, load, on, watchPage } from "./page";
import type { Settings } from "./settings";

export interface Api {
  (...words: unknown[]): void;
  /** Calls so far, also those made before a tracker came. */
  q?: Shared;
}

declare global {
  interface Window {
    cairn?: Api;
  }
  /** The same, where it is known to be there: shorter to say. */
  const cairn: Api;
}

/** The page runs: what it says now is no repetition of what was said before the script came. */
let running: unknown;

/** Says who the visitor is, if the page has said so; whoever said no is not named. */
const introduce = () =>
  analytics() !== "denied" && identity.user_id && happened("identify", identity);

const commands: Record<string, (...words: never[]) => void> = {
  event: happened,
  identify(id: unknown, traits?: Fields) {
    identity.user_id = "" + id;
    identity.traits = traits;
    introduce();
  },
  consent(given: Record<string, unknown>, evidence?: object) {
    if (choose(given, evidence, running) === "denied") introduce();
  },
};

/** Never throws: a fault in what a page reports must not become a fault of the page. */
function run([name, ...words]: [string, ...never[]]): void {
  try {
    commands[name]?.(...words);
    // Whom a server has signed for, and what is not known here, is for the part that remembers. It
    // finds the call in the list.
    (commands[name] && !words[2]) || load({ src: "m" });
  } catch (fault) {
    warn(fault);
  }
}

/** Where calls are kept that come before a tracker, or for one that comes later. */
export function sharedCalls(): Shared {
  window.cairn ||= function () {
    cairn.q!.push(arguments);
  };
  return (cairn.q ||= [] as unknown as Shared);
}

/**
 * Begins to report to one key, once the page is shown: one that is rendered ahead may never be looked
 * at. Each key has a tracker of its own; where one is there already, nothing happens.
 */
export function start(key: string, endpoint: string, settings: Settings): void {
  const calls = sharedCalls();
  const begin = () => {
    if (calls[key + endpoint]) return;
    calls[key + endpoint] = 1;
    deliverTo(calls, key, endpoint);
    watchPage(endpoint, settings);
    calls.forEach(run as never);
    running = 1;
    const push = calls.push;
    calls.push = ((words: never) => {
      push.call(calls, words);
      run(words);
      // The newest calls are kept for a tracker that comes later.
      calls.splice(0, calls.length - 50);
    }) as never;
  };
  if ((document as { prerendering?: boolean }).prerendering) on("prerenderingchange", begin);
  else begin();
}
