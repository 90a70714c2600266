// A live test of a pixel: what becomes of the hits of a visit, stage by stage, as the server tells it.
import { ApiError, api, type LiveTestStart, type Stage } from "./api/client.ts";

export const STAGES = ["received", "permission", "recognised", "stored"] as const;
export type StageName = (typeof STAGES)[number];
export type State = "waiting" | "passed" | "failed";

export interface Nothing {
  after_s: number;
  /** The script was asked for. */
  script: boolean;
  check: string[];
}

/** One hit: its stages so far. */
export interface Hit {
  number: number;
  stages: Partial<Record<StageName, Stage>>;
}

/** How far a hit came at a stage; one that failed before never comes to it. */
export function stateOf(hit: Hit | undefined, stage: StageName): State {
  const told = hit?.stages[stage];
  if (!told) return "waiting";
  return told.passed ? "passed" : "failed";
}

export function hasFailed(hit: Hit): boolean {
  return STAGES.some((stage) => stateOf(hit, stage) === "failed");
}

export class LiveTest {
  started = $state.raw<LiveTestStart | undefined>();
  hits = $state.raw<Hit[]>([]);
  nothing = $state.raw<Nothing | undefined>();
  ended = $state(false);
  interrupted = $state(false);
  busy = $state(false);
  error = $state.raw<ApiError | undefined>();
  /** The latest stage that was told, for those who cannot see it light up. */
  latest = $state.raw<Stage | undefined>();
  #source: EventSource | undefined;
  /** Grows with every test: an answer to an earlier one is dropped. */
  #turn = 0;

  get running(): boolean {
    return this.started !== undefined && !this.ended;
  }

  /** Starts a test and follows it; answers with the page to open, if there is one. */
  async start(siteId: string, key: string, url: string): Promise<string | undefined> {
    this.stop();
    const turn = ++this.#turn;
    this.busy = true;
    try {
      const started = await api.startLiveTest(siteId, key, url ? { url } : {});
      if (turn !== this.#turn) return undefined;
      this.started = started;
      this.#follow(api.liveTestAddress(siteId, key, started.code));
      return started.url ?? undefined;
    } catch (cause) {
      if (!(cause instanceof ApiError)) throw cause;
      if (turn === this.#turn) this.error = cause;
      return undefined;
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }

  #follow(address: string): void {
    const source = new EventSource(address);
    this.#source = source;
    source.addEventListener("open", () => (this.interrupted = false));
    source.addEventListener("error", () => {
      this.interrupted = true;
      // The server does not know the test any more.
      if (source.readyState === EventSource.CLOSED) this.#end();
    });
    source.addEventListener("stage", (message) => this.#take(JSON.parse(message.data as string)));
    source.addEventListener("nothing", (message) => {
      this.nothing = JSON.parse(message.data as string) as Nothing;
    });
    source.addEventListener("end", () => this.#end());
  }

  #take(stage: Stage): void {
    this.nothing = undefined;
    this.latest = stage;
    const others = this.hits.filter((hit) => hit.number !== stage.hit);
    const hit = this.hits.find((hit) => hit.number === stage.hit);
    const stages = { ...hit?.stages, [stage.stage as StageName]: stage };
    this.hits = [...others, { number: stage.hit, stages }].sort((a, b) => a.number - b.number);
  }

  #end(): void {
    this.#source?.close();
    this.#source = undefined;
    this.ended = true;
    this.interrupted = false;
  }

  /** Ends the test here; the server lets go of one that nobody follows. */
  stop(): void {
    this.#turn += 1;
    this.#source?.close();
    this.#source = undefined;
    this.started = undefined;
    this.hits = [];
    this.nothing = undefined;
    this.ended = false;
    this.interrupted = false;
    this.busy = false;
    this.error = undefined;
    this.latest = undefined;
  }
}
