// A stand-in for the server, in memory, on a free port of this machine. It speaks the API that the
// dashboard uses, with the real one's headers: a strict Content-Security-Policy shows up what the
// real server would block. What it answers comes from made-up visits.
import { readFile } from "node:fs/promises";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import type {
  Answer,
  CookieReport,
  Outcomes,
  Pixel,
  Query,
  Receipt,
  Site,
} from "../../src/lib/api/client.ts";
import { BadQuestion, answer } from "./engine.ts";
import { eventItem } from "./items.ts";
import { sendLines } from "./lines.ts";
import { listsOf } from "./lists.ts";
import { PLACES } from "./places.ts";
import { listReceipts, makeReceipts, permissionOf, verify } from "./receipts.ts";
import { NotOpen, Requests, retentionOf } from "./rights.ts";
import { type Visit, makeVisits } from "./visits.ts";

const DIST = fileURLToPath(new URL("../../dist/", import.meta.url));
export const PASSWORD = "correct horse battery";
export const EMAIL = "owner@shop.example";
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }
}

export interface MockOptions {
  now?: number;
  setupNeeded?: boolean;
  demo?: boolean;
  sites?: Site[];
  visits?: Visit[];
  signedIn?: boolean;
  outcomes?: Omit<Outcomes, "since">;
  /** Restarts of the server, each named in answers whose range it is in. */
  restarts?: string[];
  /** Kinds of further pixels that each site has. */
  kinds?: string[];
  /** Visitors of every range are recognised and anonymous ones. */
  mixed?: boolean;
}

export function makeSite(id: string, name: string, domain: string): Site {
  return {
    id,
    name,
    domain,
    timezone: "UTC",
    currency: "EUR",
    hosts: [],
    privacy: {
      policy: "regional",
      gpc: "ads",
      retention: { events: null, people: null, mail_choices: null },
    },
    created_at: "2026-01-01T00:00:00Z",
  };
}

const OUTCOMES: Omit<Outcomes, "since"> = {
  received: 14_902,
  outcomes: {
    accepted: 14_519,
    duplicate: 214,
    "dropped:opted_out": 61,
    "dropped:policy": 80,
    "rejected:unknown_key": 19,
    "rejected:origin": 6,
    "rejected:too_old": 3,
  },
  bots: {
    "declared:googlebot": 802,
    "declared:gptbot": 311,
    headless: 120,
    missing_user_agent: 44,
  },
} as Omit<Outcomes, "since">;

/** The mock, and what a test may do to it. */
export class Mock {
  readonly visits: Visit[];
  readonly sites: Site[];
  readonly pixels = new Map<string, Pixel[]>();
  /** Site → when its identity secret was made. */
  readonly secrets = new Map<string, string>();
  readonly asked: Query[] = [];
  readonly requests: string[] = [];
  readonly receipts: Receipt[];
  readonly rights: Requests;
  /** What a verification of the receipts comes to. */
  soundReceipts = true;
  setupNeeded: boolean;
  signedIn: boolean;
  demo: boolean;
  /** While set, questions wait for it: a slow network. */
  gate: Promise<void> | undefined;
  /** While set, questions fail with this status. */
  failing: number | undefined;
  origin = "";
  readonly now: number;
  #restarts: string[];
  #mixed: boolean;
  #outcomes: Omit<Outcomes, "since">;
  #server: Server;
  #live = new Map<string, Set<ServerResponse>>();
  #test: ServerResponse | undefined;
  #keys = 0;

  constructor(options: MockOptions = {}) {
    this.now = options.now ?? Date.now();
    this.visits = options.visits ?? makeVisits(this.now);
    this.receipts = this.visits.length > 0 ? makeReceipts(this.now) : [];
    this.rights = new Requests(this.now, this.visits.length > 0);
    this.sites = options.sites ?? [makeSite("1", "Stone & Linen", "shop.example")];
    this.setupNeeded = options.setupNeeded ?? false;
    this.signedIn = options.signedIn ?? true;
    this.demo = options.demo ?? false;
    this.#restarts = options.restarts ?? [];
    this.#mixed = options.mixed ?? false;
    this.#outcomes = options.outcomes ?? OUTCOMES;
    for (const site of this.sites) {
      this.pixels.set(
        site.id,
        this.visits.length > 0
          ? [
              this.#makePixel("Main site", "web", ""),
              ...(options.kinds ?? []).map((kind) => this.#makePixel(`Our ${kind}`, kind, "")),
            ]
          : [],
      );
    }
    for (const pixel of [...this.pixels.values()].flat()) {
      pixel.status = "receiving";
      pixel.first_event_at = new Date(this.now - 40 * 86_400_000).toISOString();
      pixel.last_event_at = new Date(this.now - 9_000).toISOString();
      pixel.events_24h = 412;
    }
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((done) => this.#server.listen(port, "127.0.0.1", done));
    this.origin = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #makePixel(name: string, kind: string, url: string): Pixel {
    const key = `k${this.#keys++}_${kind}`;
    const address = `https://cairn.shop.example/cairn.js?key=${key}`;
    return {
      key,
      name,
      kind,
      url,
      status: "waiting",
      cross_site_cookies: "none",
      settings: {
        clicks: false,
        forms: false,
        not_found: false,
        scroll: true,
        search: false,
        sections: false,
        vitals: false,
        banner: false,
        links: false,
        hash_routes: false,
        consent_managers: [],
        download_extensions: [],
        search_parameters: [],
      },
      snippet:
        kind === "web"
          ? `<script defer src="${address}"></script>`
          : `<img src="https://cairn.shop.example/p.gif?key=${key}" alt="" width="1" height="1">`,
      noscript:
        kind !== "web"
          ? null
          : `<noscript><img src="https://cairn.shop.example/p.gif?key=${key}" alt=""></noscript>`,
      first_event_at: null,
      last_event_at: null,
      events_24h: 0,
      created_at: new Date(this.now).toISOString(),
    } as Pixel;
  }

  /** A visit arrives: it is stored, counted, and announced to whoever listens. */
  arrive(siteId: string, page: string): void {
    const at = this.now;
    const values = {
      ...this.visits.at(-1)?.values,
      "visit:bot": "false",
      "visit:source": "Google",
    };
    this.visits.push({
      visitor: `new${this.visits.length}`,
      hits: [{ at, page, event: "pageview" }],
      bot: false,
      deeds: [],
      values,
    });
    const pixel = this.pixels.get(siteId)?.[0];
    if (pixel) {
      pixel.status = "receiving";
      pixel.first_event_at ??= new Date(at).toISOString();
      pixel.last_event_at = new Date(at).toISOString();
      pixel.events_24h += 1;
    }
    const item = eventItem(page, at, pixel?.key ?? "");
    for (const response of this.#live.get(siteId) ?? []) {
      response.write(`event: event\ndata: ${JSON.stringify(item)}\n\n`);
      response.write(`event: visitors\ndata: {"visitors_now":${24}}\n\n`);
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.origin);
    try {
      if (!url.pathname.startsWith("/api/")) return await this.#file(url.pathname, response);
      this.requests.push(`${request.method} ${url.pathname}`);
      if (request.method !== "GET" && request.headers["cairn-request"] !== "dashboard") {
        throw new Refusal(403, "csrf", "The header Cairn-Request is missing.");
      }
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString();
      const body = (text ? JSON.parse(text) : {}) as Record<string, string>;
      await this.#api(`${request.method} ${url.pathname}`, body, url, response);
    } catch (cause) {
      const known = cause instanceof Refusal ? cause : undefined;
      const status = known?.status ?? (cause instanceof BadQuestion ? 400 : 500);
      const { code = "bad", message = String(cause), field } = known ?? {};
      this.#send(response, status, { error: { code, message, ...(field ? { field } : {}) } });
    }
  }

  async #file(path: string, response: ServerResponse): Promise<void> {
    const wanted = normalize(path).replace(/^\/+/, "");
    const file = extname(wanted) ? wanted : "index.html";
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    const content = await readFile(join(DIST, file)).catch(() => undefined);
    response.writeHead(content ? 200 : 404, {
      "Content-Type": type,
      "Content-Security-Policy": POLICY,
      "X-Content-Type-Options": "nosniff",
    });
    response.end(content);
  }

  #send(response: ServerResponse, status: number, body?: unknown): void {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  }

  async #api(
    route: string,
    body: Record<string, string>,
    url: URL,
    response: ServerResponse,
  ): Promise<void> {
    const ok = (value: unknown, status = 200) => this.#send(response, status, value);
    switch (route) {
      case "GET /api/v1/session":
        return ok({
          user: this.signedIn ? { id: "u1", email: EMAIL } : null,
          setup_needed: this.setupNeeded,
          demo: this.demo,
        });
      case "POST /api/v1/setup":
        if (body["token"] !== "setup-token")
          throw new Refusal(403, "bad_token", "This link is not valid.");
        if (body["email"]?.endsWith("@taken.example")) {
          throw new Refusal(422, "invalid", "This address cannot be used.", "email");
        }
        this.setupNeeded = false;
        this.signedIn = true;
        return ok({ user: { id: "u1", email: body["email"] } }, 201);
      case "POST /api/v1/session":
        if (
          body["token"] !== "one-time" &&
          (body["email"] !== EMAIL || body["password"] !== PASSWORD)
        ) {
          throw new Refusal(401, "wrong_credentials", "The e-mail or the password is wrong.");
        }
        this.signedIn = true;
        return ok({ user: { id: "u1", email: EMAIL } }, 201);
    }
    if (!this.signedIn) throw new Refusal(401, "unauthorized", "Sign in first.");
    switch (route) {
      case "DELETE /api/v1/session":
        this.signedIn = false;
        return ok(undefined, 204);
      case "GET /api/v1/sites":
        return ok({ items: this.sites, next: null });
      case "POST /api/v1/sites":
        return ok(this.#addSite(body), 201);
      case "GET /api/v1/places":
        return ok({ items: PLACES });
      case "POST /api/v2/query":
        return ok(await this.#answer(body as unknown as Query));
      case "POST /api/v2/queries":
        return sendLines(response, body["queries"] as unknown as Query[], (question) =>
          this.#answer(question),
        );
    }
    const listed = listsOf(this.visits, this.now, route, body as never, url.searchParams);
    if (listed) return ok(listed);
    const [, of = "", asked = ""] =
      /\/api\/v1\/sites\/([^/]+)\/(identity-secret|cookies)$/.exec(url.pathname) ?? [];
    if (asked === "cookies") return ok(this.#cookies(of));
    if (asked) return this.#identity(route.split(" ")[0], of, response);
    const [, ofRights] = /\/api\/v1\/sites\/[^/]+\/rights(.*)$/.exec(url.pathname) ?? [];
    if (ofRights !== undefined)
      return this.#ofRights(route.split(" ")[0], ofRights, body, url.searchParams, response);
    if (url.pathname.endsWith("/retention")) return ok(retentionOf(this.sites[0]!, this.now));
    const [, id = "", rest = "", key = ""] =
      /^\w+ \/api\/v1\/sites\/([^/]+)(?:\/(\w+))?(?:\/(\w+))?(?:\/live-test)?(?:\/\w+)?$/.exec(
        route,
      ) ?? [];
    const site = this.sites.find((site) => site.id === id);
    if (!site) throw new Refusal(404, "not_found", "There is no such site.");
    const method = route.split(" ")[0];
    if (rest === "")
      return ok(this.#changeSite(site, method, body), method === "PATCH" ? 200 : 204);
    if (route.includes("/live-test")) return this.#liveTest(method, id, key, body, response);
    if (rest === "permission") return ok(permissionOf(this.receipts, url.searchParams));
    if (rest === "receipts") return this.#ofReceipts(key, url.searchParams, response);
    if (key === "activity") return ok(this.#activity(id, url.searchParams.get("period")));
    if (key !== "")
      return ok(this.#changePixel(id, key, method, body), method === "PATCH" ? 200 : 204);
    return this.#ofSite(`${method} ${rest}`, id, body, url, response);
  }

  #ofRights(
    method: string | undefined,
    path: string,
    body: Record<string, string>,
    asked: URLSearchParams,
    response: ServerResponse,
  ): void {
    const [, what = "", id = "", step = ""] = path.split("/");
    if (what === "") return this.#send(response, 200, this.rights.waiting);
    if (what === "find") return this.#send(response, 200, this.rights.found(body));
    if (id === "" && method === "POST") return this.#send(response, 201, this.rights.add(body));
    if (id === "") return this.#send(response, 200, this.rights.list(asked));
    const request = this.rights.look(id);
    if (!request) throw new Refusal(404, "not_found", "There is nothing here.");
    if (step === "") return this.#send(response, 200, request);
    if (step === "export") {
      response.writeHead(200, { "Content-Type": "application/octet-stream" });
      response.end(this.rights.export(request, asked.get("format") ?? "json"));
      return;
    }
    try {
      this.#send(response, 200, this.rights.act(request, step, body["reason"] ?? ""));
    } catch (cause) {
      if (cause instanceof NotOpen) throw new Refusal(409, "not_open", cause.message);
      throw cause;
    }
  }

  #ofReceipts(what: string, asked: URLSearchParams, response: ServerResponse): void {
    if (what === "verification")
      return this.#send(response, 200, verify(this.receipts, this.soundReceipts, this.now));
    const page = listReceipts(this.receipts, asked);
    if (what !== "export") return this.#send(response, 200, page);
    const type = asked.get("format") === "csv" ? "text/csv" : "application/x-ndjson";
    const next: Record<string, string> = page.next ? { "Cairn-Next": page.next } : {};
    response.writeHead(200, { "Content-Type": type, ...next });
    response.end(page.items.map((receipt) => `${receipt.receipt}\n`).join(""));
  }

  #identity(method: string | undefined, site: string, response: ServerResponse): void {
    if (method === "POST") this.secrets.set(site, new Date(this.now).toISOString());
    if (method === "DELETE") this.secrets.delete(site);
    const made_at = this.secrets.get(site) ?? null;
    if (method === "GET") return this.#send(response, 200, { made_at });
    if (method === "DELETE") return this.#send(response, 204);
    this.#send(response, 201, { made_at, secret: `ids_${this.#keys++}` });
  }

  #cookies(id: string): CookieReport {
    const host = this.sites.find((site) => site.id === id)?.domain ?? "";
    const practice = [
      { host, browser: "Firefox", days_min: 395, days_max: 395, why: "as set" },
      { host, browser: "Safari", days_min: 7, days_max: 395, why: "7 days behind a CNAME" },
    ];
    return {
      collector: `stats.${host}`,
      pages: [{ host, collector_is: "subdomain", sets_cookies: true }],
      cookies: [
        {
          name: "cairn_memory",
          kind: "cookie",
          purpose: "functional",
          holds: "a random number",
          set: "with permission for functional",
          lifetime_days: 395,
          attributes: "HttpOnly",
          pixels: ["Main site"],
          practice,
        },
      ],
      remembered: [],
      markdown: "## Cookies\n\n| `cairn_memory` |",
    };
  }

  async #answer(question: Query): Promise<Answer> {
    this.asked.push(question);
    await this.gate;
    if (this.failing)
      throw new Refusal(this.failing, "unavailable", "The store cannot be reached.");
    return this.#marked(answer(question, this.visits, this.now));
  }

  #marked(answer: Answer): Answer {
    const [from = "", to = ""] = answer.query["date_range"] as [string, string];
    const within = this.#restarts.filter((at) => at >= from && at <= to);
    if (within.length > 0) answer.meta.anonymous_restarts = within;
    if (this.#mixed) answer.meta.identification = "mixed";
    return answer;
  }

  #changeSite(site: Site, method: string | undefined, body: object): Site | undefined {
    if (method === "DELETE") {
      this.sites.splice(this.sites.indexOf(site), 1);
      return undefined;
    }
    const { privacy, ...patch } = body as Partial<Site>;
    const wrong = patch.hosts?.findIndex((host) => !host.includes(".")) ?? -1;
    if (wrong >= 0)
      throw new Refusal(422, "invalid", "The entry must be a host name.", `hosts[${wrong}]`);
    const unknown = Object.keys(privacy?.places ?? {}).find((code) => !/^[A-Z]{2,3}/.test(code));
    if (unknown !== undefined)
      throw new Refusal(
        422,
        "invalid_value",
        "A place is a country (DE), a part of one (US-CA), EEA, UK, other or unknown.",
        `privacy.places.${unknown}`,
      );
    Object.assign(site.privacy, privacy);
    return Object.assign(site, patch);
  }

  #changePixel(id: string, key: string, method: string | undefined, body: object): unknown {
    const pixels = this.pixels.get(id) ?? [];
    const pixel = pixels.find((pixel) => pixel.key === key);
    if (!pixel) throw new Refusal(404, "not_found", "There is no such pixel.");
    if (method === "DELETE") return void pixels.splice(pixels.indexOf(pixel), 1);
    const patch = body as Partial<Pixel>;
    if (patch.url && !patch.url.startsWith("http"))
      throw new Refusal(422, "invalid", "The URL must begin with http:// or https://.", "url");
    const wrong = patch.settings?.download_extensions.findIndex((ending) => !/^\w+$/.test(ending));
    if (wrong !== undefined && wrong >= 0)
      throw new Refusal(
        422,
        "invalid_value",
        "Endings of files have 1 to 10 letters or digits, such as pdf.",
        "settings.download_extensions",
      );
    return Object.assign(pixel, patch);
  }

  /** Events of each pixel: more by day than by night, none of one that never reported. */
  #activity(id: string, period: string | null): unknown {
    const [slots, step] = period === "30d" ? [30, 86_400_000] : [24, 3_600_000];
    const starts = Array.from({ length: slots }, (_, place) =>
      new Date(this.now - (this.now % step) - (slots - 1 - place) * step).toISOString(),
    );
    const items = (this.pixels.get(id) ?? []).map(({ key, events_24h }) => ({
      key,
      events: starts.map((_, place) =>
        events_24h === 0 ? 0 : Math.round(12 + 10 * Math.sin((place / slots) * 6)),
      ),
    }));
    return { period: period ?? "24h", starts, items };
  }

  #liveTest(
    method: string | undefined,
    id: string,
    key: string,
    body: object,
    response: ServerResponse,
  ): void {
    const pixel = this.pixels.get(id)?.find((pixel) => pixel.key === key);
    if (!pixel) throw new Refusal(404, "not_found", "There is no such pixel.");
    if (method === "GET") {
      response.writeHead(200, {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-store",
      });
      response.write("retry: 2000\n\n");
      this.#test = response;
      return;
    }
    const { url = "" } = body as { url?: string };
    if (url && !url.startsWith("http"))
      throw new Refusal(422, "invalid", "The URL must begin with http:// or https://.", "url");
    const hasPage = ["web", "image"].includes(pixel.kind);
    const code = "0123456789abcdef";
    this.#send(response, 201, {
      code,
      url: hasPage ? `${url || `${this.origin}/landing`}?cairn_test=${code}` : null,
      watches: hasPage ? "visit" : "pixel",
      expires_at: new Date(this.now + 300_000).toISOString(),
    });
  }

  /** Somebody follows a live test. */
  get isFollowed(): boolean {
    return this.#test !== undefined;
  }

  /** What the live test says next. */
  tell(name: "stage" | "nothing" | "end", data: object): void {
    this.#test?.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  #addSite(body: Record<string, string>): Site {
    if (!body["domain"]?.includes(".")) {
      throw new Refusal(422, "invalid", "A domain has at least one dot.", "domain");
    }
    const site = {
      ...makeSite(String(this.sites.length + 1), body["name"] ?? "", body["domain"]),
      ...body,
    };
    this.sites.push(site);
    this.pixels.set(site.id, []);
    return site;
  }

  #ofSite(
    route: string,
    id: string,
    body: Record<string, string>,
    url: URL,
    response: ServerResponse,
  ): void {
    const ok = (value: unknown, status = 200) => this.#send(response, status, value);
    switch (route) {
      case "GET pixels":
        return ok({ items: this.pixels.get(id), next: null });
      case "POST pixels": {
        const pixel = this.#makePixel(
          body["name"] ?? "",
          body["kind"] as string,
          body["url"] ?? "",
        );
        this.pixels.get(id)?.unshift(pixel);
        return ok(pixel, 201);
      }
      case "GET shares":
      case "GET goals":
      case "GET segments":
      case "GET annotations":
        return ok({ items: [], next: null });
      case "GET outcomes":
        return ok({ since: url.searchParams.get("since"), ...this.#outcomes });
      case "GET events": {
        const key = this.pixels.get(id)?.[0]?.key ?? "";
        const latest = this.visits
          .slice(-8)
          .flatMap((visit) => visit.hits.slice(0, 1))
          .reverse();
        return ok({ items: latest.map((hit) => eventItem(hit.page, hit.at, key)), next: null });
      }
      case "POST emails":
        if (body["html"]?.includes("<script"))
          throw new Refusal(422, "invalid_value", "The HTML could not be read.", "html");
        return ok(
          {
            open_url: "https://cairn.shop.example/o/AQAA.gif",
            html: body["html"] ? `<a href="https://cairn.shop.example/l/AQAB">See it</a>` : null,
            links: body["html"]
              ? [{ target: "https://shop.example/sale", url: "https://cairn.shop.example/l/AQAB" }]
              : [],
            left_alone: {
              as_asked: 0,
              not_web: 2,
              placeholder: 0,
              unsubscribes: 1,
              own: 0,
              unreadable: 0,
            },
            opens: body["recipient"] ? "individual" : "aggregate",
            clicks: "aggregate",
            expires_at: "2027-02-20T10:00:00Z",
          },
          201,
        );
      case "POST links":
        if (!body["url"]?.startsWith("http"))
          throw new Refusal(422, "invalid_value", "The URL must be absolute.", "url");
        return ok(
          {
            url: "https://cairn.shop.example/l/AQAC",
            target: body["url"],
            expires_at: "2027-02-20T10:00:00Z",
          },
          201,
        );
      case "POST ads": {
        const cost = (body as { cost?: { amount: string } }).cost;
        if (cost && !/^\d+(\.\d+)?$/.test(cost.amount))
          throw new Refusal(422, "invalid_value", "The amount must be a number.", "cost.amount");
        return ok(
          {
            impression_url: "https://cairn.shop.example/i/AQAD.gif",
            click_url: "https://cairn.shop.example/l/AQAE",
            tag: `<a href="%%CLICK_URL_UNESC%%https://cairn.shop.example/l/AQAE"></a>`,
            target: body["target"],
            expires_at: "2027-02-20T10:00:00Z",
          },
          201,
        );
      }
      case "GET live":
        return this.#listen(id, response);
      default:
        throw new Refusal(404, "no_such_route", "There is no such route.");
    }
  }

  #listen(id: string, response: ServerResponse): void {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.write(
      `event: visitors\ndata: {"visitors_now":${this.visits.length > 0 ? 23 : 0}}\n\n`,
    );
    const all = this.#live.get(id) ?? new Set();
    this.#live.set(id, all.add(response));
    response.on("close", () => all.delete(response));
  }

  /** How many pages listen to a site's live view. */
  listeners(id: string): number {
    return this.#live.get(id)?.size ?? 0;
  }
}
