// How fast the page was for this visitor, once for each page that was loaded: told with the first
// report of time. LCP, INP and TTFB in milliseconds, CLS as the score that it is.

import type { Part } from "../settings";

interface Entry extends PerformanceEntry {
  interactionId?: number;
  hadRecentInput?: boolean;
  value?: number;
}

const vitals: Part = (_record, watch) => {
  let largestMs = 0;
  let shift = 0;
  /** Of layout shifts in a row: their sum, when the first and when the last of them was. */
  let windowSum = 0;
  let windowStart = 0;
  let windowEnd = 0;
  /** Longest delay of each interaction. */
  const delays = new Map<number, number>();
  let told = false;

  const [page] = performance.getEntriesByType("navigation") as (PerformanceNavigationTiming & {
    activationStart?: number;
  })[];
  /** A page rendered ahead begins when it is shown. */
  const begin = page?.activationStart || 0;
  /** What is painted after the page was hidden, or before it was shown, says nothing about speed. */
  const hidden = performance
    .getEntriesByType("visibility-state")
    .find(({ name, startTime }) => name === "hidden" && startTime >= begin);
  const sinceBegin = (time: number) => Math.max(0, Math.round(time - begin));

  const listen: Record<string, (entry: Entry) => void> = {
    "largest-contentful-paint"({ startTime }) {
      if (!hidden || startTime < hidden.startTime) largestMs = sinceBegin(startTime);
    },
    "layout-shift"({ startTime, value, hadRecentInput }) {
      if (hadRecentInput) return;
      if (startTime - windowEnd > 1000 || startTime - windowStart > 5000) {
        windowSum = 0;
        windowStart = startTime;
      }
      windowEnd = startTime;
      windowSum += value!;
      shift = Math.max(shift, windowSum);
    },
    event({ interactionId, duration }) {
      if (interactionId) {
        delays.set(interactionId, Math.max(duration, delays.get(interactionId) || 0));
      }
    },
  };
  // A browser without one of the measures tells the others.
  const known = PerformanceObserver.supportedEntryTypes.filter((type) => listen[type]);
  const observers = known.map((type): [PerformanceObserver, (entry: Entry) => void] => {
    const take = listen[type]!;
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(take));
    observer.observe({ type, buffered: true, durationThreshold: 16 } as PerformanceObserverInit);
    return [observer, take];
  });

  watch((report) => {
    if (!report || told) return;
    told = true;
    observers.forEach(([observer, take]) => {
      observer.takeRecords().forEach(take);
      observer.disconnect();
    });
    // Of fifty interactions the slowest is taken for an accident.
    const slow = [...delays.values()].sort((a, b) => b - a)[Math.floor(delays.size / 50)];
    report["props"] = {
      ttfb_ms: page && sinceBegin(page.responseStart),
      lcp_ms: largestMs || undefined,
      cls: known.includes("layout-shift") ? Math.round(shift * 10_000) / 10_000 : undefined,
      inp_ms: slow && Math.round(slow),
    };
  });
};

export default vitals;
