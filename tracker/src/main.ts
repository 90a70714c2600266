// The tracker of Cairn: one script for any number of keys on a page. Loading it again adds a key, or
// nothing. It reads and writes neither cookies nor storage before analytics was granted.

import { choice, choose } from "./consent";
import { addTarget, backOnline, forgetAll, restoreAll, tellChoice } from "./delivery";
import { warn, type Fields } from "./event";
import { happened, setUser, watchPage } from "./page";

type Command = (...words: unknown[]) => void;

interface Api extends Command {
  /** Calls made before the script came. */
  q?: { push: (words: ArrayLike<unknown>) => unknown } | ArrayLike<unknown>[];
  /** Adds a key; there once the script runs. */
  add?: (key: string, endpoint: string) => void;
}

declare global {
  interface Window {
    cairn?: Api;
  }
}

let identity: { user_id: string; traits?: unknown } | undefined;

const commands: Record<string, (first: never, second: never) => void> = {
  event(name: string, fields?: Fields) {
    if (name) happened(String(name), fields);
    else warn("an event needs a name");
  },
  identify(id: string, traits?: Fields) {
    identity = { user_id: String(id), traits };
    setUser(identity.user_id);
    if (choice.analytics !== "denied") happened("identify", identity);
  },
  consent(given: Record<string, unknown>) {
    const before = choice.analytics;
    choose(given);
    const now = choice.analytics;
    if (before !== now) {
      if (now === "granted") restoreAll();
      if (before === "granted") forgetAll();
      if (before && now === "granted" && identity) happened("identify", identity);
    }
    tellChoice();
  },
};

/** Never throws: a fault in what a page reports must not become a fault of the page. */
function run(words: ArrayLike<unknown>): void {
  const [name, first, second] = Array.from(words) as [string, never, never];
  try {
    const command = commands[name];
    if (command) command(first, second);
    else warn("no such command", name);
  } catch (fault) {
    warn(fault);
  }
}

function start(key: string, endpoint: string, hashRoutes: boolean): void {
  const api = window.cairn as Api;
  if (!api.add) {
    const waiting = api.q as ArrayLike<unknown>[] | undefined;
    const running: Api = function () {
      run(arguments);
    };
    running.add = addTarget;
    running.q = { push: run };
    window.cairn = running;
    watchPage(hashRoutes);
    (waiting || []).forEach(run);
    addEventListener("online", backOnline);
  }
  window.cairn!.add!(key, endpoint);
}

const script = (document.currentScript ||
  document.querySelector('script[src*="cairn.js"]')) as HTMLScriptElement | null;
if (script) {
  const source = new URL(script.src || location.href);
  const key = script.dataset.key || source.searchParams.get("key");
  const endpoint = (script.dataset.host || source.origin).replace(/\/$/, "") + "/e";
  const begin = () => start(key as string, endpoint, "hash" in script.dataset);
  window.cairn =
    window.cairn ||
    function () {
      const api = window.cairn as Api;
      (api.q = (api.q as ArrayLike<unknown>[]) || []).push(arguments);
    };
  // A page that is rendered ahead may never be looked at.
  if (!key) warn("the script's address needs ?key=");
  else if ((document as { prerendering?: boolean }).prerendering) {
    document.addEventListener("prerenderingchange", begin, { once: true });
  } else begin();
}
