// Prints what the scripts of others cost, measured as our own is: `npm run rivals`. Fetches their
// packages from npm into a directory that is removed again; no part of a build or a test.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transform } from "esbuild";
import { checkSize, measure, row } from "./size.mjs";

const RIVALS = [
  ["Plausible", "@plausible-analytics/tracker@0.4.6", "plausible.js"],
  ["Rybbit", "@rybbit/js@0.6.2", "dist/index.mjs"],
  ["PostHog", "posthog-js@1.449.2", "dist/array.js"],
];

checkSize();
const directory = mkdtempSync(join(tmpdir(), "cairn-rivals-"));
try {
  for (const [name, version, path] of RIVALS) {
    const packed = execFileSync("npm", ["pack", "--silent", version], {
      cwd: directory,
      encoding: "utf8",
    });
    const file = execFileSync("tar", ["-xzOf", packed.trim(), `package/${path}`], {
      cwd: directory,
      maxBuffer: 1 << 26,
    });
    // Some ship what is meant to be minified by others: the smaller form counts.
    const { code } = await transform(file.toString("utf8"), { minify: true, legalComments: "none" });
    const forms = [measure(file), measure(Buffer.from(code))];
    row(name, ...forms.sort((a, b) => a[2] - b[2])[0], version);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
