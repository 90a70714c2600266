// The visitor's choice as this page knows it. The durable record is the collector's own cookie.

import { warn } from "./event";

const PURPOSES = ["analytics", "ads", "personalization", "functional"] as const;
type Purpose = (typeof PURPOSES)[number];

export const choice: { [purpose in Purpose]?: "granted" | "denied" } = {};

export function choose(given: Record<string, unknown>): void {
  for (const name in given) {
    if ((PURPOSES as readonly string[]).includes(name)) {
      choice[name as Purpose] = given[name] === "granted" ? "granted" : "denied";
    } else warn("no such purpose", name);
  }
}

/** `analytics:granted,ads:denied`, empty while nothing was chosen on this page. */
export function consentText(): string {
  return Object.entries(choice)
    .map((entry) => entry.join(":"))
    .join();
}
