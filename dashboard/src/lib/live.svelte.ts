// The live view of one site: visitors now, and each event as it is stored.
import { api, type EventItem } from "./api/client.ts";

/** Events kept for the list of the latest ones. */
const KEPT = 20;

export class Live {
  visitorsNow = $state<number | undefined>();
  events = $state.raw<EventItem[]>([]);
  connected = $state(false);
  /** The events from before we listened are here. */
  loaded = $state(false);
  /** Grows with every event that arrives while we listen. */
  arrivals = $state(0);
  #source: EventSource | undefined;
  #abort: AbortController | undefined;

  get last(): EventItem | undefined {
    return this.events[0];
  }

  open(siteId: string): void {
    this.close();
    const source = new EventSource(api.liveAddress(siteId));
    this.#source = source;
    source.addEventListener("open", () => (this.connected = true));
    source.addEventListener("error", () => (this.connected = false));
    source.addEventListener("visitors", (message) => {
      this.connected = true;
      this.visitorsNow = (
        JSON.parse(message.data as string) as { visitors_now: number }
      ).visitors_now;
    });
    source.addEventListener("event", (message) => {
      const item = JSON.parse(message.data as string) as EventItem;
      this.events = [item, ...this.events].slice(0, KEPT);
      this.arrivals += 1;
    });
    void this.#loadLatest(siteId);
  }

  async #loadLatest(siteId: string): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    try {
      const latest = (await api.events(siteId, { limit: KEPT }, abort.signal)).items;
      const seen = new Set(this.events.map((event) => JSON.stringify(event)));
      const older = latest.filter((event) => !seen.has(JSON.stringify(event)));
      this.events = [...this.events, ...older].slice(0, KEPT);
      this.loaded = true;
    } catch {
      // The list fills as events arrive; the panels report what is wrong.
    }
  }

  close(): void {
    this.#abort?.abort();
    this.#source?.close();
    this.#source = undefined;
    this.visitorsNow = undefined;
    this.events = [];
    this.connected = false;
    this.loaded = false;
  }
}
