// The API, typed by the description that the server gives of itself (`npm run generate:api` writes
// schema.ts from it). Same origin, cookie session; every call that changes something carries the
// header that no foreign page can send without the server's leave.
import { t } from "../texts.ts";
import type { components, paths } from "./schema.ts";

type Schemas = components["schemas"];
/** What all rows of a question are written as. */
export type FileFormat = "csv" | "parquet";
export type Session = Schemas["Session"];
export type Site = Schemas["Site"];
export type Pixel = Schemas["Pixel"];
export type Place = Schemas["Place"];
export type NewIdentitySecret = Schemas["IdentitySecret"];
export type CookieReport = Schemas["CookieReport"];
export type Goal = Schemas["Goal"];
export type Segment = Schemas["Segment"];
export type Annotation = Schemas["Annotation"];
export type Outcomes = Schemas["Outcomes"];
export type EventItem = Schemas["Event"];
export type Visit = Schemas["Visit"];
export type Visitor = Schemas["Visitor"];
export type Person = Schemas["Person"];
export type PixelActivity = Schemas["PixelActivityBody"];
export type LiveTestStart = Schemas["LiveTest"];
export type Stage = Schemas["LiveTestStage"];
export type NewEmail = Schemas["NewEmailBody"];
export type Email = Schemas["Email"];
export type NewLink = Schemas["NewLinkBody"];
export type Link = Schemas["Link"];
export type Receipt = Schemas["Receipt"];
export type ReceiptsVerification = Schemas["ReceiptsVerification"];
export type Permission = Schemas["Permission"];
export type RightsRequest = Schemas["RightsRequest"];
export type WaitingRequests = Schemas["WaitingRequests"];
export type Found = Schemas["FoundBody"];
export type Erasure = Schemas["Erasure"];
export type Retention = Schemas["Retention"];
export type RetentionClass = Schemas["RetentionClass"];
export type CostFileRead = Schemas["CostFileRead"];
export type CostFile = Schemas["CostFile"];
export type RateList = Schemas["RateList"];
export type GoalList = Schemas["Page_Goal"];
export type StoredRates = Schemas["StoredRates"];
export type NewGoal = Schemas["NewGoalBody"];
export type GoalProgress = Schemas["GoalProgress"];
export type Funnel = Schemas["Funnel"];
export type NewFunnel = Schemas["NewFunnelBody"];
export type FunnelStep = Schemas["FunnelAnswerStep"];
export type RetentionAnswer = Answered<Schemas["RetentionAnswerBody"]>;
export type FunnelAnswer = Answered<Schemas["FunnelAnswerBody"]>;
/** Where visits went from one place. */
export interface JourneyBranches {
  next: JourneyNode[];
  others: number;
  ended: number;
}
/** A place on the way; the last ones have no branches. */
export type JourneyNode = Partial<JourneyBranches> & {
  kind: string;
  name: string;
  visits: number;
};
export type JourneyAnswer = JourneyBranches & { visits: number };
export type Attribution = Schemas["AttributionAnswer"];
export type AttributionPath = Schemas["AttributionPath"];
/** What attribution is asked for; the dashboard always takes all models. */
export type AttributionQuery = Omit<
  Schemas["Attribution"],
  "date_range" | "view_through" | "pagination"
> & {
  date_range: string;
  view_through: boolean;
  pagination: { limit: number; offset: number };
};
export type Share = Schemas["Share"];
export type Digest = Schemas["Digest"];
export type Alert = Schemas["Alert"];
/** What was mailed or posted, or is to be. */
export type Dispatch = Schemas["Dispatch"];
export type CreatedShare = Schemas["CreatedShare"];
export type SharedSite = Schemas["SharedSite"];
/** An answer of a shared report, with the figures that are numbers in it. */
export type SharedAnswer = Omit<Schemas["SharedAnswer"], "results"> & { results: Row[] };

export type Ad = Schemas["Ad"];
/** An ad to be tracked; its cost is sent as the text that was typed, which is exact. */
export type NewAd = Omit<Schemas["NewAdBody"], "cost"> & {
  cost?: Omit<Schemas["AdCostBody"], "amount"> & { amount: string };
};

// Questions and answers are free JSON in the description: this is the part of the language that the
// dashboard speaks, the columns in the order of the question.
export type QueryFilter =
  | [operator: string, dimension: string, values: string[]]
  | [operator: "is", subject: "segment", numbers: number[]]
  | [operator: string, dimension: string, values: string[], options: { case_sensitive: boolean }]
  | [operator: "has_done" | "has_not_done", filter: QueryFilter]
  | [operator: "and", filters: QueryFilter[]];
export interface Query {
  site_id: string;
  metrics: string[];
  date_range: string | [from: string, to: string];
  dimensions?: string[];
  filters?: QueryFilter[];
  order_by?: [string, "asc" | "desc"][];
  include?: { time_labels?: boolean; total_rows?: boolean; comparisons?: { mode: string } };
  pagination?: { limit: number; offset: number };
}
type Values = (number | null)[];
/** An amount; rows of the page about campaigns have them, and `ad_cost` is one. */
export interface Money {
  value: number;
  currency: string;
  short: string;
  long: string;
}
export type Value = number | Money | null;
export interface Row {
  dimensions: string[];
  metrics: Values;
  comparison?: { dimensions: string[]; metrics: Values; change: Values };
}
export interface Answer {
  results: Row[];
  meta: Schemas["QueryMeta"];
  query: { metrics: string[]; dimensions: string[]; [key: string]: unknown };
}

/** A report whose remarks are free JSON in the description. */
type Answered<T> = Omit<T, "meta" | "query"> & { meta: Record<string, unknown> };
/** What a report is asked about; the description leaves the range open. */
type Asked<T> = Omit<T, "date_range" | "filters"> & Pick<Query, "date_range" | "filters">;

export type ListQuestion = Asked<Schemas["ListQuestionBody"]>;
interface Paging {
  limit: number;
  after?: string;
}

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

let onUnauthorized: () => void = () => {};

/** Called when a request finds that nobody is signed in any more. */
export function whenUnauthorized(handler: () => void): void {
  onUnauthorized = handler;
}

type Path = keyof paths;
type Method = "get" | "post" | "patch" | "delete";
/** Paths that have this method. */
type PathOf<M extends Method> = {
  [P in Path]: paths[P] extends { [K in M]: { responses: unknown } } ? P : never;
}[Path];
type Json<T> = T extends { content: { "application/json": infer J } } ? J : undefined;
type Reply<O> = O extends { responses: infer R }
  ? { [S in keyof R]: S extends 200 | 201 | 204 ? Json<R[S]> : never }[keyof R]
  : never;
type Body<O> = O extends { requestBody: infer B } ? Json<B> : never;
type Parameters<O, In extends "path" | "query"> = O extends { parameters: { [K in In]?: infer P } }
  ? P
  : never;
interface Options<O> {
  path?: Parameters<O, "path">;
  query?: Parameters<O, "query">;
  body?: Body<O>;
  signal?: AbortSignal | undefined;
  /** Being signed out is an answer here, not the end of the session. */
  anonymous?: boolean;
  /** What lets the caller in instead of a session. */
  bearer?: string;
  /** What the password of a shared report was answered with. */
  key?: string | undefined;
}

function address(path: string, inPath: unknown, inQuery?: unknown): string {
  const values = (inPath ?? {}) as Record<string, string>;
  const filled = path.replace(/\{(\w+)\}/g, (_, name) =>
    encodeURIComponent(values[name as string] ?? ""),
  );
  const pairs = Object.entries(inQuery ?? {}).map(([name, value]) => [name, String(value)]);
  const query = new URLSearchParams(pairs).toString();
  return query ? `${filled}?${query}` : filled;
}

async function failure(response: Response): Promise<ApiError> {
  return errorOf(response.status, await response.json().catch(() => undefined));
}

function errorOf(status: number, body: unknown): ApiError {
  const told = (body as Partial<Schemas["ErrorBody"]> | undefined)?.error;
  const unknown = { code: "unknown", message: t.fail.unknown(status) };
  const { code, message, field, help }: Schemas["ErrorDetail"] = told ?? unknown;
  return new ApiError(status, code, message, field, help);
}

/** The lines of an answer, each as soon as it is there. */
async function* linesOf(response: Response): AsyncGenerator<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) return;
    const lines = (text + decoder.decode(part.value, { stream: true })).split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}

/** What a request is made of, whatever its types. */
interface Sent {
  path?: unknown;
  query?: unknown;
  body?: unknown;
  signal?: AbortSignal | undefined;
  anonymous?: boolean;
  bearer?: string;
  key?: string | undefined;
}

function call<M extends Method, P extends PathOf<M>>(
  method: M,
  path: P,
  options: Options<paths[P][M]> = {},
): Promise<Reply<paths[P][M]>> {
  return send(method, path, options) as Promise<Reply<paths[P][M]>>;
}

async function send(method: Method, path: string, options: Sent): Promise<unknown> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "get") headers["Cairn-Request"] = "dashboard";
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.bearer !== undefined) headers["Authorization"] = `Bearer ${options.bearer}`;
  if (options.key !== undefined) headers["Cairn-Share-Key"] = options.key;
  const request: RequestInit = {
    method: method.toUpperCase(),
    headers,
    credentials: "same-origin",
  };
  if (options.body !== undefined) request.body = JSON.stringify(options.body);
  if (options.signal) request.signal = options.signal;
  const response = await answered(address(path, options.path, options.query), request, options);
  return response.status === 204 ? undefined : await response.json();
}

/** The answer to a request, if it was fulfilled. */
async function answered(where: string, request: RequestInit, options: Sent = {}) {
  let response: Response;
  try {
    response = await fetch(where, request);
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new ApiError(0, "unreachable", t.fail.network);
  }
  if (!response.ok) {
    if (response.status === 401 && !options.anonymous) onUnauthorized();
    throw await failure(response);
  }
  return response;
}

/** Which receipts are wanted. */
export interface ReceiptQuery {
  signal?: string;
  choice?: string;
  from?: string;
  before?: string;
  after?: string;
  limit?: number;
}

/** Entries of a list wanted at once; the server's own bound. */
const LIST_LIMIT = 1000;
const ofSite = (site_id: string) => ({ site_id });

export const api = {
  session: () => call("get", "/api/v1/session", { anonymous: true }),
  setup: (body: Schemas["SetupBody"]) => call("post", "/api/v1/setup", { body, anonymous: true }),
  signIn: (body: Schemas["LogInBody"]) =>
    call("post", "/api/v1/session", { body, anonymous: true }),
  signOut: () => call("delete", "/api/v1/session"),
  places: () => call("get", "/api/v1/places"),
  sites: () => call("get", "/api/v1/sites", { query: { limit: LIST_LIMIT } }),
  addSite: (body: Schemas["NewSiteBody"]) => call("post", "/api/v1/sites", { body }),
  changeSite: (site: string, body: Schemas["SitePatch"]) =>
    call("patch", "/api/v1/sites/{site_id}", { path: ofSite(site), body }),
  removeSite: (site: string) => call("delete", "/api/v1/sites/{site_id}", { path: ofSite(site) }),
  identitySecret: (site: string) =>
    call("get", "/api/v1/sites/{site_id}/identity-secret", { path: ofSite(site) }),
  makeIdentitySecret: (site: string) =>
    call("post", "/api/v1/sites/{site_id}/identity-secret", { path: ofSite(site) }),
  removeIdentitySecret: (site: string) =>
    call("delete", "/api/v1/sites/{site_id}/identity-secret", { path: ofSite(site) }),
  cookies: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/cookies", { path: ofSite(site), signal }),
  pixels: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/pixels", {
      path: ofSite(site),
      query: { limit: LIST_LIMIT },
      signal,
    }),
  addPixel: (site: string, body: Schemas["NewPixelBody"]) =>
    call("post", "/api/v1/sites/{site_id}/pixels", { path: ofSite(site), body }),
  changePixel: (site: string, key: string, body: Schemas["PixelPatch"]) =>
    call("patch", "/api/v1/sites/{site_id}/pixels/{key}", { path: { site_id: site, key }, body }),
  removePixel: (site: string, key: string) =>
    call("delete", "/api/v1/sites/{site_id}/pixels/{key}", { path: { site_id: site, key } }),
  pixelActivity: (site: string, period: "24h" | "30d", signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/pixels/activity", {
      path: ofSite(site),
      query: { period },
      signal,
    }),
  startLiveTest: (site: string, key: string, body: Schemas["NewLiveTestBody"]) =>
    call("post", "/api/v1/sites/{site_id}/pixels/{key}/live-test", {
      path: { site_id: site, key },
      body,
    }),
  liveTestAddress: (site_id: string, key: string, code: string) =>
    address("/api/v1/sites/{site_id}/pixels/{key}/live-test/{code}", { site_id, key, code }),
  makeEmail: (site: string, body: NewEmail) =>
    call("post", "/api/v1/sites/{site_id}/emails", { path: ofSite(site), body }),
  makeLink: (site: string, body: NewLink) =>
    call("post", "/api/v1/sites/{site_id}/links", { path: ofSite(site), body }),
  makeAd: (site: string, body: NewAd) =>
    send("post", "/api/v1/sites/{site_id}/ads", { path: ofSite(site), body }) as Promise<Ad>,
  goals: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/goals", {
      path: ofSite(site),
      query: { limit: LIST_LIMIT },
      signal,
    }),
  addGoal: (site: string, body: NewGoal) =>
    call("post", "/api/v1/sites/{site_id}/goals", { path: ofSite(site), body }),
  removeGoal: (site_id: string, goal_id: string) =>
    call("delete", "/api/v1/sites/{site_id}/goals/{goal_id}", { path: { site_id, goal_id } }),
  goalProgress: (site_id: string, goal_id: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/goals/{goal_id}/progress", {
      path: { site_id, goal_id },
      signal,
    }),
  funnels: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/funnels", {
      path: ofSite(site),
      query: { limit: LIST_LIMIT },
      signal,
    }),
  addFunnel: (site: string, body: NewFunnel) =>
    call("post", "/api/v1/sites/{site_id}/funnels", { path: ofSite(site), body }),
  removeFunnel: (site_id: string, funnel_id: string) =>
    call("delete", "/api/v1/sites/{site_id}/funnels/{funnel_id}", {
      path: { site_id, funnel_id },
    }),
  funnel: (body: Asked<Schemas["FunnelQuestionBody"]>, signal?: AbortSignal) =>
    send("post", "/api/v2/funnel", { body, signal }) as Promise<FunnelAnswer>,
  journeys: (body: Asked<Schemas["JourneyQuestionBody"]>, signal?: AbortSignal) =>
    send("post", "/api/v2/journeys", { body, signal }) as Promise<JourneyAnswer>,
  retentionReport: (body: Asked<Schemas["RetentionQuestionBody"]>, signal?: AbortSignal) =>
    send("post", "/api/v2/retention", { body, signal }) as Promise<RetentionAnswer>,
  outcomes: (site: string, since: Date, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/outcomes", {
      path: ofSite(site),
      query: { since: since.toISOString() },
      signal,
    }),
  events: (
    site: string,
    query: { limit: number; filters?: string; date_range?: string; after?: string },
    signal?: AbortSignal,
  ) => call("get", "/api/v1/sites/{site_id}/events", { path: ofSite(site), query, signal }),
  visits: (body: ListQuestion, signal?: AbortSignal) =>
    send("post", "/api/v2/visits", { body, signal }) as Promise<Schemas["Page_Visit"]>,
  visitors: (body: ListQuestion, signal?: AbortSignal) =>
    send("post", "/api/v2/visitors", { body, signal }) as Promise<Schemas["Page_Visitor"]>,
  people: (body: ListQuestion, signal?: AbortSignal) =>
    send("post", "/api/v2/people", { body, signal }) as Promise<Schemas["Page_Person"]>,
  visitEvents: (site_id: string, session_id: string, query: Paging, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/visits/{session_id}/events", {
      path: { site_id, session_id },
      query,
      signal,
    }),
  visitorEvents: (site_id: string, visitor_id: string, query: Paging, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/visitors/{visitor_id}/events", {
      path: { site_id, visitor_id },
      query,
      signal,
    }),
  personEvents: (site_id: string, person_id: string, query: Paging, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/people/{person_id}/events", {
      path: { site_id, person_id },
      query,
      signal,
    }),
  segments: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/segments", {
      path: ofSite(site),
      query: { limit: LIST_LIMIT },
      signal,
    }),
  /** Filters are free JSON in the description. */
  addSegment: (site: string, name: string, filters: QueryFilter[]) =>
    send("post", "/api/v1/sites/{site_id}/segments", {
      path: ofSite(site),
      body: { name, filters },
    }) as Promise<Segment>,
  removeSegment: (site_id: string, segment_id: string) =>
    call("delete", "/api/v1/sites/{site_id}/segments/{segment_id}", {
      path: { site_id, segment_id },
    }),
  annotations: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/annotations", {
      path: ofSite(site),
      query: { limit: LIST_LIMIT },
      signal,
    }),
  annotate: (site: string, body: Schemas["NewAnnotationBody"]) =>
    call("post", "/api/v1/sites/{site_id}/annotations", { path: ofSite(site), body }),
  changeAnnotation: (site_id: string, annotation_id: string, body: Schemas["AnnotationPatch"]) =>
    call("patch", "/api/v1/sites/{site_id}/annotations/{annotation_id}", {
      path: { site_id, annotation_id },
      body,
    }),
  removeAnnotation: (site_id: string, annotation_id: string) =>
    call("delete", "/api/v1/sites/{site_id}/annotations/{annotation_id}", {
      path: { site_id, annotation_id },
    }),
  permission: (
    site: string,
    query: { date_range: string; region?: string; version?: string },
    signal?: AbortSignal,
  ) => call("get", "/api/v1/sites/{site_id}/permission", { path: ofSite(site), query, signal }),
  receipts: (site: string, query: ReceiptQuery, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/receipts", { path: ofSite(site), query, signal }),
  verifyReceipts: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/receipts/verification", { path: ofSite(site), signal }),
  /** All receipts that match, part by part, in one file. */
  exportReceipts: async (site: string, format: "csv" | "ndjson", query: ReceiptQuery) => {
    const parts: BlobPart[] = [];
    let after: string | null = null;
    do {
      const asked: object = { ...query, format, limit: LIST_LIMIT, ...(after && { after }) };
      const part: Response = await answered(
        address("/api/v1/sites/{site_id}/receipts/export", ofSite(site), asked),
        { credentials: "same-origin" },
      );
      parts.push(await part.blob());
      after = part.headers.get("Cairn-Next");
    } while (after);
    return new Blob(parts);
  },
  retention: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/retention", { path: ofSite(site), signal }),
  findPerson: (site: string, body: Schemas["FindBody"]) =>
    call("post", "/api/v1/sites/{site_id}/rights/find", { path: ofSite(site), body }),
  waitingRequests: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/rights", { path: ofSite(site), signal }),
  rightsRequests: (
    site: string,
    query: { state?: string; after?: string; limit?: number },
    signal?: AbortSignal,
  ) =>
    call("get", "/api/v1/sites/{site_id}/rights/requests", { path: ofSite(site), query, signal }),
  addRightsRequest: (site: string, body: Schemas["NewRequestBody"]) =>
    call("post", "/api/v1/sites/{site_id}/rights/requests", { path: ofSite(site), body }),
  rightsRequest: (site: string, request_id: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/rights/requests/{request_id}", {
      path: { site_id: site, request_id },
      signal,
    }),
  /** Does something about an open request; two of the steps take a reason. */
  answerRightsRequest: (
    site_id: string,
    request_id: string,
    step: "erase" | "extend" | "refuse" | "withdraw" | "done",
    body?: Schemas["ReasonBody"],
  ) =>
    send("post", `/api/v1/sites/{site_id}/rights/requests/{request_id}/${step}`, {
      path: { site_id, request_id },
      body,
    }) as Promise<RightsRequest>,
  /** Everything that is held of whom a request names, as one file. */
  exportPerson: async (
    site_id: string,
    request_id: string,
    format: "html" | "json",
    language: string,
  ) => {
    const where = "/api/v1/sites/{site_id}/rights/requests/{request_id}/export";
    const asked = address(where, { site_id, request_id }, { format, language });
    return (await answered(asked, { credentials: "same-origin" })).blob();
  },
  readCosts: (site: string, body: Schemas["CostFile"]) =>
    call("post", "/api/v1/sites/{site_id}/costs/import", { path: ofSite(site), body }),
  rates: (signal?: AbortSignal) => call("get", "/api/v1/instance/rates", { signal }),
  /** A file of rates, as it is. */
  addRates: async (file: Blob, base: string) => {
    const headers = { "Cairn-Request": "dashboard", "Content-Type": "text/csv" };
    const request: RequestInit = {
      method: "POST",
      headers,
      body: file,
      credentials: "same-origin",
    };
    const answer = await answered(address("/api/v1/instance/rates", {}, { base }), request);
    return (await answer.json()) as StoredRates;
  },
  shares: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/shares", {
      path: ofSite(site),
      query: { limit: LIST_LIMIT },
      signal,
    }),
  share: (site: string, body: Schemas["NewShareBody"]) =>
    call("post", "/api/v1/sites/{site_id}/shares", { path: ofSite(site), body }),
  endShare: (site_id: string, share_id: string) =>
    call("delete", "/api/v1/sites/{site_id}/shares/{share_id}", { path: { site_id, share_id } }),
  digests: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/digests", { path: ofSite(site), signal }),
  addDigest: (site: string, body: Schemas["NewDigestBody"]) =>
    call("post", "/api/v1/sites/{site_id}/digests", { path: ofSite(site), body }),
  changeDigest: (site_id: string, digest_id: string, body: Schemas["DigestPatch"]) =>
    call("patch", "/api/v1/sites/{site_id}/digests/{digest_id}", {
      path: { site_id, digest_id },
      body,
    }),
  removeDigest: (site_id: string, digest_id: string) =>
    call("delete", "/api/v1/sites/{site_id}/digests/{digest_id}", { path: { site_id, digest_id } }),
  sendDigest: (site_id: string, digest_id: string) =>
    call("post", "/api/v1/sites/{site_id}/digests/{digest_id}/dispatches", {
      path: { site_id, digest_id },
    }),
  alerts: (site: string, signal?: AbortSignal) =>
    call("get", "/api/v1/sites/{site_id}/alerts", { path: ofSite(site), signal }),
  addAlert: (site: string, body: Schemas["NewAlertBody"]) =>
    call("post", "/api/v1/sites/{site_id}/alerts", { path: ofSite(site), body }),
  changeAlert: (site_id: string, alert_id: string, body: Schemas["AlertPatch"]) =>
    call("patch", "/api/v1/sites/{site_id}/alerts/{alert_id}", {
      path: { site_id, alert_id },
      body,
    }),
  renewAlertSecret: (site_id: string, alert_id: string) =>
    call("post", "/api/v1/sites/{site_id}/alerts/{alert_id}/secret", {
      path: { site_id, alert_id },
    }),
  removeAlert: (site_id: string, alert_id: string) =>
    call("delete", "/api/v1/sites/{site_id}/alerts/{alert_id}", { path: { site_id, alert_id } }),
  testAlert: (site_id: string, alert_id: string) =>
    call("post", "/api/v1/sites/{site_id}/alerts/{alert_id}/dispatches", {
      path: { site_id, alert_id },
    }),
  liveAddress: (site: string) => address("/api/v1/sites/{site_id}/live", ofSite(site)),
  /** All rows of a question, as a file. */
  exportQuery: async (body: Query, format: FileFormat): Promise<Blob> => {
    const request = {
      method: "POST",
      headers: { "Content-Type": "application/json", "Cairn-Request": "dashboard" },
      credentials: "same-origin",
      body: JSON.stringify(body),
    } as const;
    return (await answered(`/api/v2/query?format=${format}`, request)).blob();
  },
  attribution: (body: AttributionQuery, signal?: AbortSignal) => {
    const question = body as unknown as Schemas["Attribution"];
    return call("post", "/api/v2/attribution", { body: question, signal });
  },
  /** Several questions about a site in one request; `taken` gets each answer as soon as it is there. */
  queries: async (
    site_id: string,
    queries: Query[],
    taken: (index: number, answer: Answer | ApiError) => void,
    signal: AbortSignal,
  ) => {
    const headers = { "Content-Type": "application/json", "Cairn-Request": "dashboard" };
    const body = JSON.stringify({ site_id, queries });
    const request: RequestInit = { method: "POST", headers, credentials: "same-origin", body };
    const response = await answered("/api/v2/queries", { ...request, signal }, { signal });
    for await (const line of linesOf(response)) {
      const { index, status, body } = JSON.parse(line) as Schemas["QueriesLine"];
      taken(index, status === 200 ? (body as unknown as Answer) : errorOf(status, body));
    }
  },
  query: async (body: Query, signal?: AbortSignal): Promise<Answer> => {
    const question = body as unknown as Schemas["Query"];
    const answer = await call("post", "/api/v2/query", { body: question, signal });
    return answer as unknown as Answer;
  },
};

/** What the holder of a shared report's link may ask. */
export const shared = (bearer: string, key?: string) => ({
  about: (signal?: AbortSignal) =>
    call("get", "/api/v1/shared", { bearer, key, signal, anonymous: true }),
  unlock: (password: string) =>
    call("post", "/api/v1/shared/key", { body: { password }, bearer, anonymous: true }),
  query: async (body: Schemas["SharedQuery"], signal?: AbortSignal): Promise<SharedAnswer> => {
    const options = { body, bearer, key, signal, anonymous: true };
    const answer = await call("post", "/api/v1/shared/query", options);
    return answer as unknown as SharedAnswer;
  },
});
