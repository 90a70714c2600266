// Made-up requests of people, and what the server answers about them.
import type { Erasure, Found, Retention, RightsRequest, Site } from "../../src/lib/api/client.ts";

const DAY_MS = 86_400_000;
const IDENTIFIERS = ["user_id", "email", "cairn_id", "visitor_id", "anonymous_id", "order_id"];

/** What a rule of the server refuses, as its code and message. */
export class NotOpen extends Error {}

export class Requests {
  readonly all: RightsRequest[] = [];
  /** Looks at an erasure that is under way before it is done. */
  looksUntilDone = 1;
  readonly #now: number;

  constructor(now: number, some: boolean) {
    this.#now = now;
    if (!some) return;
    this.#make("access", { email: "carl@shop.example" }, 4);
    this.#make("erase", { user_id: "ada-7" }, -2);
    const own = this.#make("erase", {}, 30);
    own.source = "visitor";
    this.#erase(own);
    this.#close(own, "done");
  }

  #make(kind: string, who: Record<string, string>, days: number): RightsRequest {
    const [identifier_kind = "cairn_id", identifier = ""] = Object.entries(who)[0] ?? [];
    const at = new Date(this.#now - (30 - days) * DAY_MS).toISOString();
    const request = {
      id: String(this.all.length + 1),
      reference: `6C1E40A9B2D85F${40 + this.all.length}`,
      kind,
      law: "gdpr",
      source: "owner",
      state: "open",
      identifier_kind,
      identifier,
      received_at: at,
      due_on: new Date(this.#now + days * DAY_MS).toISOString().slice(0, 10),
      days_left: days,
      overdue: days < 0,
      extended: false,
      extendable: days >= 0,
      reason: "",
      closed_at: null,
      erasure: null,
      log: [{ at, account: "owner@shop.example", step: "received", note: "" }],
    } as RightsRequest;
    this.all.push(request);
    return request;
  }

  #note(request: RightsRequest, step: string, note = ""): void {
    const at = new Date(this.#now).toISOString();
    request.log.push({ at, account: "owner@shop.example", step, note });
  }

  #close(request: RightsRequest, state: string, reason = ""): void {
    this.#note(request, state, reason);
    const closed_at = new Date(this.#now).toISOString();
    const closed = { state, closed_at, identifier: "", days_left: null, overdue: false };
    Object.assign(request, { ...closed, extendable: false, ...(reason && { reason }) });
  }

  #erase(request: RightsRequest): void {
    const at = new Date(this.#now).toISOString();
    const place = (place: string, what: string, count: number, remains = "") => ({
      place,
      what,
      count,
      done_at: at,
      remains,
    });
    request.erasure = {
      id: "1",
      state: "done",
      asked_at: at,
      done_at: at,
      places: [
        place("people", "user ids and traits", 1),
        place("events", "events", 12),
        place("visits", "visits without any event left", 3),
        place("receipts", "names in receipts", 1, "the choices themselves, as proof"),
        place("store_file", "bytes of erased rows in the store's files", 1),
      ],
    } as Erasure;
  }

  found(body: Record<string, string>): Found {
    const value = IDENTIFIERS.map((kind) => body[kind]).find(Boolean) ?? "";
    const erased = this.all.some((one) => one.erasure && one.source === "owner");
    const isKnown = /ada|carl/i.test(value) && !erased;
    return {
      found: isKnown,
      events: isKnown ? 12 : 0,
      visits: isKnown ? 3 : 0,
      first: isKnown ? new Date(this.#now - 9 * DAY_MS).toISOString() : null,
      last: isKnown ? new Date(this.#now - DAY_MS).toISOString() : null,
      names: isKnown ? { page_view: 11, purchase: 1 } : {},
      visitor_ids: isKnown ? ["bcbacf942f5ffbb2"] : [],
      people: isKnown ? [{ user_id: "ada-7", claimed_traits: { email: "ada@shop.example" } }] : [],
      memory: isKnown ? 2 : 0,
      receipts: isKnown ? 1 : 0,
      mail_choices: 0,
      opted_out: erased,
      is_cut: false,
      shared_visitor_ids: isKnown ? ["0000000000000007"] : [],
      candidates: isKnown ? ["ada-of-the-browser"] : [],
      law: "gdpr",
    } as unknown as Found;
  }

  list(asked: URLSearchParams) {
    const state = asked.get("state") ?? "";
    const waits = (one: RightsRequest) => one.closed_at === null;
    const items =
      state === "waiting"
        ? this.all.filter(waits).sort((one, other) => one.due_on.localeCompare(other.due_on))
        : this.all.filter((one) => !state || one.state === state).reverse();
    return { items, next: null };
  }

  get waiting() {
    const open = this.all.filter((one) => one.closed_at === null);
    return { open: open.length, overdue: open.filter((one) => one.overdue).length };
  }

  add(body: Record<string, string>): RightsRequest {
    const kind = IDENTIFIERS.find((name) => body[name]) ?? "user_id";
    const request = this.#make(body["kind"] ?? "", { [kind]: body[kind] ?? "" }, 30);
    request.law = body["law"] ?? "gdpr";
    return request;
  }

  /** A request as it is now: an erasure that is under way comes to its end. */
  look(id: string): RightsRequest | undefined {
    const request = this.all.find((one) => one.id === id);
    if (request?.state === "erasing" && this.looksUntilDone-- <= 0) {
      this.#erase(request);
      this.#close(request, "done");
    }
    return request;
  }

  act(request: RightsRequest, step: string, reason: string): RightsRequest {
    if (request.state !== "open") throw new NotOpen("This request is closed.");
    if (step === "extend") {
      Object.assign(request, { extended: true, extendable: false, reason, days_left: 91 });
      this.#note(request, "extended", reason);
    } else if (step === "erase") {
      Object.assign(request, { state: "erasing", identifier: "", extendable: false });
      this.#note(request, "erasing");
    } else {
      const states: Record<string, string> = { refuse: "refused", withdraw: "withdrawn" };
      this.#close(request, states[step] ?? "done", reason);
    }
    return request;
  }

  export(request: RightsRequest, format: string): string {
    this.#note(request, "exported");
    return format === "html" ? "<!doctype html><title>Your data</title>" : "{}";
  }
}

/** Two classes: one whose days are the owner's to choose. */
export function retentionOf(site: Site, now: number): Retention {
  const days = site.privacy.retention?.events ?? null;
  const common = { source: "our own choice", last_run_at: new Date(now - 3_600_000).toISOString() };
  return {
    classes: [
      {
        ...common,
        class: "events",
        what: "events and visits",
        purpose: "analytics and ads",
        counted_from: "arrival",
        days: days ?? 760,
        is_chosen: days !== null,
        bounds: { days_min: 1, days_max: 3660, days_default: 760 },
        oldest_held_at: new Date(now - 60 * DAY_MS).toISOString(),
        last_removed: 1204,
      },
      {
        ...common,
        class: "opt_outs",
        what: "keyed numbers of those who opted out or were erased",
        purpose: "to keep nothing of them",
        counted_from: "never ends before the site does",
        days: null,
        is_chosen: false,
        bounds: null,
        oldest_held_at: null,
        last_run_at: null,
        last_removed: null,
      },
    ],
  };
}
