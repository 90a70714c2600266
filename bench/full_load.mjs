// The highest offered rate at which nothing is refused and rows are never later than two seconds, and how the server does
// when it is held: acknowledgement, time until a hit is counted in reports, memory.
//
//   node bench/full_load.mjs [seconds to hold it, 60] [seconds of one step, 8]
//
// Rates are offered open loop (bench/offered): a late answer does not slow the load down. The load, the questions of the
// probe and the server share this machine's cores, so the rate is a lower bound of what the server alone can take.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuSeconds, domain, memory, metric, root, settled, startCairn, stop, accepted } from "./server.mjs";

const holdSeconds = Number(process.argv[2] ?? 60);
const stepSeconds = Number(process.argv[3] ?? 8);
const trySeconds = 60;
const connections = 64;
const rateFirst = 3000;
const rateMax = 200_000;
const lagMaxMs = 2000;
const probePauseMs = 250;
const work = mkdtempSync(join(tmpdir(), "cairn-bench-"));
let nextSeed = Math.floor(Date.now() / 1000);

function offered(cairn, rate, seconds) {
  return new Promise((resolve, reject) => {
    const child = spawn(join(root, "bench/offered/target/release/bench_offered"),
      [`127.0.0.1:${cairn.port}`, cairn.key, domain, rate, connections, seconds, nextSeed++].map(String));
    let text = "";
    let complaint = "";
    child.stdout.on("data", (part) => { text += part; });
    child.stderr.on("data", (part) => { complaint += part; });
    child.on("error", reject);
    child.on("close", (code) => (code ? reject(new Error(complaint)) : resolve(JSON.parse(text))));
  });
}

/** Looks at the lag until `done.is`; tells the worst. */
async function watchLag(cairn, done) {
  let worst = 0;
  while (!done.is) {
    worst = Math.max(worst, await metric(cairn, "cairn_apply_lag_milliseconds"));
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return worst;
}

/** Sends a hit with a page of its own now and then, and asks until a report counts it. Milliseconds from acknowledgement. */
async function watchVisible(cairn, done) {
  const times = [];
  const origin = `http://127.0.0.1:${cairn.port}`;
  for (let number = 0; !done.is; number += 1) {
    const page = `/probe/${nextSeed}-${number}`;
    const query = new URLSearchParams({ key: cairn.key, url: `https://${domain}${page}` });
    const answer = await fetch(`${origin}/p.gif?${query}`, { headers: { "accept-language": "de", "user-agent":
      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "sec-fetch-dest": "image" } });
    await answer.arrayBuffer();
    if (answer.headers.get("cairn-outcome") !== "accepted") continue;
    const acknowledged = performance.now();
    const at = Date.now();
    const range = [at - 60_000, at + 60_000].map((ms) => new Date(ms).toISOString().replace(/\.\d+Z/, "Z"));
    for (;;) {
      const { results } = await cairn.api("POST", "/api/v2/query", { site_id: domain, metrics: ["events"],
        date_range: range, filters: [["is", "event:page", [page]]] });
      if (results[0]?.metrics[0] > 0) break;
      if (performance.now() - acknowledged > 60_000) throw new Error("a hit is not in the reports after a minute");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    times.push(performance.now() - acknowledged);
    await new Promise((resolve) => setTimeout(resolve, probePauseMs));
  }
  return times.sort((a, b) => a - b);
}

/** One load with its watchers; `held` says whether the server kept up. */
async function run(cairn, rate, seconds, withProbe) {
  const done = { is: false };
  const before = await accepted(cairn);
  const cpuBefore = cpuSeconds(cairn.pids);
  const watchers = Promise.all([watchLag(cairn, done), withProbe ? watchVisible(cairn, done) : []]);
  const seen = await offered(cairn, rate, seconds).finally(() => { done.is = true; });
  const [lagMs, visible] = await watchers;
  await settled(cairn, before, seen.accepted);
  const cpu = (cpuSeconds(cairn.pids) - cpuBefore) / seen.accepted * 1e6;
  const inTime = seen.seconds <= seconds * 1.03 + 0.5;
  const held = seen.unavailable + seen.other === 0 && lagMs < lagMaxMs && inTime;
  const p = (share) => visible[Math.min(visible.length - 1, Math.floor(visible.length * share))] ?? 0;
  console.log(`${rate}/s for ${seconds} s: ${held ? "held" : "not held"}; ${seen.accepted} acknowledged, ${seen.unavailable} told to come again,`
    + ` ${seen.other} refused; from the due instant p50 ${seen.p50_ms} ms, p99 ${seen.p99_ms} ms; lag at most ${lagMs} ms; ${cpu.toFixed(1)} us CPU a hit`
    + (inTime ? "" : `; the load took ${seen.seconds} s`)
    + (withProbe ? `; visible p50 ${p(0.5).toFixed(0)} ms, p99 ${p(0.99).toFixed(0)} ms (${visible.length} probes)` : ""));
  return held;
}

const cairn = await startCairn(work);
try {
  console.log(`idle: ${memory(cairn.child.pid).now.toFixed(0)} MB`);
  let best = 0;
  for (let rate = rateFirst; rate <= rateMax; rate = Math.round(rate * 1.3 / 100) * 100) {
    if (!(await run(cairn, rate, stepSeconds, false))) break;
    best = rate;
  }
  if (!best) throw new Error(`not even ${rateFirst}/s is held`);
  // A rate is held for a minute before it is held for the whole time: those that are too high show it soon.
  let rate = best;
  const lower = () => { rate = Math.round(rate * 0.9 / 100) * 100; };
  for (;;) {
    while (!(await run(cairn, rate, Math.min(holdSeconds, trySeconds), true)) && rate > rateFirst / 2) lower();
    if (holdSeconds <= trySeconds || rate <= rateFirst / 2 || await run(cairn, rate, holdSeconds, true)) break;
    lower();
  }
  console.log(`memory: ${memory(cairn.child.pid).peak.toFixed(0)} MB at most (300 are wanted)`);
  await stop(cairn);
} finally {
  cairn.child.kill("SIGTERM");
  rmSync(work, { recursive: true, force: true });
}
