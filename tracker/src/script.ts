// The tracker of Cairn as a script. Each key of a page has its own; loading one again adds nothing.
// It reads and writes neither cookies nor storage before analytics was granted.

import { start } from "./commands";
import { warn } from "./event";
import type { Settings } from "./settings";

/** The settings of the key, which the collector writes behind the script. */
declare const SETTINGS: Settings;

const script = document.currentScript as HTMLScriptElement | null;
if (script?.src) {
  const data = script.dataset;
  const source = new URL(script.src);
  const key = data["key"] || source.searchParams.get("key");
  if ("hash" in data) SETTINGS.hash_routes = true;
  if (key) start(key, (data["host"] || source.origin).replace(/\/$/, "") + "/e", SETTINGS);
  else warn("?key=");
}
