// Questions that are asked in the same moment go out as one request; each gets its answer as soon as it is there.
import { ApiError, api, type Answer, type Query } from "./client.ts";
import { t } from "../texts.ts";

/** Questions of one request; the server's own bound. */
const QUESTIONS_MAX = 24;

interface Waiting {
  question: Query;
  /** Asked before the others of its moment. */
  first: boolean;
  signal: AbortSignal;
  resolve: (answer: Answer) => void;
  reject: (cause: unknown) => void;
}

let waiting: Waiting[] = [];

/** Asks with whatever else is asked in this moment. */
export function askTogether(question: Query, signal: AbortSignal, first = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    if (waiting.length === 0) queueMicrotask(send);
    waiting.push({ question, first, signal, resolve, reject });
  });
}

function send(): void {
  const all = waiting.toSorted((one, other) => Number(other.first) - Number(one.first));
  waiting = [];
  for (const site of new Set(all.map((one) => one.question.site_id))) {
    const ofSite = all.filter((one) => one.question.site_id === site && !one.signal.aborted);
    for (let from = 0; from < ofSite.length; from += QUESTIONS_MAX)
      void request(site, ofSite.slice(from, from + QUESTIONS_MAX));
  }
}

/** One request; it is broken off when nobody waits for any of its answers. */
async function request(site: string, part: Waiting[]): Promise<void> {
  const abort = new AbortController();
  const open = new Set(part);
  for (const one of part) {
    const leave = () => {
      if (open.delete(one)) one.reject(one.signal.reason);
      if (open.size === 0) abort.abort();
    };
    one.signal.addEventListener("abort", leave, { once: true });
  }
  const taken = (index: number, answer: Answer | ApiError) => {
    const one = part[index];
    if (!one || !open.delete(one)) return;
    if (answer instanceof ApiError) one.reject(answer);
    else one.resolve(answer);
  };
  let cause: unknown = new ApiError(0, "unreachable", t.fail.network);
  try {
    const questions = part.map((one) => one.question);
    await api.queries(site, questions, taken, abort.signal);
  } catch (failed) {
    cause = failed;
  }
  for (const one of open) one.reject(cause);
  open.clear();
}
