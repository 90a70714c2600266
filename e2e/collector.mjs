// A collector that only records, and a web site beside it. Both answer on one loopback port; the
// host name tells them apart, so that the browser sees real origins:
//   shop.test           a site that the collector lists (cookies allowed)
//   stats.shop.test     the collector
//   stranger.test       a site that it does not list
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";

const dist = new URL("../tracker/dist/", import.meta.url);
const tracker = readFileSync(new URL("cairn.js", dist), "utf8");
/** Name of a part → where the collector serves it. */
const parts = Object.fromEntries(
  readdirSync(new URL("cairn/", dist)).map((file) => [file.split("-")[0], `cairn/${file}`]),
);

const GIF = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");

export class Collector {
  /** Every POST /e in order of arrival: {at, headers, origin, body, events, status}. */
  requests = [];
  /** Requests that should never come: preflights, unknown paths of the collector. */
  strays = [];
  /** Addresses of the parts that were loaded. */
  loads = [];
  /** Query of every GET /p.gif. */
  images = [];
  /** Paths of the sites' pages that were served. */
  served = [];
  /** Key → its settings, parts by name with their options. What is not here has none. */
  settings = {};
  /** path → {html, headers}; what the sites serve. */
  pages = new Map();
  /** query → what `GET /consent.json` answers; without it nobody asks for that. */
  asking = undefined;
  /** Queries of every `GET /consent.json`. */
  inquiries = [];
  /** (body, request) → {status, headers, report}, also later; undefined means 202. */
  answer = () => undefined;
  #waiting = new Set();

  static async start() {
    const collector = new Collector();
    collector.server = createServer((request, response) => {
      collector.#serve(request, response).catch((fault) => response.destroy(fault));
    });
    collector.server.listen(0, "127.0.0.1");
    await once(collector.server, "listening");
    collector.port = collector.server.address().port;
    collector.origin = `http://stats.shop.test:${collector.port}`;
    collector.site = `http://shop.test:${collector.port}`;
    collector.stranger = `http://stranger.test:${collector.port}`;
    return collector;
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }

  script(attributes = "", key = "k1") {
    return `<script async src="${this.origin}/cairn.js?key=${key}" ${attributes}></script>`;
  }

  /** Serves a page of the sites; a `head` that is left out loads the tracker. */
  page(path, { title = path, head = this.script(), body = "", headers = {}, status = 200 } = {}) {
    const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<link rel="icon" href="data:,">${head}</head><body>${body}</body></html>`;
    this.pages.set(path, { html, headers, status });
  }

  /** The settings of a key as the server writes them: parts with the address of their module. */
  settingsOf(key) {
    const written = Object.entries(this.settings[key] ?? {}).map(([name, options]) => [
      name,
      parts[name] ? { src: parts[name], ...options } : options,
    ]);
    return Object.fromEntries(written);
  }

  /** Where the collector serves a part. */
  part(name) {
    return `${this.origin}/${parts[name]}`;
  }

  /** Every event of every envelope so far, in order of arrival, with its envelope. */
  get events() {
    return this.requests.flatMap((request) =>
      request.events.map((event) => ({ ...event, envelope: request })),
    );
  }

  names(key) {
    return this.events
      .filter(({ envelope }) => !key || envelope.body.key === key)
      .map(({ event }) => event);
  }

  /** Waits until `condition(this)` holds; looks again at each request that arrives. */
  async until(condition, what) {
    if (condition(this)) return;
    await new Promise((resolve, reject) => {
      const look = () => {
        if (!condition(this)) return;
        clearTimeout(deadline);
        this.#waiting.delete(look);
        resolve();
      };
      const deadline = setTimeout(() => {
        this.#waiting.delete(look);
        const seen = this.requests.map(({ status, body }) => `${status} ${JSON.stringify(body)}`);
        reject(new Error(`never came: ${what ?? condition}\nseen:\n${seen.join("\n")}`));
      }, 15_000);
      this.#waiting.add(look);
    });
  }

  /** Waits until a page of the sites was asked for. */
  untilServed(path) {
    return this.until(({ served }) => served.includes(path), `a request for ${path}`);
  }

  async #serve(request, response) {
    const host = request.headers.host.split(":")[0];
    const { pathname, searchParams } = new URL(request.url, "http://any.test");
    if (host !== "stats.shop.test") return this.#servePage(pathname, response);
    if (request.method === "GET" && pathname === "/cairn.js") {
      const settings = JSON.stringify(this.settingsOf(searchParams.get("key")));
      const script = tracker.replace(/\(\{\}\)$/, () => `(${settings})`);
      response.writeHead(200, { "Content-Type": "text/javascript" }).end(script);
      return;
    }
    if (request.method === "GET" && pathname === "/p.gif") {
      this.images.push(Object.fromEntries(searchParams));
      response.writeHead(200, { "Content-Type": "image/gif" }).end(GIF);
      this.#arrived();
      return;
    }
    if (request.method === "GET" && pathname === "/cairn.json") {
      const headers = { "Content-Type": "application/json", "Access-Control-Allow-Origin": "*" };
      const settings = JSON.stringify(this.settingsOf(searchParams.get("key")));
      response.writeHead(200, headers).end(settings);
      return;
    }
    if (request.method === "GET" && pathname === "/consent.json" && this.asking) {
      const query = Object.fromEntries(searchParams);
      this.inquiries.push({ ...query, headers: request.headers });
      const headers = {
        "Content-Type": "application/json",
        "Access-Control-Allow-Origin": request.headers.origin ?? "*",
        "Access-Control-Allow-Credentials": "true",
      };
      const answer = JSON.stringify(this.asking(query));
      response.writeHead(200, headers).end(answer, () => this.#arrived());
      return;
    }
    if (request.method === "GET" && pathname === "/m") {
      const headers = { "Content-Type": "text/javascript", "Access-Control-Allow-Origin": "*" };
      response.writeHead(200, headers).end(readFileSync(new URL(parts.memory, dist)));
      return;
    }
    if (request.method === "GET" && Object.values(parts).includes(pathname.slice(1))) {
      this.loads.push(pathname.slice(1));
      const headers = { "Content-Type": "text/javascript", "Access-Control-Allow-Origin": "*" };
      response.writeHead(200, headers).end(readFileSync(new URL(pathname.slice(1), dist)));
      return;
    }
    if (request.method !== "POST" || pathname !== "/e") {
      this.strays.push(`${request.method} ${request.url}`);
      response.writeHead(404).end();
      return;
    }
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    await this.#collect(request, JSON.parse(Buffer.concat(chunks).toString("utf8")), response);
  }

  /** Something came: whoever waits looks again. */
  #arrived() {
    for (const look of [...this.#waiting]) look();
  }

  #servePage(pathname, response) {
    if (pathname === "/module.js") {
      const module = readFileSync(new URL("../tracker/module/module.js", import.meta.url));
      response.writeHead(200, { "Content-Type": "text/javascript" }).end(module);
      return;
    }
    const page = this.pages.get(pathname);
    response
      .writeHead(page ? (page.status ?? 200) : 404, { "Content-Type": "text/html; charset=utf-8", ...page?.headers })
      .end(page?.html);
    this.served.push(pathname);
    this.#arrived();
  }

  async #collect(request, body, response) {
    const origin = request.headers.origin;
    const listed = origin === this.site;
    const at = Date.now();
    const given = (await this.answer(body, request)) ?? {};
    const status = given.status ?? 202;
    const { headers: sent } = request;
    this.requests.push({ at, headers: sent, origin, body, events: body.events, status });
    const headers = {
      "Content-Type": "application/json",
      "Access-Control-Allow-Origin": listed ? origin : "*",
      "Access-Control-Expose-Headers": "Retry-After, Cairn-Outcome",
      ...given.headers,
    };
    if (listed) headers["Access-Control-Allow-Credentials"] = "true";
    if (listed && body.consent?.analytics === "granted") {
      headers["Set-Cookie"] = "cairn_id=test; HttpOnly; SameSite=Lax; Path=/";
    }
    const report = given.report ?? { accepted: body.events.length, duplicate: 0, rejected: [] };
    response.writeHead(status, headers).end(JSON.stringify(report), () => this.#arrived());
  }
}
