// How a pixel is installed, in the forms that people use.
import type { Pixel } from "./api/client.ts";

export const SNIPPET_TABS = ["html", "manager", "react", "noscript"] as const;
export type SnippetTab = (typeof SNIPPET_TABS)[number];

/** The tracker's address out of the server's own snippet. */
function scriptAddress(snippet: string): string {
  return /\bsrc="([^"]+)"/.exec(snippet)?.[1]?.replaceAll("&amp;", "&") ?? "";
}

function react(snippet: string): string {
  return `import { useEffect } from "react";

export function Cairn() {
  useEffect(() => {
    const script = document.createElement("script");
    script.src = ${JSON.stringify(scriptAddress(snippet))};
    script.defer = true;
    document.head.append(script);
    return () => script.remove();
  }, []);
  return null;
}`;
}

export function tabsOf(pixel: Pixel): SnippetTab[] {
  if (pixel.kind !== "web") return ["html"];
  return SNIPPET_TABS.filter((tab) => tab !== "noscript" || pixel.noscript);
}

export function snippetOf(pixel: Pixel, tab: SnippetTab): string {
  if (tab === "noscript") return pixel.noscript ?? "";
  return tab === "react" ? react(pixel.snippet) : pixel.snippet;
}
