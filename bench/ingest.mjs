// CPU time of the whole server process per acknowledged hit, divided by nginx's per logged hit, in one run.
//
//   node bench/ingest.mjs [seconds per run, 20] [rounds, 2]
//
// Needs nginx and wrk (Debian: apt-get install nginx-light wrk). nginx answers with its empty_gif module and writes its
// access log; Cairn answers after the event is on disk, and its CPU time is read when every row is in the store.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const seconds = Number(process.argv[2] ?? 20);
const rounds = Number(process.argv[3] ?? 2);
const token = "bench-token-0123456789-0123456789-0123";
const domain = "shop.bench.example";
const work = mkdtempSync(join(tmpdir(), "cairn-bench-"));
/** Seconds that rows may take to reach the store after a load. */
const settleSecondsMax = 120;
let nextSeed = Math.floor(Date.now() / 1000) % 10_000_000;
const ticks = Number(spawnSync("getconf", ["CLK_TCK"]).stdout);

/** CPU seconds of these processes so far, threads included. */
function cpuSeconds(pids) {
  let sum = 0;
  for (const pid of pids) {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
    sum += (Number(fields[11]) + Number(fields[12])) / ticks;
  }
  return sum;
}

/** Peak and present resident memory, in megabytes. */
function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name) => Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / 1000;
  return { peak: of("VmHWM"), now: of("VmRSS") };
}

function bytesIn(directory) {
  let sum = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    sum += entry.isDirectory() ? bytesIn(path) : statSync(path).size;
  }
  return sum;
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function startNginx() {
  const port = await freePort();
  const configuration = join(work, "nginx.conf");
  writeFileSync(configuration, `
worker_processes 2;
daemon off;
pid ${work}/nginx.pid;
error_log ${work}/error.log;
events { worker_connections 2048; }
http {
  access_log ${work}/access.log;
  keepalive_requests 100000000;
  client_body_temp_path ${work}/body; proxy_temp_path ${work}/proxy; fastcgi_temp_path ${work}/fastcgi;
  uwsgi_temp_path ${work}/uwsgi; scgi_temp_path ${work}/scgi;
  server { listen 127.0.0.1:${port}; location = /p.gif { empty_gif; } }
}`);
  const child = spawn("nginx", ["-c", configuration], { stdio: "inherit" });
  await answers(`http://127.0.0.1:${port}/p.gif`);
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
  return { child, port, pids: [child.pid, ...children] };
}

async function startCairn() {
  const data = join(work, "data");
  const child = spawn(join(root, "target/release/cairn"), ["serve", "--data", data, "--listen", "127.0.0.1:0"], {
    env: { ...process.env, CAIRN_BOOTSTRAP_TOKEN: token, CAIRN_SERVER__HITS_PER_MINUTE_MAX: "0",
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

async function answers(url) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    try { await fetch(url); return; } catch { await new Promise((resolve) => setTimeout(resolve, 25)); }
  }
  throw new Error(`${url} does not answer`);
}

/** One load: what wrk saw. */
function load(port, connections, key) {
  return new Promise((resolve, reject) => {
    const child = spawn("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-s", join(root, "bench/hits.lua"), `http://127.0.0.1:${port}`],
      { env: { ...process.env, CAIRN_BENCH_KEY: key, CAIRN_BENCH_HOST: domain, CAIRN_BENCH_SEED: String(nextSeed++) } });
    let text = "";
    child.stdout.on("data", (part) => { text += part; });
    child.on("error", reject);
    child.on("close", () => {
      const requests = Number(text.match(/(\d+) requests in/)?.[1]);
      const bad = Number(text.match(/Non-2xx or 3xx responses: (\d+)/)?.[1] ?? 0);
      const rate = Number(text.match(/Requests\/sec:\s+([\d.]+)/)?.[1]);
      const p = (share) => text.match(new RegExp(`${share}%\\s+([\\d.]+\\w+)`))?.[1];
      resolve({ requests, bad, rate, p50: p(50), p99: p(99) });
    });
  });
}

/** Rows in the store. Ids that come again are a mistake of the load, and end the run. */
async function accepted(cairn) {
  const { outcomes } = await cairn.api("GET", `/api/v1/sites/${cairn.site}/outcomes`);
  if (outcomes.duplicate) throw new Error(`${outcomes.duplicate} ids came again`);
  return outcomes.accepted ?? 0;
}

/** Waits until every acknowledged hit is a row. */
async function settled(cairn, before, requests) {
  const until = Date.now() + settleSecondsMax * 1000;
  for (;;) {
    const now = await accepted(cairn);
    if (now - before >= requests) return now;
    if (Date.now() > until) throw new Error(`${requests - now + before} acknowledged hits are not in the store`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

const nginx = await startNginx();
const cairn = await startCairn();
const idle = memory(cairn.child.pid).now;
const results = [];
try {
  for (let round = 0; round < rounds; round += 1) {
    for (const connections of [64, 512]) {
      const nginxBefore = cpuSeconds(nginx.pids);
      const logged = await load(nginx.port, connections, cairn.key);
      const nginxMicros = ((cpuSeconds(nginx.pids) - nginxBefore) / logged.requests) * 1e6;
      const countBefore = await accepted(cairn);
      const cairnBefore = cpuSeconds(cairn.pids);
      const hits = await load(cairn.port, connections, cairn.key);
      const stored = (await settled(cairn, countBefore, hits.requests - hits.bad)) - countBefore;
      const cairnMicros = ((cpuSeconds(cairn.pids) - cairnBefore) / stored) * 1e6;
      results.push({ connections, nginxMicros, cairnMicros, ratio: cairnMicros / nginxMicros });
      console.log(`${connections} connections: nginx ${nginxMicros.toFixed(1)} us/hit (${logged.rate.toFixed(0)}/s, p50 ${logged.p50}, p99 ${logged.p99})`
        + ` | cairn ${cairnMicros.toFixed(1)} us/hit (${hits.rate.toFixed(0)}/s, p50 ${hits.p50}, p99 ${hits.p99}, ${hits.bad} refused)`
        + ` | ratio ${(cairnMicros / nginxMicros).toFixed(2)}`);
    }
  }
  const total = await accepted(cairn);
  const peak = memory(cairn.child.pid).peak;
  const exit = new Promise((resolve) => cairn.child.on("close", resolve));
  cairn.child.kill("SIGTERM");
  await exit;
  const mean = results.reduce((sum, result) => sum + result.ratio, 0) / results.length;
  console.log(`ratio, mean of ${results.length} runs: ${mean.toFixed(2)} (at most 2.0 is wanted)`);
  console.log(`memory: ${idle.toFixed(0)} MB idle, ${peak.toFixed(0)} MB at most (60 and 300 are wanted)`);
  console.log(`on disk: ${(bytesIn(cairn.data) / total).toFixed(1)} bytes an event after ${total} events, all files (90 are wanted)`);
} finally {
  nginx.child.kill("SIGTERM");
  cairn.child.kill("SIGTERM");
  rmSync(work, { recursive: true, force: true });
}
