// Asks the visitor where the collector says that the policy of his place needs it, and lets him change his
// choice. The words come from the collector, in one language. Nothing is kept here: the collector's own
// cookie is the record.

import type { Part } from "../settings";

/** What `GET /consent.json` answers. */
interface Asking {
  ask: boolean;
  gpc: boolean;
  choices: Record<string, string>;
  version: string;
  language: string;
  policy_url: string;
  texts: Record<string, string>;
}

type Child = Node | string | false | undefined;

const PURPOSES = ["analytics", "ads", "personalization", "functional"];

/** Yes, no and the choice of single purposes look the same: none is the easier way. */
const STYLE = `:host{all:initial}
*{box-sizing:border-box}
section,dialog{position:fixed;inset:auto 0 0;z-index:2147483647;width:auto;max-width:640px;max-height:100%;margin:0 auto;padding:20px;overflow:auto;border:1px solid #767b78;border-radius:12px 12px 0 0;background:#fff;color:#1c1f1d;font:15px/1.5 system-ui,sans-serif;overflow-wrap:break-word}
dialog{inset:0;margin:auto;border-radius:12px;height:fit-content}
dialog::backdrop{background:#0009}
h2{margin:0 0 8px;font-size:19px;line-height:1.3}
p{margin:0 0 12px}
div{display:flex;flex-wrap:wrap;gap:10px}
button{flex:1 1 160px;min-height:44px;padding:8px 14px;border:2px solid #2b5a3b;border-radius:8px;background:#2b5a3b;color:#fff;font:inherit;font-weight:600;cursor:pointer}
a,.more{color:#2b5a3b}
.more{flex-basis:100%;border-color:transparent;background:none;text-decoration:underline}
label{display:grid;grid-template-columns:24px 1fr;gap:2px 10px;margin:0 0 14px;font-weight:600}
small{grid-column:2;font-size:14px;font-weight:400}
input{width:20px;height:20px;margin:2px 0;accent-color:#2b5a3b}
:focus-visible{outline:3px solid #2b5a3b;outline-offset:2px}
@media (prefers-color-scheme:dark){
section,dialog{background:#1c201e;color:#e7eae8}
button{border-color:#9fd3b1;background:#9fd3b1;color:#12201a}
a,.more{color:#9fd3b1}
.more{border-color:transparent;background:none}
input{accent-color:#9fd3b1;color-scheme:dark}
:focus-visible{outline-color:#9fd3b1}
}
@media (prefers-reduced-motion:no-preference){
section,dialog{animation:i .14s ease-out}
@keyframes i{0%{opacity:0;transform:translateY(12px)}}
}
@media print{:host{display:none}}`;

let runs: unknown;

const banner: Part = (_record, watch, _clock, { key }) => {
  // Once for a page, however many keys ask for it.
  if (runs) return;
  runs = 1;

  /** Holds what is shown, out of reach of the page's styles. */
  let host: HTMLElement | 0 = 0;
  let root: ShadowRoot;
  /** Where the focus was before it came here. */
  let before: EventTarget | null;

  const element = (name: string, properties: object, ...children: Child[]): HTMLElement => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...(children.filter(Boolean) as Node[]));
    return made;
  };

  const inquire = async (texts: string): Promise<Asking> => {
    const language = [document.documentElement.lang, ...navigator.languages].join();
    const query = new URLSearchParams({ key: key!, language }) + texts;
    const address = new URL("../consent.json?" + query, import.meta.url);
    return (await fetch(address, { credentials: "include" })).json();
  };

  const close = () => {
    if (host) {
      host.remove();
      host = 0;
      document.documentElement.style.scrollPaddingBottom = "";
      (before as HTMLElement | null)?.focus?.();
    }
  };

  const open = ({ language }: Asking) => {
    close();
    before = null;
    host = element("cairn-consent", { lang: language, dir: "ltr" });
    host.addEventListener("focusin", ({ relatedTarget }) => {
      before ||= relatedTarget;
    });
    root = host.attachShadow({ mode: "open" });
    try {
      // A sheet that is made by a script is no inline style: a strict policy allows it.
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
    } catch {
      root.append(element("style", { textContent: STYLE }));
    }
    show();
  };

  /** First in the page, so that it is the first that the keyboard reaches. */
  const show = () => host && (document.body || document.documentElement).prepend(host);

  /** Yes and no: the same in size, look and number of steps. */
  const answers = (asking: Asking, signal: string, chosen?: () => string[]) => {
    const say = (granted: string[]) => {
      const choice = PURPOSES.map((name) => [name, granted.includes(name) ? "granted" : "denied"]);
      const shown = { version: asking.version, language: asking.language };
      cairn("consent", Object.fromEntries(choice), { signal, shown });
      close();
    };
    const button = (text: string, onclick: () => void, className = "") =>
      element("button", { type: "button", onclick, className }, asking.texts[text]);
    return element(
      "div",
      {},
      button("no", () => say([])),
      button("yes", () => say(PURPOSES)),
      chosen
        ? button("save", () => say(chosen()))
        : button("settings", () => settings(asking), "more"),
      chosen && button("close", () => root.querySelector("dialog")!.close(), "more"),
    );
  };

  /** A box with its name and what it is about, as assistive technology is told them. */
  const titled = (box: HTMLElement, title: string, asking: Asking, ...content: Child[]) => {
    const { gpc, texts, policy_url: href } = asking;
    const [name, text] = [title + "_title", title + "_text"];
    box.setAttribute("aria-labelledby", name);
    box.setAttribute("aria-describedby", text);
    box.append(
      element("h2", { id: name }, texts[title]),
      element(
        "span",
        { id: text },
        element("p", {}, texts[title === "title" ? "text" : "centre_text"]),
        gpc && element("p", {}, texts["gpc"]),
      ),
    );
    if (href) box.append(element("p", {}, element("a", { href }, texts["policy"])));
    box.append(...(content as Node[]));
    root.append(box);
  };

  /** Beside the page, which goes on without an answer: silence is no yes. */
  const ask = (asking: Asking) => {
    open(asking);
    const box = element("section", {
      onkeydown: ({ key: pressed }: KeyboardEvent) => {
        if (pressed === "Escape") close();
      },
    });
    box.setAttribute("role", "dialog");
    titled(box, "title", asking, answers(asking, "banner"));
    // What has the focus must not lie behind the banner.
    document.documentElement.style.scrollPaddingBottom = box.offsetHeight + "px";
  };

  /** Nothing is chosen in advance, but for what the visitor chose before. */
  const settings = (asking: Asking) => {
    if (!host) open(asking);
    // One that was closed this moment is gone only after its event.
    const former = root.querySelector("dialog");
    if (former?.open) return;
    former?.remove();
    const boxes = PURPOSES.map((name) => {
      const checked = asking.choices[name] === "granted";
      return element("input", { type: "checkbox", name, checked }) as HTMLInputElement;
    });
    const chosen = () => boxes.filter(({ checked }) => checked).map(({ name }) => name);
    const dialog = element("dialog", {}) as HTMLDialogElement;
    dialog.onclose = () => {
      dialog.remove();
      // Behind it may be the banner, which still waits for an answer.
      if (!root.querySelector("section, dialog")) close();
    };
    const rows = boxes.map((box) => {
      const about = element("small", {}, asking.texts[box.name + "_text"]);
      return element("label", {}, box, asking.texts[box.name], about);
    });
    titled(dialog, "centre", asking, ...rows, answers(asking, "preference_centre", chosen));
    dialog.showModal();
  };

  const preferences = () => void inquire("&texts").then(settings).catch(console.warn);

  // A new view may have replaced all of the page.
  watch((report) => {
    if (!report && host && !host.isConnected) show();
  });
  addEventListener("click", (click) => {
    if ((click.target as Element).closest?.("[data-cairn-preferences]")) {
      click.preventDefault();
      preferences();
    }
  });
  const isAsked = (words: ArrayLike<unknown>) => words[0] === "preferences";
  const calls = cairn.q!;
  const push = calls.push;
  calls.push = (words) => (isAsked(words) ? preferences() : push.call(calls, words)) as number;
  if (calls.some(isAsked)) preferences();
  inquire("")
    .then((asking) => {
      if (asking.gpc && asking.choices["ads"] !== "granted") {
        for (const place of document.querySelectorAll("[data-cairn-gpc]")) {
          place.textContent = asking.texts["gpc"]!;
        }
      }
      if (asking.ask && !host) ask(asking);
    })
    .catch(console.warn);
};

export default banner;
