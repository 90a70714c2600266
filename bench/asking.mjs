// What benchmarks of reports share: a server with many events, the Overview's questions, and the same as SQL by hand.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const token = "bench-token-0123456789-0123456789-0123";
export const program = process.env.CAIRN_BENCH_PROGRAM ?? join(root, "target/release/cairn");
const byHandProgram = process.env.CAIRN_BENCH_BY_HAND ?? join(root, "target/release/examples/by_hand");
export const DAY_MS = 86_400_000;
/** No summer time, and a half hour: days are easy by hand, and not those of UTC. */
const ZONE = "Asia/Kolkata";
const ZONE_MS = 19_800_000;
const TICK_MS = 10;
const IMPORT_SIZE_BYTES_MAX = 64 * 1024 * 1024;
/** Codes of the store's schema: event names, and the fields of texts (crates/cairn_store/src/schema.rs). */
const PAGE_VIEW = 9;
const ENGAGEMENT = 1;
const FIELD = { path: 2, source: 5, country: 13, device: 20 };
/** The defaults of `store.memory_size_bytes_max` and `store.threads`. */
const MEMORY_MB = 126;

/** Resident memory of a process, in megabytes: the peak since `resetPeak`, and now. */
export function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name) => Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / 1000;
  return { peak: of("VmHWM"), now: of("VmRSS") };
}

/** Processor milliseconds of a process so far, threads included: steadier than the clock on a busy machine. */
export function processorMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export function resetPeak(pid) {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

export function bytesIn(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesIn(join(path, name)), 0);
}

/** Serves the data in `work`, with settings of the environment besides. */
export async function startCairn(work, settings = {}) {
  const child = spawn(program, ["serve", "--data", join(work, "data"), "--listen", "127.0.0.1:0"], {
    env: { ...process.env, CAIRN_BOOTSTRAP_TOKEN: token, ...settings }, stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const found = line.match(/listening on http:\/\/[^:]+:(\d+)/);
      if (found) resolve(Number(found[1]));
    });
  });
  const asked = async (method, path, body, type) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method, body, headers: { authorization: `Bearer ${token}`, "content-type": type },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 500)}`);
    return text;
  };
  const api = async (method, path, body, type = "application/json") => JSON.parse(await asked(method, path, body, type));
  // An answer of many lines, each of which says whether it succeeded.
  const lines = async (path, body) => {
    const answers = (await asked("POST", path, body, "application/json")).trimEnd().split("\n").map((line) => JSON.parse(line));
    const failed = answers.find(({ status }) => status !== 200);
    if (failed) throw new Error(`${path}: ${JSON.stringify(failed).slice(0, 500)}`);
    return answers;
  };
  return { child, api, lines, pid: child.pid, port };
}

export function stop({ child }) {
  return new Promise((resolve) => {
    if (child.exitCode !== null) return resolve();
    child.once("exit", resolve);
    child.kill("SIGTERM");
  });
}

/** Sends `events` events of `days` days through the import, one call after the other; a thread makes the next lines meanwhile. */
export async function load(server, work, events, days) {
  const site = await server.api("POST", "/api/v1/sites", JSON.stringify({ name: "Bench", domain: "shop.example", timezone: ZONE }));
  const endMs = Date.now();
  const worker = new Worker(join(root, "bench/load/worker.mjs"), {
    workerData: { seed: 7, events, days, endMs, host: "shop.example", sizeBytes: IMPORT_SIZE_BYTES_MAX },
  });
  // One listener at a time: each one left over would keep its lines.
  const ask = async () => {
    worker.postMessage("next");
    const [lines] = await once(worker, "message");
    return lines;
  };
  let [accepted, bytes, importMs] = [0, 0, 0];
  for (let lines = await ask(); lines !== null;) {
    const following = ask();
    const started = performance.now();
    const result = await server.api("POST", `/api/v1/sites/${site.id}/import`, lines, "application/x-ndjson");
    importMs += performance.now() - started;
    if (result.rejected_count > 0) throw new Error(JSON.stringify(result.rejected[0]));
    accepted += result.accepted;
    bytes += lines.length;
    process.stderr.write(`\r${accepted} events`);
    lines = await following;
  }
  process.stderr.write("\n");
  if (accepted !== events) throw new Error(`${accepted} of ${events} events were accepted`);
  const rate = Math.round(accepted / (importMs / 1000));
  console.log(`load          ${accepted} events, ${(bytes / 1e9).toFixed(2)} GB of NDJSON, through POST …/import in ${(importMs / 1000).toFixed(0)} s: ${rate} events/s until queryable`);
  const peak = memory(server.pid).peak.toFixed(0);
  console.log(`              peak memory of the server ${peak} MB`);
  writeFileSync(join(work, "loaded.json"), JSON.stringify({ endMs, site: site.id, events }));
}

/** A program that answers a statement a line with a line. */
function startAnswering(command, words) {
  const child = spawn(command, words, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the statements by hand ended early");
    return JSON.parse(value);
  };
  const ask = (sql) => {
    child.stdin.write(`${JSON.stringify(sql)}\n`);
    return next();
  };
  const end = async () => {
    const ended = once(child, "exit");
    child.stdin.end();
    await ended;
  };
  return { next, ask, end, pid: child.pid };
}

/** Hand-written SQL, answered by DuckDB on a copy of the file. */
export function startByHand(work, memoryMb = MEMORY_MB) {
  const copy = join(work, "by-hand");
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy);
  for (const name of ["events.duckdb", "events.duckdb.wal"]) {
    const from = join(work, "data/store", name);
    if (existsSync(from)) copyFileSync(from, join(copy, name));
  }
  return startAnswering(byHandProgram, [join(copy, "events.duckdb"), String(memoryMb), String(availableParallelism())]);
}

/** The same with ClickHouse's engine, on tables of its own that have what the statements ask for. */
export async function startClickHouse(work, hand, python, memoryMb) {
  const directory = join(work, "clickhouse");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const columns = {
    events: "site_id, timestamp_ms, visitor_id, session_id, name, path, bot",
    sessions: "site_id, started_at_ms, ended_at_ms, visitor_id, pageviews, events, source, country, device, bot",
    texts: "site_id, field, code, text",
  };
  for (const [table, of] of Object.entries(columns)) {
    await hand.ask(`COPY (SELECT ${of} FROM ${table}) TO '${join(directory, table)}.parquet' (FORMAT parquet)`);
  }
  const engine = startAnswering(python, [join(root, "bench/chdb_by_hand.py"), directory, String(memoryMb), String(availableParallelism())]);
  const { loaded_ms: loadedMs } = await engine.next();
  return { ...engine, loadedMs };
}

const dayOf = (ms) => new Date(ms + ZONE_MS).toISOString().slice(0, 10);

/** How engines write a division of whole numbers. */
const DIVISION = { duckdb: (left, right) => `${left} // ${right}`, clickhouse: (left, right) => `intDiv(${left}, ${right})` };

/** The questions that the Overview asks when it opens, and what a person would write for each. */
export function overview({ endMs, site }, days = 30, engine = "duckdb") {
  const divided = DIVISION[engine];
  const lastDay = Math.floor((endMs + ZONE_MS) / DAY_MS);
  const until = (lastDay + 1) * DAY_MS - ZONE_MS;
  const now = [until - days * DAY_MS, until];
  const before = [until - 2 * days * DAY_MS, until - days * DAY_MS];
  const base = { site_id: site, date_range: [dayOf(now[0]), dayOf(until - 1)] };
  const compared = { comparisons: { mode: "previous_period" } };
  const stored = ([from, to]) => `site_id = ${site} AND timestamp_ms >= ${from} AND timestamp_ms < ${to} AND name <> ${ENGAGEMENT}`;
  const events = (range) => `${stored(range)} AND bot = 0`;
  const visits = ([from, to]) => `site_id = ${site} AND bot = 0 AND ended_at_ms >= ${from} AND started_at_ms < ${to}`;
  const seconds = `round(avg(abs(${divided("ended_at_ms", 1000)} - ${divided("started_at_ms", 1000)})))`;
  const bounced = "round(100.0 * count(*) FILTER (events = 1) / count(*))";
  const cards = (range) => `SELECT * FROM
    (SELECT count(DISTINCT visitor_id), count(DISTINCT session_id), count(*) FILTER (name = ${PAGE_VIEW}) FROM events WHERE ${events(range)}),
    (SELECT round(sum(pageviews) / count(*), 2), ${bounced}, ${seconds} FROM sessions WHERE ${visits(range)})`;
  const day = (column, range) => divided(`(${column} - ${range[0]})`, DAY_MS);
  const chart = (range) => `SELECT * FROM
    (SELECT ${day("timestamp_ms", range)} AS day, count(DISTINCT visitor_id), count(DISTINCT session_id), count(*) FILTER (name = ${PAGE_VIEW})
      FROM events WHERE ${events(range)} GROUP BY 1)
    LEFT JOIN (SELECT ${day("ended_at_ms", range)} AS day, ${bounced}, ${seconds}
      FROM sessions WHERE ${visits(range)} AND ended_at_ms < ${range[1]} GROUP BY 1) USING (day) ORDER BY 1`;
  const panel = (column, field, table, kept, limit, missing = "") => `SELECT CASE WHEN text = '' THEN '${missing}' ELSE text END AS label,
      visitors, round(100.0 * visitors / (SELECT count(DISTINCT visitor_id) FROM ${table} WHERE ${kept}), 1)
    FROM (SELECT ${column} AS code, count(DISTINCT visitor_id) AS visitors FROM ${table} WHERE ${kept} GROUP BY 1)
    JOIN (SELECT code, text FROM texts WHERE site_id IN (0, ${site}) AND field = ${field}) USING (code)
    ORDER BY 2 DESC, 1 LIMIT ${limit}`;
  const rows = (answer) => answer.results.map((row) => [...row.dimensions, ...row.metrics]);
  const ofPanel = (name, dimension, limit, sql) => ({
    name, sql: [sql], rows: (answer) => [rows(answer)],
    body: { ...base, filters: [], metrics: ["visitors", "percentage"], dimensions: [dimension], pagination: { limit, offset: 0 } },
  });
  return [
    {
      name: "cards",
      body: { ...base, filters: [], metrics: ["visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration"], include: compared },
      sql: [cards(now), cards(before)],
      rows: (answer) => [answer.results.map((row) => row.metrics), answer.results.map((row) => row.comparison.metrics)],
    },
    {
      name: "chart",
      body: { ...base, filters: [], metrics: ["visitors", "visits", "pageviews", "bounce_rate", "visit_duration"], dimensions: ["time:day"], include: { time_labels: true, ...compared } },
      sql: [chart(now), chart(before)],
      rows: (answer) => [answer.results.map((row, day) => [day, ...row.metrics]), answer.results.map((row, day) => [day, ...row.comparison.metrics])],
    },
    {
      name: "bots",
      body: { ...base, filters: [["is", "visit:bot", ["true", "false"]]], metrics: ["events"], dimensions: ["visit:bot"] },
      sql: [`SELECT if(bot = 0, 'false', 'true'), count(*) FROM events WHERE ${stored(now)} GROUP BY 1 ORDER BY 2 DESC`],
      rows: (answer) => [rows(answer)],
    },
    ofPanel("sources", "visit:source", 9, panel("source", FIELD.source, "sessions", visits(now), 9, "Direct / None")),
    ofPanel("pages", "event:page", 9, panel("path", FIELD.path, "events", events(now), 9)),
    ofPanel("countries", "visit:country", 300, panel("country", FIELD.country, "sessions", visits(now), 300)),
    ofPanel("devices", "visit:device", 9, panel("device", FIELD.device, "sessions", visits(now), 9)),
  ];
}

export function percentile(times, percent) {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * percent) / 100) - 1)];
}

export const shown = (ms) => ms.toFixed(1).padStart(9);

export async function timed(work) {
  const started = performance.now();
  const value = await work();
  return { value, ms: performance.now() - started };
}

export function assertEqual(question, asked, hand) {
  const [left, right] = [question.rows(asked), hand].map((rows) => JSON.stringify(rows));
  if (left !== right) throw new Error(`${question.name} differs:\n asked ${left.slice(0, 1500)}\n by hand ${right.slice(0, 1500)}`);
}

/** The same, but numbers may differ by one in a hundred: engines round halves differently. */
export function assertNear(question, asked, hand) {
  const near = (left, right) => left === right || (typeof left === "number" && Math.abs(left - right) <= Math.max(1, Math.abs(left) / 100));
  const [left, right] = [question.rows(asked), hand].map((lists) => lists.flat(2));
  const differing = left.findIndex((cell, index) => !near(cell, right[index]));
  if (left.length !== right.length || differing >= 0) throw new Error(`${question.name} differs at ${differing}: ${left[differing]}, ${right[differing]}`);
}

/** Hits that arrive at a rate, through a pixel of the site's own, until the process is ended or the seconds are over. */
export async function offered(server, site, rate, seconds) {
  const pixel = await server.api("POST", `/api/v1/sites/${site}/pixels`, JSON.stringify({ name: "Bench", kind: "web" }));
  const command = join(root, "bench/offered/target/release/bench_offered");
  const seed = Math.floor(Date.now() / 1000);
  const words = [`127.0.0.1:${server.port}`, pixel.key, "shop.example", rate, 16, seconds, seed].map(String);
  return spawn(command, words, { stdio: "ignore" });
}
