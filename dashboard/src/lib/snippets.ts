// How a pixel is installed, in the forms that people use.
import type { Pixel } from "./api/client.ts";

export type SnippetTab =
  | "html"
  | "manager"
  | "react"
  | "noscript"
  | "mail"
  | "api"
  | "curl"
  | "node"
  | "segment"
  | "ios"
  | "android";

const TABS: Record<string, SnippetTab[]> = {
  web: ["html", "manager", "react", "noscript"],
  image: ["html", "manager", "react"],
  email: ["mail", "api"],
  ad: ["html", "api"],
  server: ["curl", "node", "segment"],
  app: ["ios", "android", "curl"],
};

/** An attribute's text out of the server's own snippet. */
function attribute(snippet: string, name: string): string {
  const text = new RegExp(`\\b${name}="([^"]+)"`).exec(snippet)?.[1] ?? "";
  return text.replaceAll("&quot;", '"').replaceAll("&amp;", "&");
}

/** Where the server is reached, as its own snippet says it. */
export function originOf(pixel: Pixel): string {
  return /https?:\/\/[^/"'\s<>]+/.exec(pixel.snippet)?.[0] ?? "";
}

function react(address: string): string {
  return `import { useEffect } from "react";

export function Cairn() {
  useEffect(() => {
    window.cairn ||= function () {
      (window.cairn.q ||= []).push(arguments);
    };
    const script = document.createElement("script");
    script.src = ${JSON.stringify(address)};
    script.async = true;
    document.head.append(script);
    return () => script.remove();
  }, []);
  return null;
}`;
}

/** The page is named by the component: browsers tell an image only its origin. */
function reactImage(address: string): string {
  const joined = `${address}${address.includes("?") ? "&" : "?"}url=`;
  return `import { useEffect, useState } from "react";

export function CairnPixel() {
  const [page, setPage] = useState("");
  useEffect(() => setPage(encodeURIComponent(window.location.href)), []);
  if (!page) return null;
  return <img src={${JSON.stringify(joined)} + page} alt="" width={1} height={1} />;
}`;
}

/** A text as one word of a shell; what the shell must fill in stands outside of the quotes. */
function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function apiCall(origin: string, siteId: string, path: string, body: object): string {
  return `curl -X POST ${origin}/api/v1/sites/${siteId}/${path} \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d ${shellWord(JSON.stringify(body, null, 2))}`;
}

function mailCall(pixel: Pixel, siteId: string): string {
  return apiCall(originOf(pixel), siteId, "emails", {
    campaign: "spring-sale",
    template: "short",
    recipient: { user_id: "customer-7", opens: "granted", clicks: "granted" },
    html: '<body><a href="https://shop.example/sale">See it</a></body>',
    pixel: pixel.key,
  });
}

function adCall(pixel: Pixel, siteId: string): string {
  return apiCall(originOf(pixel), siteId, "ads", {
    campaign: "spring-sale",
    creative: "banner-300x250",
    placement: "news-top",
    target: pixel.url || "https://shop.example/sale",
    cost: { amount: "2.50", currency: "EUR", per: "thousand_impressions" },
    ad_server: "none",
    pixel: pixel.key,
  });
}

function nodeServer(pixel: Pixel): string {
  return `// CAIRN_KEY=${pixel.key}
const answer = await fetch(${JSON.stringify(`${originOf(pixel)}/e`)}, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    key: process.env.CAIRN_KEY,
    consent: "analytics:granted",
    events: [
      {
        event: "purchase",
        event_id: "order-1001",
        user_id: "customer-7",
        order_id: "1001",
        value: 39.98,
        currency: "EUR",
      },
    ],
  }),
});
console.log(answer.status, await answer.json());`;
}

function segmentNode(pixel: Pixel): string {
  return `// npm install @segment/analytics-node; CAIRN_KEY=${pixel.key}
import { Analytics } from "@segment/analytics-node";

const analytics = new Analytics({
  writeKey: process.env.CAIRN_KEY,
  host: ${JSON.stringify(originOf(pixel))},
});
analytics.track({
  userId: "customer-7",
  event: "Order Completed",
  properties: { order_id: "1001", revenue: 39.98, currency: "EUR" },
});
await analytics.closeAndFlush();`;
}

/** The libraries for phones put https:// before the host themselves. */
function bareHost(pixel: Pixel): string {
  return `${originOf(pixel).replace(/^https?:\/\//, "")}/v1`;
}

function swift(pixel: Pixel): string {
  return `import Segment

let configuration = Configuration(writeKey: ${JSON.stringify(pixel.key)})
    .apiHost(${JSON.stringify(bareHost(pixel))})
    .cdnHost(${JSON.stringify(bareHost(pixel))})
    .trackApplicationLifecycleEvents(true)
let analytics = Analytics(configuration: configuration)
analytics.screen(title: "Home")`;
}

function kotlin(pixel: Pixel): string {
  return `import com.segment.analytics.kotlin.android.Analytics

val analytics = Analytics(${JSON.stringify(pixel.key)}, applicationContext) {
    apiHost = ${JSON.stringify(bareHost(pixel))}
    cdnHost = ${JSON.stringify(bareHost(pixel))}
    trackApplicationLifecycleEvents = true
}
analytics.screen("Home")`;
}

export function tabsOf(pixel: Pixel): SnippetTab[] {
  const tabs = TABS[pixel.kind] ?? ["html"];
  return tabs.filter((tab) => tab !== "noscript" || pixel.noscript);
}

export function snippetOf(pixel: Pixel, tab: SnippetTab, siteId: string): string {
  const isImage = pixel.kind === "image";
  const image = () => attribute(pixel.snippet, "src");
  switch (tab) {
    case "noscript":
      return pixel.noscript ?? "";
    case "react":
      return isImage ? reactImage(image()) : react(image());
    case "manager":
      // Tag Manager escapes a variable that stands in an image's address.
      return isImage ? `${image()}&url={{Page URL}}` : pixel.snippet;
    case "api":
      return pixel.kind === "email" ? mailCall(pixel, siteId) : adCall(pixel, siteId);
    case "node":
      return nodeServer(pixel);
    case "segment":
      return segmentNode(pixel);
    case "ios":
      return swift(pixel);
    case "android":
      return kotlin(pixel);
    default:
      return pixel.snippet;
  }
}

/** What a strict policy of the page must allow; nothing for kinds without a page. */
export function policyOf(pixel: Pixel): string {
  const origin = originOf(pixel);
  if (pixel.kind === "web") return `script-src ${origin}; connect-src ${origin}; img-src ${origin}`;
  return pixel.kind === "image" ? `img-src ${origin}` : "";
}
