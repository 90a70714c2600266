// Prints the compressed size of each file of dist/, and fails when the sum is above the budget.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET = 450 * 1024;
let sum = 0;
for (const entry of readdirSync("dist", { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  const size = gzipSync(readFileSync(path), { level: 9 }).length;
  sum += size;
  console.log(`${String(size).padStart(8)}  ${path}`);
}
console.log(`${String(sum).padStart(8)}  bytes together, of ${BUDGET}`);
if (sum > BUDGET) process.exitCode = 1;
