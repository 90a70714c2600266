// What became of the hits, in groups that a person can act on.
import type { Outcomes } from "./api/client.ts";
import { t } from "./texts.ts";

export type Kind = "kept" | "skipped" | "refused" | "failing";

export function kindOf(outcome: string): Kind {
  if (outcome === "accepted" || outcome === "consent") return "kept";
  if (outcome.startsWith("rejected:")) return "refused";
  return outcome.startsWith("unavailable:") ? "failing" : "skipped";
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

export function botsOf(outcomes: Outcomes): number {
  return sum(outcomes.bots);
}

/** Hits that someone meant to be counted and that were not: refused, or lost room for. */
export function refusedOf(outcomes: Outcomes): number {
  return Object.entries(outcomes.outcomes)
    .filter(([name]) => ["refused", "failing"].includes(kindOf(name)))
    .reduce((total, [, count]) => total + count, 0);
}

export interface Line {
  key: string;
  name: string;
  meaning: string;
  count: number;
}

function spoken(code: string): string {
  const words = code.replaceAll(/[_:]/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Every outcome that occurred, kept first, then by size. */
export function outcomeLines(outcomes: Outcomes): Line[] {
  const order: Kind[] = ["kept", "skipped", "refused", "failing"];
  return Object.entries(outcomes.outcomes)
    .filter(([key, count]) => count > 0 || key === "accepted")
    .map(([key, count]) => {
      const [name, meaning] = t.outcomes[key] ?? [spoken(key), ""];
      return { key, name, meaning, count };
    })
    .sort(
      (a, b) => order.indexOf(kindOf(a.key)) - order.indexOf(kindOf(b.key)) || b.count - a.count,
    );
}

/** Bot reasons; `declared:googlebot` keeps the name that the agent gave itself, `mail:honeypot` what gave it away. */
export function botLines(outcomes: Outcomes): Line[] {
  return Object.entries(outcomes.bots)
    .filter(([, count]) => count > 0)
    .map(([key, count]) => {
      const [reason = "", ...detail] = key.split(":");
      const [name, meaning] = t.botReasons[reason] ?? [spoken(reason), ""];
      return {
        key,
        name: detail.length > 0 ? `${name}: ${detail.join(":")}` : name,
        meaning: ofMachine(reason, detail[0]) ?? meaning,
        count,
      };
    })
    .sort((a, b) => b.count - a.count);
}

/** What a verdict on a mail or an ad saw: a sign of its own, or one of all web traffic. */
function ofMachine(road: string, sign = ""): string | undefined {
  if (road !== "mail" && road !== "ad") return undefined;
  return t.machineReasons[sign] ?? t.botReasons[sign]?.[1];
}
