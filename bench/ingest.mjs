// CPU time of the whole server process per acknowledged hit, divided by nginx's per logged hit, in one run.
//
//   node bench/ingest.mjs [seconds per run, 20] [rounds, 2]
//
// Needs nginx and wrk (Debian: apt-get install nginx-light wrk). nginx answers with its empty_gif module and writes its
// access log; Cairn answers after the event is on disk, and its CPU time is read when every row is in the store.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accepted, bytesByPart, cpuSeconds, domain, freePort, memory, root, settled, startCairn, stop } from "./server.mjs";

const seconds = Number(process.argv[2] ?? 20);
const rounds = Number(process.argv[3] ?? 2);
const work = mkdtempSync(join(tmpdir(), "cairn-bench-"));
let nextSeed = Math.floor(Date.now() / 1000) % 10_000_000;

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

const nginx = await startNginx();
const cairn = await startCairn(work);
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
  await stop(cairn);
  const mean = results.reduce((sum, result) => sum + result.ratio, 0) / results.length;
  console.log(`ratio, mean of ${results.length} runs: ${mean.toFixed(2)} (at most 2.0 is wanted)`);
  console.log(`memory: ${idle.toFixed(0)} MB idle, ${peak.toFixed(0)} MB at most (60 and 300 are wanted)`);
  const { total: bytes, parts } = bytesByPart(cairn.data);
  const each = (part) => (part / total).toFixed(1);
  console.log(`on disk: ${each(bytes)} bytes an event after ${total} events, all files (90 are wanted):`
    + Object.entries(parts).filter(([, part]) => part / total >= 0.05).map(([name, part]) => ` ${name} ${each(part)}`).join(","));
} finally {
  nginx.child.kill("SIGTERM");
  cairn.child.kill("SIGTERM");
  rmSync(work, { recursive: true, force: true });
}
