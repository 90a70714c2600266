// Remembers and recalls: what a page says by `remember`, `recall`, `forget` and `sign_out`, and by
// `identify` with a token. Loaded by the first of these calls, once for all keys of a collector; it
// finds the calls that were made before in the list that the page's trackers share. The collector
// decides by the visitor's choice; nothing is kept in the browser but its cookie.

import type { Part } from "../settings";

type Words = ArrayLike<unknown>;
type Asked = [string, (value: unknown) => void];

/** What the page said of `functional`, and when (`Date.now()`), if that is known. */
interface Said {
  functional: string;
  at?: number;
}

/** One request: who it is comes first, then what changes, then what is asked for. */
interface Request {
  /** The latest of these that it has. */
  step: number;
  consent: Said | undefined;
  body: Record<string, unknown>;
  asked: Asked[];
}

interface Answer {
  memory?: Record<string, unknown>;
  error?: unknown;
}

const ATTEMPTS = 3;
const FIRST_PAUSE_MS = 1000;

const STEPS: Record<string, number> = { identify: 0, sign_out: 0, forget: 1, remember: 2, recall: 3 };
/** The calls go where this module came from. */
const address = import.meta.url;
const calls = cairn.q!;
const waiting: Request[] = [];
/** Before the page says anything, the collector's cookie tells. */
let consent: Said | undefined;
let busy = 0;

const warn = (...about: unknown[]) => console.warn("cairn:", ...about);

/** Keys whose trackers report to this collector: each has a mark in the list, before its endpoint. */
const keys = () =>
  Object.keys(calls).flatMap((mark) => {
    const at = mark.indexOf("http");
    return at > 0 && new URL("m", mark.slice(at)).href === address ? [mark.slice(0, at)] : [];
  });

function take(words: Words): void {
  const [name, first, second, proof] = Array.from(words) as [string, never, unknown, { token?: string }];
  let step = name === "identify" && !proof ? undefined : STEPS[name];
  const functional = name === "consent" && (first as Record<string, unknown>)?.["functional"];
  if (functional) {
    consent = { functional: functional === "granted" ? functional : "denied", at: calls.t! };
  } else if (name === "consent" && consent) {
    // The time is that of the latest word, which was about something else.
    consent = { functional: consent.functional };
  }
  // A no is told by itself: to the core a yes, and a no shortly after it, are nothing new.
  if (functional && functional !== "granted") step = 0;
  if (step === undefined) {
    if (!/^(event|identify|consent|preferences)$/.test(name)) warn("unknown command", name);
    return;
  }
  let request = waiting[waiting.length - 1]!;
  if (!request || step < request.step || !step || request.consent !== consent) {
    waiting.push((request = { step, consent, body: {}, asked: [] }));
  }
  const { body } = request;
  request.step = step;
  if (name === "identify") body["identify"] = { user_id: "" + first, token: proof.token };
  if (name === "sign_out") body["sign_out"] = true;
  if (name === "forget") body["forget"] = [...((body["forget"] as []) || []), first];
  if (name === "remember") {
    // Copied, so that the page may go on changing it.
    const copy = JSON.parse(JSON.stringify({ [first]: second ?? null }));
    body["remember"] = { ...(body["remember"] as object), ...copy };
  }
  if (name === "recall") {
    request.asked.push([first, second as () => void]);
    body["recall"] = [...new Set(request.asked.map(([name]) => name))];
  }
  if (!busy) {
    busy = 1;
    // What the page says in one go, goes in one request.
    setTimeout(send);
  }
}

/** Never throws, as the core does not. */
function taken(words: Words): void {
  try {
    take(words);
  } catch (fault) {
    warn(words[0], fault);
  }
}

/** One request after the other: two at once could each be given a cookie. */
async function send(): Promise<void> {
  for (let request: Request | undefined; (request = waiting.shift()); ) {
    const known: Record<string, unknown> = {};
    for (const key of keys()) {
      const { error, memory } = await post(key, request);
      if (error) warn("memory", error);
      for (const name in memory) known[name] ??= memory[name];
    }
    for (const [name, callback] of request.asked) {
      try {
        callback(known[name] ?? undefined);
      } catch (fault) {
        warn("recall", fault);
      }
    }
  }
  busy = 0;
}

async function post(key: string, { consent, body }: Request): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(address, {
      method: "POST",
      body: JSON.stringify({
        key,
        // The tracker tells it, with what was shown; another tab may have said the newest since then.
        consent: consent && {
          functional: consent.functional,
          age_ms: consent.at && Date.now() - consent.at,
          repeated: true,
        },
        ...body,
      }),
      credentials: "include",
      keepalive: true,
    }).catch((error) => ({ error, status: 500, json: undefined }));
    if (attempt === ATTEMPTS || !/^5|429/.test("" + answer.status)) {
      return answer.json ? answer.json().catch((error: unknown) => ({ error })) : answer;
    }
    await new Promise((done) => setTimeout(done, FIRST_PAUSE_MS * attempt ** 2));
  }
}

// Whoever leaves cannot wait, and hears no answer.
addEventListener("pagehide", () => {
  for (const request of waiting.splice(0)) keys().forEach((key) => void post(key, request));
});
calls.forEach(taken);
const push = calls.push;
calls.push = ((words: Words) => {
  push.call(calls, words);
  taken(words);
}) as never;

/** Everything is done above, by whoever comes first. */
const memory: Part = () => {};

export default memory;
