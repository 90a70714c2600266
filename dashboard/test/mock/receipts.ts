// Made-up receipts, and what the server answers about them.
import type { Permission, Receipt, ReceiptsVerification } from "../../src/lib/api/client.ts";

const HOUR_MS = 3_600_000;
const COUNT = 40;
const hash = (number: number) => String(number).padStart(64, "0");

/** Forty choices, the newest first; the third last one was the visitor's who was erased with the last entry. */
export function makeReceipts(now: number): Receipt[] {
  const choices = Array.from({ length: COUNT }, (_, place) => {
    const granted = place % 3 !== 1;
    return {
      receipt: place + 1,
      at: new Date(now - (COUNT - place) * HOUR_MS).toISOString(),
      kind: "choice",
      choices: { analytics: granted ? "granted" : "denied", ads: "denied" },
      version: place % 2 ? "2026-11-a" : "",
      language: place % 2 ? "de" : "",
      signal: place % 2 ? "banner" : "page",
      region: place % 4 ? "eea" : "US",
      policy: "regional",
      gpc: place === COUNT - 1,
      visitor_id: granted ? hash(place).slice(-16) : "",
      commitment: granted ? hash(place) : "",
      erased: [],
      previous_hash: hash(place),
      content_hash: hash(place),
      hash: hash(place + 1),
    };
  });
  const last = { ...choices[0]!, receipt: COUNT + 1, kind: "erasure", choices: {}, erased: [3] };
  return [...choices, last].reverse() as unknown as Receipt[];
}

const PAGE = 25;

/** One page, filtered as the server does. */
export function listReceipts(all: Receipt[], asked: URLSearchParams) {
  const [purpose = "", choice] = (asked.get("choice") ?? "").split(":");
  const after = Number(asked.get("after") ?? Infinity);
  const limit = Number(asked.get("limit") ?? PAGE);
  const matching = all.filter(
    (receipt) =>
      receipt.receipt < after &&
      (!asked.get("signal") || receipt.signal === asked.get("signal")) &&
      (!choice || (receipt.choices as Record<string, string>)[purpose] === choice) &&
      (!asked.get("from") || receipt.at >= asked.get("from")!) &&
      (!asked.get("before") || receipt.at < asked.get("before")!),
  );
  const items = matching.slice(0, limit);
  return { items, next: matching.length > limit ? String(items.at(-1)?.receipt) : null };
}

export function verify(all: Receipt[], isSound: boolean, now: number): ReceiptsVerification {
  return {
    sound: isSound,
    entries: all.length,
    expired: 0,
    end: `1:${all.length}:${hash(all.length)}`,
    findings: isSound
      ? []
      : [
          {
            receipt: 7,
            problem: "changed",
            meaning: "the entry does not hash to what stands in it",
          },
        ],
    more_findings: 0,
    verified_at: new Date(now).toISOString(),
  };
}

/** Sums of the choices of a region or version, or of all. */
export function permissionOf(all: Receipt[], asked: URLSearchParams): Permission {
  const counted = all.filter(
    (receipt) =>
      receipt.kind === "choice" &&
      (!asked.get("region") || receipt.region === asked.get("region")) &&
      (!asked.get("version") || receipt.version === asked.get("version")),
  );
  const counts = (some: Receipt[]) => {
    const saying = (choice: string) =>
      some.filter((receipt) => (receipt.choices as Record<string, string>)["analytics"] === choice);
    const granted = saying("granted").length;
    return {
      choices: some.length,
      asked: { analytics: some.length, ads: some.length },
      granted: { analytics: granted, ads: 0 },
    };
  };
  const by = <K extends "region" | "version">(name: K) =>
    [...new Set(counted.map((receipt) => receipt[name]))].map((value) => ({
      [name]: value,
      language: value ? "de" : "",
      ...counts(counted.filter((receipt) => receipt[name] === value)),
    }));
  const days = [...new Set(counted.map((receipt) => receipt.at.slice(0, 10)))].sort();
  return {
    definition: "Counted are choices, not visitors.",
    total: counts(counted),
    by_day: days.map((date) => ({
      date,
      ...counts(counted.filter((receipt) => receipt.at.startsWith(date))),
    })),
    by_region: by("region"),
    by_version: by("version"),
    has_more_versions: false,
  } as unknown as Permission;
}
