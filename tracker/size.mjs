// Fails when the tracker grows past what a page should pay for it.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** What every page pays, in bytes of brotli. */
const CORE_SIZE_BYTES_MAX = 2050;
/** What a part costs the pages whose settings ask for it. */
const PART_SIZE_BYTES_MAX = 1228;

function measure(path) {
  const file = readFileSync(new URL(`dist/${path}`, import.meta.url));
  const brotli = brotliCompressSync(file, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: file.length,
    },
  });
  return { raw: file.length, gzip: gzipSync(file, { level: 9 }).length, brotli: brotli.length };
}

export function checkSize() {
  const parts = readdirSync(new URL("dist/cairn/", import.meta.url)).sort();
  const files = ["cairn.js", ...parts.map((name) => `cairn/${name}`)];
  const row = (...cells) =>
    console.log(cells.map((cell, at) => (at ? String(cell).padStart(8) : cell.padEnd(22))).join(""));
  row("", "raw", "gzip", "brotli", "limit");
  for (const path of files) {
    const { raw, gzip, brotli } = measure(path);
    const limit = path === "cairn.js" ? CORE_SIZE_BYTES_MAX : PART_SIZE_BYTES_MAX;
    row(path.replace(/^cairn\/|-[^-]+(?=\.js$)/g, ""), raw, gzip, brotli, limit);
    if (brotli > limit) {
      console.error(`${path} is ${brotli - limit} bytes over its limit`);
      process.exitCode = 1;
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) checkSize();
