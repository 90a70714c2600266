// Something loaded from the server, with manners: the last answer stays until the new one is there,
// a superseded request is aborted, and slowness is admitted only after a moment.
import { ApiError } from "./api/client.ts";
import { t } from "./texts.ts";

/** Milliseconds before waiting is shown at all. */
const PATIENCE_MS = 300;

export class Resource<T> {
  value = $state.raw<T | undefined>();
  error = $state.raw<ApiError | undefined>();
  /** The value answers an earlier question than the one now asked. */
  stale = $state(false);
  slow = $state(false);
  #abort: AbortController | undefined;

  /** Asks; `quiet` keeps the present look, for refreshing the same question. */
  async load(ask: (signal: AbortSignal) => Promise<T>, quiet = false): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    if (!quiet) this.stale = this.value !== undefined;
    const timer = quiet ? undefined : setTimeout(() => (this.slow = true), PATIENCE_MS);
    try {
      const value = await ask(abort.signal);
      if (this.#abort !== abort) return;
      this.value = value;
      this.error = undefined;
    } catch (cause) {
      if (this.#abort !== abort || abort.signal.aborted) return;
      this.error = cause instanceof ApiError ? cause : new ApiError(0, "unknown", t.fail.network);
    } finally {
      clearTimeout(timer);
      if (this.#abort === abort) {
        this.#abort = undefined;
        this.stale = false;
        this.slow = false;
      }
    }
  }

  /** Forgets: the next answer is about something else. */
  clear(): void {
    this.#abort?.abort();
    this.#abort = undefined;
    this.value = undefined;
    this.error = undefined;
    this.stale = false;
    this.slow = false;
  }
}
