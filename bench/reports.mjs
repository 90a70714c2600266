// Reports on a hundred million events of one site over two years, while more arrive.
//
//   node bench/reports.mjs [events, 100000000] [repetitions, 20] [directory to keep and to use again]
//
// Needs target/release/cairn, target/release/examples/by_hand and bench/offered (`make bench-reports` builds them). Events go
// in through the product's own import, and `cairn rebuild` sums up the days. Then the Overview is opened for 30 days and for
// 12 months, all of its questions at once, while 2,000 events a second arrive. Each question is also asked alone, and as SQL
// by hand of DuckDB over the rows of a copy of the same file, with the same threads and more memory; answers must be equal. With
// CAIRN_BENCH_PYTHON, a Python that has `chdb`, ClickHouse's engine is asked as well, on tables of its own.
// Fails when a p95 of the whole Overview, or the funnel's, is above its bound.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  assertEqual, assertNear, bytesIn, load, memory, offered, overview, percentile, processorMs, program, resetPeak, shown, startByHand, startCairn,
  startClickHouse, stop, timed,
} from "./asking.mjs";

const events = Number(process.argv[2] ?? 100_000_000);
const repetitions = Number(process.argv[3] ?? 20);
const kept = process.argv[4];
const python = process.env.CAIRN_BENCH_PYTHON;
const work = kept ?? mkdtempSync(join(tmpdir(), "cairn-reports-"));
const DAYS = 730;
const RATE = 2000;
const BY_HAND_REPETITIONS = 2;
const BY_HAND_MEMORY_MB = 3000;
const BOUNDS_MS = { 30: 300, 365: 1500 };
const FUNNEL_BOUND_MS = 1500;

function rebuild() {
  const data = join(work, "data");
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(program, ["rebuild", "--data", data], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  console.log(`rebuild       ${stdout.trim().replace("\n", ", ")}; ${((performance.now() - started) / 1000).toFixed(0)} s in all`);
  const [rollups, all] = ["store/rollups", "store"].map((name) => bytesIn(join(data, name)));
  console.log(`file          ${(all / events).toFixed(1)} bytes an event, of which ${(rollups / events).toFixed(1)} are rollups`);
}

/** Each question alone, and by hand of other engines. */
async function alone(server, engines, days, loaded) {
  const names = Object.keys(engines);
  const titles = names.map((name) => `${name.padStart(10)}  ratio`).join("  ");
  console.log(`${"question".padEnd(13)} ${"p50 ms".padStart(9)} ${"p95 ms".padStart(9)}  ${titles}`);
  const statements = names.map((name) => overview(loaded, days, name));
  for (const [index, question] of overview(loaded, days).entries()) {
    const times = [];
    let answer;
    for (let round = 0; round <= repetitions; round += 1) {
      const { value, ms } = await timed(() => server.api("POST", "/api/v2/query", JSON.stringify(question.body)));
      answer = value;
      if (round > 0) times.push(ms);
    }
    const p50 = percentile(times, 50);
    const peers = [];
    for (const [place, name] of names.entries()) {
      const plain = await byHand(engines[name], statements[place][index].sql);
      // ClickHouse rounds halves to even numbers.
      if (name === "duckdb") assertEqual(question, answer, plain.rows);
      else assertNear(question, answer, plain.rows);
      peers.push(`${plain.ms.toFixed(0).padStart(10)}  1/${(plain.ms / p50).toFixed(0)}`.padEnd(17));
    }
    console.log(`${question.name.padEnd(13)} ${shown(p50)} ${shown(percentile(times, 95))}  ${peers.join("  ")}`);
  }
}

/** The rows of each statement, and the milliseconds of all of them together: the best of some rounds. */
async function byHand(engine, statements) {
  let best;
  for (let round = 0; round < BY_HAND_REPETITIONS; round += 1) {
    const rows = [];
    let ms = 0;
    for (const sql of statements) {
      const part = await engine.ask(sql);
      rows.push(part.rows);
      ms += part.ms;
    }
    if (!best || ms < best.ms) best = { ms, rows };
  }
  return best;
}

/** All questions in one request, as an Overview that opens asks them. */
async function opened(server, set, days) {
  const times = [];
  resetPeak(server.pid);
  const before = processorMs(server.pid);
  for (let round = 0; round <= repetitions; round += 1) {
    const { ms } = await timed(() => server.lines("/api/v2/queries", JSON.stringify({ site_id: set[0].body.site_id, queries: set.map(({ body }) => body) })));
    if (round > 0) times.push(ms);
  }
  const spent = (processorMs(server.pid) - before) / (repetitions + 1);
  const p95 = percentile(times, 95);
  console.log(`Overview of ${days} days: p50 ${percentile(times, 50).toFixed(0)} ms, p95 ${p95.toFixed(0)} ms (at most ${BOUNDS_MS[days]}); ` +
    `processor time ${spent.toFixed(0)} ms with what arrives; peak memory ${memory(server.pid).peak.toFixed(0)} MB`);
  return p95 <= BOUNDS_MS[days];
}

async function funnel(server, { site }) {
  const steps = [{ page_path: "*" }, { page_path: "/products/*" }, { event_name: "add_to_cart" }, { page_path: "*" }, { event_name: "purchase" }];
  const body = { site_id: site, date_range: "30d", window_minutes: 7 * 24 * 60, steps: steps.map((condition) => ({ condition })) };
  const times = [];
  for (let round = 0; round <= Math.min(repetitions, 10); round += 1) {
    const { ms } = await timed(() => server.api("POST", "/api/v2/funnel", JSON.stringify(body)));
    if (round > 0) times.push(ms);
  }
  const p95 = percentile(times, 95);
  console.log(`funnel of five steps, 30 days: p50 ${percentile(times, 50).toFixed(0)} ms, p95 ${p95.toFixed(0)} ms (at most ${FUNNEL_BOUND_MS})`);
  return p95 <= FUNNEL_BOUND_MS;
}

async function main() {
  mkdirSync(work, { recursive: true });
  let server;
  try {
    if (!existsSync(join(work, "loaded.json"))) {
      server = await startCairn(work);
      await load(server, work, events, DAYS);
      await stop(server);
    }
    const loaded = JSON.parse(readFileSync(join(work, "loaded.json"), "utf8"));
    if (!process.env.CAIRN_BENCH_KEEP_ROLLUPS) rebuild();
    const engines = { duckdb: startByHand(work, BY_HAND_MEMORY_MB) };
    if (python) {
      engines.clickhouse = await startClickHouse(work, engines.duckdb, python, BY_HAND_MEMORY_MB);
      const size = bytesIn(join(work, "clickhouse/clickhouse")) / events;
      console.log(`ClickHouse    took ${(engines.clickhouse.loadedMs / 1000).toFixed(0)} s to load; ${size.toFixed(1)} bytes an event with the columns asked for`);
    }
    server = await startCairn(work);
    console.log(`start         ${memory(server.pid).now.toFixed(0)} MB resident on ${loaded.events} events`);
    for (const days of Object.keys(BOUNDS_MS).map(Number)) {
      console.log(`\n${days} days, each question alone`);
      await alone(server, engines, days, loaded);
    }
    for (const engine of Object.values(engines)) await engine.end();
    console.log(`\nwhile ${RATE} events a second arrive`);
    const load = await offered(server, loaded.site, RATE, 600);
    const held = [];
    for (const days of Object.keys(BOUNDS_MS).map(Number)) held.push(await opened(server, overview(loaded, days), days));
    held.push(await funnel(server, loaded));
    load.kill("SIGTERM");
    if (held.includes(false)) process.exitCode = 1;
  } finally {
    if (server) await stop(server);
    if (!kept) rmSync(work, { recursive: true, force: true });
  }
}

await main();
