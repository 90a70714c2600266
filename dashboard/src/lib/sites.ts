// What the forms of a site share: what people paste, and what they may choose from.

/** What people paste is an address; what is meant is its host. */
export function hostOf(text: string): string {
  return text
    .trim()
    .replace(/^[a-z]+:\/\//i, "")
    .replace(/[/?#].*$/, "")
    .toLowerCase();
}

export function isHost(text: string): boolean {
  return text !== "" && !/[\s@,;]/.test(text);
}

/** Time zones that this browser knows, and those that are in use. */
export function zonesWith(...used: string[]): string[] {
  return [...new Set(["UTC", ...used, ...Intl.supportedValuesOf("timeZone")])].sort();
}

export function currenciesWith(...used: string[]): string[] {
  return [...new Set([...used, ...Intl.supportedValuesOf("currency")])].sort();
}
