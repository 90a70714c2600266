// Bundles what the server embeds: the script, and the parts that it loads where a key's settings ask
// for them; and the module for npm. Then holds all of it to its size.
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { checkSize } from "./size.mjs";

const common = {
  bundle: true,
  format: "esm",
  target: "es2021",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};
const parts = readdirSync(new URL("src/parts/", import.meta.url)).sort();

rmSync(new URL("dist/", import.meta.url), { recursive: true, force: true });
await build({
  ...common,
  entryPoints: ["src/script.ts"],
  outfile: "dist/cairn.js",
  // The settings are the last words of the file, where the server writes those of the key.
  define: { SETTINGS: "$" },
  banner: { js: "($=>{" },
  footer: { js: "})({})" },
});
const script = new URL("dist/cairn.js", import.meta.url);
writeFileSync(script, readFileSync(script, "utf8").replaceAll("\n", ""));
await build({
  ...common,
  entryPoints: parts.map((name) => `src/parts/${name}`),
  outdir: "dist/cairn",
  // The name changes with the content: browsers may keep a part for ever.
  entryNames: "[name]-[hash]",
});
// For npm: left readable, since whoever takes it packs it anyway.
await build({
  ...common,
  minify: false,
  entryPoints: ["src/module.ts"],
  outfile: "module/module.js",
});
checkSize();
