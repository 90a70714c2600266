export interface Session {
  user: { id: string; email: string } | null;
  setup_needed: boolean;
  demo: boolean;
}
export interface Site {
  id: string;
  name: string;
  domain: string;
  timezone: string;
  currency: string;
  created_at: string;
}
export type PixelKind = "web" | "image" | "email" | "ad" | "server" | "app";
export interface Pixel {
  key: string;
  name: string;
  kind: PixelKind;
  url: string;
  status: "waiting" | "receiving" | "silent";
  snippet: string;
  noscript: string;
  first_event_at: string | null;
  last_event_at: string | null;
  events_24h: number;
}
export interface Outcomes {
  since: string;
  outcomes: Record<string, number>;
  bots: Record<string, number>;
  received: number;
}
export interface EventItem {
  event: string;
  timestamp: string;
  url: string;
  page: string;
  hostname: string;
  source: string;
  channel: string;
  geo: { country: string; region: string; city: string };
  device: { browser: string; os: string; type: string };
  bot: string;
  identification: string;
  pixel_key: string;
}
export type QueryFilter =
  [string, string, string[]] | [string, string, string[], { case_sensitive: boolean }];
export interface Query {
  site_id: string;
  metrics: string[];
  date_range: string | [string, string];
  dimensions?: string[];
  filters?: QueryFilter[];
  order_by?: [string, "asc" | "desc"][];
  include?: { time_labels?: boolean; total_rows?: boolean; comparisons?: { mode: string } };
  pagination?: { limit: number; offset: number };
}
export interface Row {
  dimensions: string[];
  metrics: (number | null)[];
  comparison?: { dimensions: string[]; metrics: (number | null)[]; change: (number | null)[] };
}
export interface Answer {
  results: Row[];
  meta: { time_labels?: string[]; total_rows?: number; [key: string]: unknown };
  query: { date_range: [string, string]; dimensions: string[]; [key: string]: unknown };
}
