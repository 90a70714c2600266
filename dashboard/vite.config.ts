// Builds the dashboard into dist/, which the server embeds and serves at `/`.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { worldMap } from "./scripts/world-map.ts";

/** Where `vite dev` finds the API: a running server, or the mock started by `npm run mock`. */
const api = process.env["CAIRN_ORIGIN"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [svelte(), worldMap()],
  build: {
    target: "es2022",
    // Everything is a same-origin file, so that a strict Content-Security-Policy needs no exception.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/api": api, "/demo": api } },
});
