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
  legalComments: "none",
  logLevel: "warning",
});
checkSize();
