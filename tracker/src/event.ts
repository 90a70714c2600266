// The canonical event as it goes over the wire, and how one gets its identity.

export type Fields = Record<string, unknown>;

export interface TrackedEvent extends Fields {
  event: string;
  event_id?: string;
  timestamp?: string;
  title?: string;
}

/**
 * A random UUID (version 4). Not `crypto.randomUUID`: that one is missing on pages without HTTPS,
 * and one path for all pages is one path to trust.
 */
export function randomId(): string {
  return "xxxxxxxx-xxxx-4xxx-axxx-xxxxxxxxxxxx".replace(/x/g, () =>
    (crypto.getRandomValues(new Uint8Array(1))[0]! & 15).toString(16),
  );
}

/** Says something to the developer of the page; a visitor never sees it and nothing is thrown. */
export function warn(...about: unknown[]): void {
  console.warn("cairn:", ...about);
}
