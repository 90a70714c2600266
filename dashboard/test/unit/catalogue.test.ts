// Every text that a reader sees is in the catalogue: no page or part writes words of its own.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { parse } from "svelte/compiler";

const SOURCE = new URL("../../src/", import.meta.url);
/** Attributes that are read aloud or shown. */
const SPOKEN = [
  "aria-label",
  "aria-description",
  "aria-placeholder",
  "title",
  "alt",
  "placeholder",
];
/** Properties of our own parts that are shown. */
const SHOWN = ["label", "hint", "lead", "action", "name", "none"];
// Codes of countries and names of formats are the same in every language.
const hasWords = (text: string) => /\p{L}{2,}/u.test(text.replace(/\b\p{Lu}{2,6}\b/gu, ""));

interface Node {
  type?: string;
  name?: string;
  data?: string;
  value?: unknown;
  [key: string]: unknown;
}

/** What a component says in words of its own. */
function* words(node: unknown, within = ""): Generator<string> {
  if (Array.isArray(node)) {
    for (const one of node) yield* words(one, within);
    return;
  }
  if (node === null || typeof node !== "object") return;
  const { type, name = "", data = "" } = node as Node;
  // What is code or looks says nothing by itself; a literal in an expression is looked at below.
  if (type === "Script" || type === "StyleSheet" || type === "StyleDirective") return;
  if (within === "code") return;
  if (type === "Text" && hasWords(data)) yield data.trim();
  if (type === "Attribute") {
    const isPart = /^[A-Z]/.test(within);
    const speaks = isPart ? SHOWN.includes(name) && name !== "name" : SPOKEN.includes(name);
    if (speaks) yield* literals((node as Node).value);
    return;
  }
  if (type === "ExpressionTag") {
    yield* literals((node as Node)["expression"]);
    return;
  }
  for (const [key, inner] of Object.entries(node)) {
    if (key !== "css" && key !== "instance" && key !== "module")
      yield* words(inner, type === "RegularElement" || type === "Component" ? name : within);
  }
}

/** Words written in an expression that is shown. */
function* literals(node: unknown): Generator<string> {
  if (Array.isArray(node)) {
    for (const one of node) yield* literals(one);
    return;
  }
  if (node === null || typeof node !== "object") return;
  const { type, value, data } = node as Node;
  if (type === "Text" && hasWords(String(data))) yield String(data);
  if (type === "Literal" && typeof value === "string" && / \p{L}{2,}|^\p{Lu}\p{Ll}/u.test(value))
    yield value;
  // Arguments and names of members are not shown as they stand.
  if (type === "CallExpression" || type === "MemberExpression") return;
  if (type === "BinaryExpression") return;
  for (const inner of Object.values(node)) yield* literals(inner);
}

test("no page or part writes words of its own", () => {
  const found: string[] = [];
  let files = 0;
  for (const folder of ["", "pages/", "parts/"]) {
    for (const file of readdirSync(new URL(folder, SOURCE))) {
      if (!file.endsWith(".svelte")) continue;
      files += 1;
      const text = readFileSync(new URL(folder + file, SOURCE), "utf8");
      const { fragment } = parse(text, { modern: true });
      for (const word of words(fragment)) found.push(`${folder}${file}: ${word}`);
    }
  }
  assert.ok(files > 50, `only ${files} files`);
  assert.deepEqual(found, []);
});

test("the check finds words in texts, attributes and expressions", () => {
  const of = (text: string) => [...words(parse(text, { modern: true }).fragment)];
  assert.deepEqual(of("<p>Hello there</p>"), ["Hello there"]);
  assert.deepEqual(of('<button aria-label="Close it">×</button>'), ["Close it"]);
  assert.deepEqual(of('<p>{open ? "Some words" : t.none}</p>'), ["Some words"]);
  assert.deepEqual(of('<Field label="Your name" name="user" />'), ["Your name"]);
  assert.deepEqual(of('<p class="quiet">{t.app.close} · {count}</p>'), []);
});
