// The present moment, for "how long ago" and for the day's end.

/** Milliseconds between two looks at the clock. */
const TICK_MS = 5_000;

export class Clock {
  now = $state(new Date());
  #timer = setInterval(() => (this.now = new Date()), TICK_MS);

  stop(): void {
    clearInterval(this.#timer);
  }
}
