// The tracker as a module from npm: what its package holds, and that it does what the script does.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { came, collector, namesUntilMarker, open, page, partRuns, warned } from "./rig.mjs";

const tracker = fileURLToPath(new URL("../tracker/", import.meta.url));

test("the package holds the module, its types and a page to read", () => {
  // What is packed was built by `make`; building it here would pull it away under the other tests.
  const packed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: tracker,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ name, files }] = JSON.parse(packed);
  assert.equal(name, "cairn-tracker");
  assert.deepEqual(files.map(({ path }) => path).sort(), [
    "README.md",
    "module/module.d.ts",
    "module/module.js",
    "package.json",
  ]);
});

test("where there is no browser, importing and calling it does nothing", async () => {
  const { cairn, start } = await import("../tracker/module/module.js");
  start({ key: "k1", host: "http://stats.shop.test" });
  cairn("event", "sign_up");
  assert.equal(globalThis.cairn, undefined);
});

const useModule = (host) => `<script type="module">
  import { cairn, start } from "/module.js";
  cairn("consent", { analytics: "granted" });
  start({ key: "k1", host: "${host}/" });
  cairn("event", "sign_up", { props: { plan: "pro" } });
  start({ key: "k2", host: "${host}" });
</script>`;

test("the module reports what the script would, with the parts of its settings", async () => {
  collector.settings.k1 = { clicks: {}, hash_routes: true };
  collector.page("/", { head: "", body: `${useModule(collector.origin)}<button id="buy">Buy</button>` });
  await open("/#/tents");
  await came("sign_up");
  assert.deepEqual(collector.names(), ["page_view", "sign_up"]);
  const [{ url, envelope }, signUp] = collector.events;
  assert.equal(url, `${collector.site}/#/tents`);
  assert.equal(envelope.body.consent.analytics, "granted");
  assert.deepEqual(signUp.props, { plan: "pro" });
  await partRuns("clicks");
  await page.click("#buy");
  await came("click");
  assert.deepEqual(await namesUntilMarker(), ["page_view", "sign_up", "click"]);
  await warned(/k2/);
});

test("the module beside the script with the same key counts once", async () => {
  collector.page("/", { body: useModule(collector.origin) });
  await open("/");
  await came("sign_up");
  assert.deepEqual(await namesUntilMarker(), ["page_view", "sign_up"]);
});

test("a module that cannot have its settings reports page views all the same", async () => {
  await page.route("**/cairn.json*", (route) => route.abort());
  collector.page("/", { head: "", body: useModule(collector.origin) });
  await open("/");
  await came("sign_up");
  assert.deepEqual(await namesUntilMarker(), ["page_view", "sign_up"]);
});
