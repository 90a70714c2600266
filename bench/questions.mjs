// The Overview's questions on ten million events, over HTTP, beside the same questions as SQL written by hand.
//
//   node bench/questions.mjs [events, 10000000] [repetitions, 25] [directory to keep and to use again]
//
// Needs target/release/cairn and target/release/examples/by_hand (`cargo build --release -p cairn_store --example by_hand`).
// The events go in through the product's own import. Then the program answers over HTTP, and DuckDB answers hand-written
// statements on a copy of the same file with the same memory and threads, in turns, so that whatever else the machine does
// hits both. Every answer must be equal. It fails when the ratio of the p95 of the whole set is above 1.2.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DAY_MS, assertEqual, bytesIn, load, memory, overview, percentile, processorMs, resetPeak, shown, startByHand, startCairn, stop, timed } from "./asking.mjs";

const events = Number(process.argv[2] ?? 10_000_000);
const repetitions = Number(process.argv[3] ?? 25);
const kept = process.argv[4];
const work = kept ?? mkdtempSync(join(tmpdir(), "cairn-questions-"));
const DAYS = 62;
const RATIO_MAX = 1.2;
/** Both sides read the rows. */
const NO_ROLLUPS = { CAIRN_STORE__ROLLUP_EVENTS_MIN: "1000000000000" };

/** Each question in turns over HTTP and by hand; the whole set is one after the other. */
async function inTurns(server, hand, set) {
  const times = new Map(set.map(({ name }) => [name, { asked: [], hand: [] }]));
  const whole = { asked: [], hand: [] };
  const pids = { asked: server.pid, hand: hand.pid };
  let before;
  for (let round = 0; round <= repetitions; round += 1) {
    const sums = { asked: 0, hand: 0 };
    if (round === 1) before = { asked: processorMs(pids.asked), hand: processorMs(pids.hand) };
    for (const question of set) {
      const viaHttp = () => timed(() => server.api("POST", "/api/v2/query", JSON.stringify(question.body)));
      const first = round % 2 === 0 ? await viaHttp() : undefined;
      const rows = [];
      let handMs = 0;
      for (const sql of question.sql) {
        const answer = await hand.ask(sql);
        rows.push(answer.rows);
        handMs += answer.ms;
      }
      const { value, ms } = first ?? (await viaHttp());
      assertEqual(question, value, rows);
      sums.asked += ms;
      sums.hand += handMs;
      // The first round warms both up.
      if (round > 0) times.get(question.name).asked.push(ms);
      if (round > 0) times.get(question.name).hand.push(handMs);
    }
    if (round > 0) whole.asked.push(sums.asked);
    if (round > 0) whole.hand.push(sums.hand);
  }
  times.set("whole set", whole);
  console.log(`\n${"question".padEnd(13)} ${"p50 ms".padStart(9)} ${"p95 ms".padStart(9)} ${"hand p50".padStart(9)} ${"hand p95".padStart(9)}  ratio p50   p95`);
  for (const [name, { asked, hand: byHand }] of times) {
    const of = (percent) => percentile(asked, percent) / percentile(byHand, percent);
    console.log(`${name.padEnd(13)} ${shown(percentile(asked, 50))} ${shown(percentile(asked, 95))} ${shown(percentile(byHand, 50))} ${shown(percentile(byHand, 95))}  ${of(50).toFixed(2).padStart(9)} ${of(95).toFixed(2).padStart(5)}`);
  }
  const spent = (side) => (processorMs(pids[side]) - before[side]) / repetitions;
  console.log(`processor time for the whole set: ${spent("asked").toFixed(0)} ms, by hand ${spent("hand").toFixed(0)} ms: ratio ${(spent("asked") / spent("hand")).toFixed(2)}`);
  return percentile(whole.asked, 95) / percentile(whole.hand, 95);
}

/** Everything that an opening Overview asks, at once, by some viewers at the same time. */
async function atOnce(server, set, { site }, viewers) {
  const since = new Date(Date.now() - DAY_MS).toISOString();
  const open = () => Promise.all([
    ...set.map((question) => server.api("POST", "/api/v2/query", JSON.stringify(question.body))),
    server.api("GET", `/api/v1/sites/${site}/outcomes?since=${since}`),
    server.api("GET", `/api/v1/sites/${site}/events?limit=20`),
  ]);
  const times = [];
  resetPeak(server.pid);
  for (let round = 0; round < Math.ceil(repetitions / viewers); round += 1) {
    const opened = await Promise.all(Array.from({ length: viewers }, () => timed(open)));
    times.push(...opened.map(({ ms }) => ms));
  }
  const peak = memory(server.pid).peak.toFixed(0);
  console.log(`Overview opened by ${viewers}: p50 ${percentile(times, 50).toFixed(0)} ms, p95 ${percentile(times, 95).toFixed(0)} ms until the last answer; peak memory ${peak} MB`);
}

/** What else reads the events of a site. */
async function others(server, { site }) {
  const since = new Date(Date.now() - DAY_MS).toISOString();
  for (const path of ["pixels", `outcomes?since=${since}`, "events?limit=20"]) {
    const times = [];
    for (let round = 0; round <= repetitions; round += 1) {
      const { ms } = await timed(() => server.api("GET", `/api/v1/sites/${site}/${path}`));
      if (round > 0) times.push(ms);
    }
    console.log(`GET …/${path.split("?")[0].padEnd(9)} p50 ${percentile(times, 50).toFixed(1)} ms, p95 ${percentile(times, 95).toFixed(1)} ms`);
  }
}

async function main() {
  mkdirSync(work, { recursive: true });
  let server = await startCairn(work, NO_ROLLUPS);
  try {
    if (!existsSync(join(work, "loaded.json"))) await load(server, work, events, DAYS);
    await stop(server);
    const loaded = JSON.parse(readFileSync(join(work, "loaded.json"), "utf8"));
    const size = bytesIn(join(work, "data/store"));
    console.log(`file          ${(size / 1e6).toFixed(0)} MB in the store: ${(size / loaded.events).toFixed(1)} bytes an event`);
    const hand = startByHand(work);
    server = await startCairn(work, NO_ROLLUPS);
    console.log(`start         ${memory(server.pid).now.toFixed(0)} MB resident on ${loaded.events} events`);
    const set = overview(loaded);
    const ratio = await inTurns(server, hand, set);
    await hand.end();
    console.log(`peak memory of the server so far ${memory(server.pid).peak.toFixed(0)} MB\n`);
    await others(server, loaded);
    await atOnce(server, set, loaded, 1);
    await atOnce(server, set, loaded, 4);
    console.log(`\nratio of the whole set's p95 to SQL by hand: ${ratio.toFixed(2)} (at most ${RATIO_MAX})`);
    if (ratio > RATIO_MAX) process.exitCode = 1;
  } finally {
    await stop(server);
    if (!kept) rmSync(work, { recursive: true, force: true });
  }
}

await main();
