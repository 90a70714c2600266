// What the benches share: starting Cairn on a free port with a site and a pixel, and reading what a process uses.
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const domain = "shop.bench.example";
const token = "bench-token-0123456789-0123456789-0123";
const ticks = Number(spawnSync("getconf", ["CLK_TCK"]).stdout);
/** Seconds that rows may take to reach the store after a load. */
const settleSecondsMax = 120;

/** CPU seconds of these processes so far, threads included. */
export function cpuSeconds(pids) {
  let sum = 0;
  for (const pid of pids) {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
    sum += (Number(fields[11]) + Number(fields[12])) / ticks;
  }
  return sum;
}

/** Peak and present resident memory, in megabytes. */
export function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name) => Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / 1000;
  return { peak: of("VmHWM"), now: of("VmRSS") };
}

export function bytesIn(directory) {
  let sum = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    sum += entry.isDirectory() ? bytesIn(path) : statSync(path).size;
  }
  return sum;
}

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** A server with an empty data directory below `work`. */
export async function startCairn(work) {
  const data = join(work, "data");
  const child = spawn(process.env.CAIRN_BENCH_PROGRAM ?? join(root, "target/release/cairn"), ["serve", "--data", data, "--listen", "127.0.0.1:0"], {
    env: { ...process.env, CAIRN_BOOTSTRAP_TOKEN: token, CAIRN_SERVER__HITS_PER_MINUTE_MAX: "0", CAIRN_LOGGING__LEVEL: process.env.CAIRN_BENCH_LEVEL ?? "warn",
      CAIRN_ENRICH__DATABASES: ["country.mmdb", "asn-ipv4.csv", "asn-ipv6.csv"].map((file) => join(root, "native/data", file)).join(",") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await new Promise((resolve) => {
    child.stdout.on("data", (text) => {
      const found = String(text).match(/listening on http:\/\/[^:]+:(\d+)/);
      if (found) resolve(Number(found[1]));
    });
  });
  const api = async (method, path, body) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method, body: body && JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
  const site = await api("POST", "/api/v1/sites", { name: "Bench", domain, timezone: "Europe/Berlin", privacy: { policy: "opt_out" } });
  const pixel = await api("POST", `/api/v1/sites/${site.id}/pixels`, { name: "Pages", kind: "web" });
  return { child, port, pids: [child.pid], data, api, site: site.id, key: pixel.key };
}

/** Rows in the store. Ids that come again are a mistake of the load, and end the run. */
export async function accepted(cairn) {
  const { outcomes } = await cairn.api("GET", `/api/v1/sites/${cairn.site}/outcomes`);
  if (outcomes.duplicate) throw new Error(`${outcomes.duplicate} ids came again`);
  return outcomes.accepted ?? 0;
}

/** Waits until every acknowledged hit is a row. */
export async function settled(cairn, before, requests) {
  const until = Date.now() + settleSecondsMax * 1000;
  for (;;) {
    const now = await accepted(cairn);
    if (now - before >= requests) return now;
    if (Date.now() > until) throw new Error(`${requests - now + before} acknowledged hits are not in the store`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** One number of `/metrics`. */
export async function metric(cairn, name) {
  const text = await (await fetch(`http://127.0.0.1:${cairn.port}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text();
  return Number(text.match(new RegExp(`^${name} (\\S+)`, "m"))?.[1]);
}

/** Ends the server in the ordinary way, and waits for it. */
export async function stop(cairn) {
  const exit = new Promise((resolve) => cairn.child.on("close", resolve));
  cairn.child.kill("SIGTERM");
  await exit;
}

/** Bytes of the data directory by what they are for; the log keeps prepared files, whatever the number of events. */
export function bytesByPart(data) {
  const parts = readdirSync(data).filter((name) => name !== "lock").map((name) => {
    const path = join(data, name);
    return [name, statSync(path).isDirectory() ? bytesIn(path) : statSync(path).size];
  });
  return { total: parts.reduce((sum, [, bytes]) => sum + bytes, 0), parts: Object.fromEntries(parts) };
}
