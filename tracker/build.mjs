// Bundles src/main.ts into the one file that the server embeds, then holds it to its size.
import { build } from "esbuild";
import { checkSize } from "./size.mjs";

await build({
  entryPoints: ["src/main.ts"],
  outfile: "dist/cairn.js",
  bundle: true,
  format: "iife",
  target: "es2018",
  minify: true,
  charset: "utf8",
  // The fields of a target are ours alone: nothing outside reads them, so they need no long names.
  mangleProps: /^(endpoint|queue|told|failures|pausedUntil|asked|stored)$/,
  legalComments: "none",
  logLevel: "warning",
});
checkSize();
