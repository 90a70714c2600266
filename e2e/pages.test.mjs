// The demo shop's files by themselves: up to date, complete, and asking nobody else for anything.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = new URL("../demo/", import.meta.url);
const site = new URL("site/", root);
const pages = readdirSync(site).filter((name) => name.endsWith(".html"));

test("the pages are what the catalogue says", () => {
  execFileSync(process.execPath, [fileURLToPath(new URL("build.mjs", root)), "--check"]);
  assert.equal(pages.length, 12);
});

for (const name of pages) {
  test(`${name}: snippet, language, title, and only files that are there`, () => {
    const html = readFileSync(new URL(name, site), "utf8");
    assert.match(html, /<html lang="en">/);
    assert.match(html, /<title>[^<]{8,}<\/title>/);
    assert.match(html, /<script async src="\/cairn\.js\?key=__CAIRN_KEY__"><\/script>/);
    assert.match(html, /<noscript><img src="\/p\.gif\?key=__CAIRN_KEY__"/);
    assert.equal(html.match(/<h1\b/g)?.length, name === "thanks.html" ? 2 : 1);
    assert.doesNotMatch(html, /<img(?![^>]*\balt=)/, "every picture has its text");
    const ids = [...html.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, ids.length, "ids are unique");
    for (const [, address] of html.matchAll(/\b(?:href|src)="([^"]*)"/g)) {
      assert.doesNotMatch(address, /^(?:[a-z]+:)?\/\//i, "no other host");
      if (address.startsWith("/") || address.startsWith("#")) continue;
      const file = address.split(/[?#]/)[0];
      assert.ok(file === "./" || existsSync(new URL(file, site)), `${address} is missing`);
    }
  });
}

test("styles, scripts and drawings name no other host", () => {
  const files = readdirSync(site, { recursive: true }).filter((name) => /\.(css|js|svg)$/.test(name));
  assert.ok(files.length >= 16);
  for (const name of files) {
    const text = readFileSync(new URL(name, site), "utf8");
    assert.doesNotMatch(text.replaceAll("http://www.w3.org/2000/svg", ""), /https?:\/\//, name);
  }
});
