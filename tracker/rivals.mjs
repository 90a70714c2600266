// Prints what the scripts of others cost, measured as our own is: `npm run rivals`. Fetches their
// packages from npm into a directory that is removed again; no part of a build or a test.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transform } from "esbuild";
import { checkSize, measure, row } from "./size.mjs";

/** Name, package, and the file in it that a page would load. */
const RIVALS = [
  // The newest on npm; releases since then are not published there.
  ["Umami 2.10", "umami@2.10.0", "src/tracker/index.js"],
  ["Plausible", "@plausible-analytics/tracker@0.4.6", "plausible.js"],
  ["Rybbit", "@rybbit/js@0.6.2", "dist/index.mjs"],
  ["OpenPanel", "@openpanel/web@1.4.1", "dist/src/tracker.global.js"],
  ["Snowplow", "@snowplow/browser-tracker@4.10.1", "dist/index.umd.min.js"],
  ["Segment", "@segment/analytics-next@1.84.3", "dist/umd/standalone.js"],
  ["PostHog", "posthog-js@1.449.2", "dist/array.js"],
];
/**
 * Those whose script no package holds (what npm has under their names loads it from the user's own
 * server): gzip and brotli as they were measured once, on the minified script of their newest release.
 */
const NOT_ON_NPM = [
  ["GoatCounter", 2189, 1852],
  ["Umami, newest", 2345, 2074],
  ["Rybbit, its script", 4679, 4170],
  ["Matomo", 21909, 19064],
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
  for (const [name, gzip, brotli] of NOT_ON_NPM) {
    row(name, "-", gzip, brotli, "not on npm: measured in November 2026");
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
