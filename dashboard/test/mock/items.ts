// A stored event of the mock.
import type { EventItem } from "../../src/lib/api/client.ts";

/** A page view as it is stored. */
export function eventItem(page: string, at: number, key: string): EventItem {
  return {
    event: "page_view",
    timestamp: new Date(at).toISOString(),
    url: `https://shop.example${page}`,
    page,
    hostname: "shop.example",
    visitor_id: "v",
    session_id: "s",
    source: "Google",
    channel: "Organic Search",
    utm: { source: "", medium: "", campaign: "", content: "", term: "" },
    geo: { country: "EE", region: "EE-37", city: "Tallinn" },
    device: { browser: "Firefox", os: "Linux", type: "Desktop" },
    bot: "",
    identification: "identified",
    why: {
      verdict: "full",
      rule: "sent_choice",
      policy: "",
      explanation: "The visitor's yes came with the event.",
      receipt: {
        receipt: 7,
        at: new Date(at - 60_000).toISOString(),
        choices: { analytics: "granted" },
        signal: "banner",
        version: "2026-11-a",
        language: "de",
      },
    },
    pixel_key: key,
    props: {},
    value: null,
    currency: "",
    order_id: "",
    section: null,
    engagement_ms: null,
    scroll_percent: null,
    title: "",
  } as unknown as EventItem;
}
