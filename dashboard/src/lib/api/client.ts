// The API, as functions. Same origin, cookie session; every call that changes something carries the
// header that no foreign page can send without the server's leave.
import { t } from "../texts.ts";
import type {
  Answer,
  EventItem,
  Outcomes,
  Pixel,
  PixelKind,
  Query,
  Session,
  Site,
} from "./types.ts";

export type * from "./types.ts";

/** What the server said about a request that it did not fulfil; status 0: it was not reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field?: string,
    readonly help?: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

interface Page<T> {
  items: T[];
  next: string | null;
}

let onUnauthorized: () => void = () => {};

/** Called when a request finds that nobody is signed in any more. */
export function whenUnauthorized(handler: () => void): void {
  onUnauthorized = handler;
}

async function failure(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => undefined)) as
    { error?: { code?: string; message?: string; field?: string; help?: string } } | undefined;
  const { code = "unknown", message, field, help } = body?.error ?? {};
  return new ApiError(
    response.status,
    code,
    message ?? t.fail.unknown(response.status),
    field,
    help,
  );
}

async function call<T>(
  method: "GET" | "POST" | "PATCH" | "DELETE",
  path: string,
  options: { body?: unknown; signal?: AbortSignal | undefined; anonymous?: boolean } = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["Cairn-Request"] = "dashboard";
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const request: RequestInit = { method, headers, credentials: "same-origin" };
  if (options.body !== undefined) request.body = JSON.stringify(options.body);
  if (options.signal) request.signal = options.signal;
  let response: Response;
  try {
    response = await fetch(path, request);
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new ApiError(0, "unreachable", t.fail.network);
  }
  if (!response.ok) {
    if (response.status === 401 && !options.anonymous) onUnauthorized();
    throw await failure(response);
  }
  return (response.status === 204 ? undefined : await response.json()) as T;
}

const site = (id: string) => `/api/v1/sites/${encodeURIComponent(id)}`;

export const api = {
  session: () => call<Session>("GET", "/api/v1/session", { anonymous: true }),
  setup: (body: { token: string; email: string; password: string }) =>
    call<unknown>("POST", "/api/v1/setup", { body, anonymous: true }),
  signIn: (body: { email: string; password: string } | { token: string }) =>
    call<unknown>("POST", "/api/v1/session", { body, anonymous: true }),
  signOut: () => call<void>("DELETE", "/api/v1/session"),
  sites: () => call<Page<Site>>("GET", "/api/v1/sites"),
  addSite: (body: { name: string; domain: string; timezone: string; currency: string }) =>
    call<Site>("POST", "/api/v1/sites", { body }),
  pixels: (id: string, signal?: AbortSignal) =>
    call<Page<Pixel>>("GET", `${site(id)}/pixels`, { signal }),
  addPixel: (id: string, body: { name: string; kind: PixelKind; url?: string }) =>
    call<Pixel>("POST", `${site(id)}/pixels`, { body }),
  outcomes: (id: string, since: Date, signal?: AbortSignal) =>
    call<Outcomes>("GET", `${site(id)}/outcomes?since=${encodeURIComponent(since.toISOString())}`, {
      signal,
    }),
  events: (id: string, limit: number, signal?: AbortSignal) =>
    call<Page<EventItem>>("GET", `${site(id)}/events?limit=${limit}`, { signal }),
  liveAddress: (id: string) => `${site(id)}/live`,
  query: (body: Query, signal?: AbortSignal) =>
    call<Answer>("POST", "/api/v2/query", { body, signal }),
};
