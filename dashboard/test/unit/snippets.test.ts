// What people paste elsewhere: every form of every kind, as it will be read there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import type { Pixel } from "../../src/lib/api/client.ts";
import { originOf, policyOf, snippetOf, tabsOf } from "../../src/lib/snippets.ts";
import { t } from "../../src/lib/texts.ts";

const ORIGIN = "https://stats.example:8443";
const IMAGE = `<img src="${ORIGIN}/p.gif?key=px_1" alt="" width="1" height="1">`;
const SNIPPETS: Record<string, string> = {
  web: `<script>window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)}</script>\n<script async src="${ORIGIN}/cairn.js?key=px_1"></script>`,
  image: IMAGE,
  email: `<img src="${ORIGIN}/p.gif?key=px_1&amp;event=email_open&amp;url=https%3A%2F%2Fshop.example" alt="">`,
  ad: `<img src="${ORIGIN}/p.gif?key=px_1&amp;event=ad_impression" alt="">`,
  server: `curl -X POST ${ORIGIN}/e -d '{"key":"px_1"}'`,
  app: `curl -X POST ${ORIGIN}/e -d '{"key":"px_1"}'`,
};

const pixel = (kind: string, more: Partial<Pixel> = {}) =>
  ({
    key: "px_1",
    kind,
    url: "",
    snippet: SNIPPETS[kind],
    noscript: kind === "web" ? `<noscript>${IMAGE}</noscript>` : null,
    ...more,
  }) as Pixel;

test("each kind has its forms, each form its text and its instruction", () => {
  const tabs = Object.fromEntries(Object.keys(SNIPPETS).map((kind) => [kind, tabsOf(pixel(kind))]));
  assert.deepEqual(tabs, {
    web: ["html", "manager", "react", "noscript"],
    image: ["html", "manager", "react"],
    email: ["mail", "api"],
    ad: ["html", "api"],
    server: ["curl", "node", "segment"],
    app: ["ios", "android", "curl"],
  });
  assert.deepEqual(tabsOf(pixel("web", { noscript: null })), ["html", "manager", "react"]);
  for (const kind of Object.keys(SNIPPETS)) {
    assert.equal(originOf(pixel(kind)), ORIGIN);
    for (const name of tabsOf(pixel(kind))) {
      const text = snippetOf(pixel(kind), name, "7");
      assert.ok(text.includes("stats.example:8443"), `${kind} ${name}: ${text}`);
      assert.ok(text.includes("px_1"), `${kind} ${name}: ${text}`);
      assert.ok(t.pixels.steps[kind]?.[name], `${kind} ${name} has no instruction`);
      assert.ok(t.pixels.tabs[name], `${name} has no name`);
    }
  }
});

test("addresses leave HTML as what they are", () => {
  const odd = pixel("web", {
    snippet: `<script async src="${ORIGIN}/cairn.js?key=a&amp;b=1"></script>`,
  });
  assert.match(snippetOf(odd, "react", "7"), /script\.src = "[^"]+\/cairn\.js\?key=a&b=1";/);
  const image = pixel("image");
  assert.equal(snippetOf(image, "manager", "7"), `${ORIGIN}/p.gif?key=px_1&url={{Page URL}}`);
  assert.ok(
    snippetOf(image, "react", "7").includes(`src={"${ORIGIN}/p.gif?key=px_1&url=" + page}`),
  );
  assert.ok(snippetOf(pixel("app"), "ios", "7").includes('.apiHost("stats.example:8443/v1")'));
});

test("calls of the API are words of a shell, and their bodies are JSON", () => {
  for (const [kind, path] of [
    ["email", "emails"],
    ["ad", "ads"],
  ] as const) {
    const call = snippetOf(
      pixel(kind, { url: "https://shop.example/it's?a=1&b=$(2)" }),
      "api",
      "7",
    );
    const words = execFileSync("sh", ["-c", call.replace(/^curl/, "printf '%s\\n'")], {
      env: { TOKEN: "secret" },
      encoding: "utf8",
    });
    assert.ok(words.includes(`${ORIGIN}/api/v1/sites/7/${path}\n`), words);
    assert.ok(words.includes("Authorization: Bearer secret\n"), words);
    const body = JSON.parse(words.slice(words.indexOf("\n-d\n") + 4)) as Record<string, unknown>;
    assert.equal(body["pixel"], "px_1");
    if (kind !== "ad") continue;
    assert.equal(body["target"], "https://shop.example/it's?a=1&b=$(2)");
    assert.equal(body["ad_server"], "none", "a click macro that nobody fills breaks the link");
  }
});

test("a strict policy is told for what stands in a page", () => {
  assert.equal(
    policyOf(pixel("web")),
    `script-src ${ORIGIN}; connect-src ${ORIGIN}; img-src ${ORIGIN}`,
  );
  assert.equal(policyOf(pixel("image")), `img-src ${ORIGIN}`);
  for (const kind of ["email", "ad", "server", "app"]) assert.equal(policyOf(pixel(kind)), "");
});
