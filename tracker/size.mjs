// Fails when the tracker grows past what a page should pay for it.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const LIMIT_BYTES = 2560;

export function checkSize() {
  const file = readFileSync(new URL("dist/cairn.js", import.meta.url));
  const brotli = brotliCompressSync(file, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: file.length,
    },
  }).length;
  const gzip = gzipSync(file, { level: 9 }).length;
  console.log(
    `cairn.js: ${file.length} bytes, ${gzip} gzip, ${brotli} brotli (limit ${LIMIT_BYTES})`,
  );
  if (brotli > LIMIT_BYTES) {
    console.error(`cairn.js is ${brotli - LIMIT_BYTES} bytes over its limit`);
    process.exit(1);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) checkSize();
