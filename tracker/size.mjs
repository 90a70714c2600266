// Fails when the tracker grows past what a page should pay for it.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** What every page pays, in bytes of brotli. */
const CORE_SIZE_BYTES_MAX = 2050;
/** What a part costs the pages whose settings ask for it. */
const PART_SIZE_BYTES_MAX = 1228;
/** The banner; with its words in one language, which the server sends, it may cost 4,096. */
const BANNER_SIZE_BYTES_MAX = 2048;

/** Bytes as they are, and packed by gzip and brotli at their best. */
export function measure(bytes) {
  const brotli = brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });
  return [bytes.length, gzipSync(bytes, { level: 9 }).length, brotli.length];
}

export function row(name, ...cells) {
  console.log(name.padEnd(22) + cells.map((cell) => String(cell).padStart(8)).join(" "));
}

export function checkSize() {
  const dist = new URL("dist/", import.meta.url);
  const script = readFileSync(new URL("cairn.js", dist));
  const parts = readdirSync(new URL("cairn/", dist)).sort();
  const check = (name, bytes, limit) => {
    const sizes = measure(bytes);
    row(name, ...sizes, limit);
    if (sizes[2] > limit) {
      console.error(`${name} is ${sizes[2] - limit} bytes over its limit`);
      process.exitCode = 1;
    }
  };
  row("", "raw", "gzip", "brotli", "limit");
  check("core", script, CORE_SIZE_BYTES_MAX);
  const scroll = parts.find((name) => name.startsWith("scroll-"));
  const settings = `({"scroll":{"src":"cairn/${scroll}"}})`;
  const served = script.toString("utf8").replace(/\(\{\}\)$/, () => settings);
  check("core for a new pixel", Buffer.from(served), CORE_SIZE_BYTES_MAX);
  for (const name of parts) {
    const bytes = readFileSync(new URL(`cairn/${name}`, dist));
    const part = name.split("-")[0];
    check(`part ${part}`, bytes, part === "banner" ? BANNER_SIZE_BYTES_MAX : PART_SIZE_BYTES_MAX);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) checkSize();
