// Hears what the consent managers of the page tell: IAB's `__tcfapi` and `__gpp`, the older `__uspapi`, and
// Google's consent mode. Each change is followed. Strings are handed on as they are, to be read by the
// collector; nothing is written by us.

import type { Part } from "../settings";

type Manager = (...words: unknown[]) => void;

interface TcData {
  eventStatus: string;
  gdprApplies?: boolean;
  tcString: string;
  purpose: { consents: Record<number, boolean> };
  publisher?: { consents?: Record<number, boolean> };
}

interface GppEvent {
  pingData: { signalStatus: string; gppString: string; applicableSections: number[] };
}

let runs: unknown;

const managers: Part = (_record, _watch, _clock, { read }) => {
  // Once for a page: its calls reach every key.
  if (runs) return;
  runs = 1;

  const manager = (name: string) => (window as unknown as Record<string, Manager | undefined>)[name];
  /** What was heard so far, of all managers together; the collector reads it. */
  const heard: Record<string, unknown> = {};
  /** What the visitor changed in consent mode. */
  const mode: Record<string, string> = {};
  /** Whether the tracker may store and name, by the ways that tell it: a no wins. */
  const analytics: Record<string, boolean> = {};
  let told = "{}";

  const tell = (signal: string) => {
    const now = JSON.stringify(heard);
    if (now === told) return;
    told = now;
    const answers = Object.values(analytics);
    const choice = answers[0] === undefined ? {} : { analytics: answers.includes(false) ? "denied" : "granted" };
    // For the tracker alone: to the collector goes what the managers said, and no words beside it.
    const silent = { analytics: undefined, ads: undefined, personalization: undefined, functional: undefined };
    cairn("consent", choice, { ...heard, ...silent, signal });
  };

  /** Of all that the page tells Google; a default is what the site presumes, and no word of the visitor's. */
  const hear = (words: ArrayLike<unknown>) => {
    if (words?.[0] !== "consent" || words[1] !== "update") return;
    const changes = words[2] as Record<string, string>;
    for (const name in changes) if (/^(granted|denied)$/.test(changes[name]!)) mode[name] = changes[name]!;
    heard["consent_mode"] = mode;
    const storage = mode["analytics_storage"];
    if (storage) analytics["consent_mode"] = storage === "granted";
    tell("consent_mode");
  };

  /** By each way: hears from now on, and answers whether it is there at all. */
  const ways: Record<string, () => unknown> = {
    tcf() {
      const api = manager("__tcfapi");
      api?.("addEventListener", 2, (data: TcData, success: boolean) => {
        if (!success || !/^(tcloaded|useractioncomplete)$/.test(data.eventStatus)) return;
        if (data.gdprApplies === false) return;
        heard["tcf"] = data.tcString;
        // The same rule as the collector's.
        const publisher = data.publisher?.consents ?? {};
        const consents = Object.values(publisher).includes(true) ? publisher : data.purpose.consents;
        analytics["tcf"] = [1, 8, 9].every((purpose) => consents[purpose]);
        tell("tcf");
      });
      return api;
    },
    gpp() {
      const api = manager("__gpp");
      api?.("addEventListener", ({ pingData }: GppEvent, success: boolean) => {
        if (!success || pingData.signalStatus !== "ready") return;
        heard["gpp"] = pingData.gppString;
        heard["gpp_sid"] = pingData.applicableSections;
        tell("gpp");
      });
      return api;
    },
    us_privacy() {
      const api = manager("__uspapi");
      api?.("getUSPData", 1, (data: { uspString: string }, success: boolean) => {
        if (!success) return;
        heard["us_privacy"] = data.uspString;
        tell("us_privacy");
      });
      return api;
    },
    consent_mode() {
      const layer = (window as { dataLayer?: ArrayLike<unknown>[] }).dataLayer;
      if (layer) {
        const push = layer.push;
        layer.push = (...entries) => {
          entries.forEach(hear);
          return push.apply(layer, entries);
        };
        layer.forEach(hear);
      }
      return layer;
    },
  };
  const look = () => {
    for (const name in ways) {
      if ((read && !read.includes(name)) || ways[name]!()) delete ways[name];
    }
  };
  look();
  // A manager may come later than we do; with the page's end of loading it is there.
  if (document.readyState !== "complete") addEventListener("load", look);
};

export default managers;
