// Which sections of a page came into view, how much of each, for how long, and whether that was long
// enough to read them. Sections are what the page marks with `data-cairn-section`; a page that marks
// none has its landmarks and what stands under its headings.

import type { Part } from "../settings";

const LANDMARKS = "header,nav,aside,footer";
const LOOK_EVERY_MS = 250;
const SECTIONS_MAX = 30;
const NAME_CHARACTERS = 100;
/** Half of what a steady reader takes for a word: who took less has skimmed. */
const WORD_MS = 125;
/** Nothing is read faster. */
const READ_MS_MIN = 1000;

/** An element, or all that stands between two headings. */
type Area = Element | Range;

interface Seen {
  /** Time in view, and how much of it was told. */
  ms: number;
  toldMs: number;
  /** What came into view, as shares of the height. */
  from: number;
  to: number;
  toldPercent: number;
  words: number;
}

const sections: Part = (record, watch, clock) => {
  const seen = new Map<string, Seen>();
  let before = clock();

  /** The sections of the page as it is now, with their names. */
  const areas = (): [string | null, Area][] => {
    const all = (selector: string) => [...document.querySelectorAll<HTMLElement>(selector)];
    const marked = all("[data-cairn-section]");
    if (marked[0]) return marked.map((element) => [element.dataset["cairnSection"] || element.id, element]);
    const landmarks = all(LANDMARKS).filter(
      (element) => !element.parentElement!.closest(LANDMARKS + ",article,section"),
    );
    const headings = all("h1,h2").filter((heading) => !heading.closest("nav,aside,footer"));
    return [
      ...landmarks.map((element): [string, Area] => [
        element.id || element.ariaLabel || element.localName,
        element,
      ]),
      ...headings.map((heading, at): [string, Area] => {
        const name = heading.id || heading.textContent!.trim();
        const around = heading.closest("section,article");
        if (around && around.querySelector("h1,h2") === heading) return [name, around];
        const range = document.createRange();
        const end = around || heading.closest("main") || document.body;
        range.setEnd(end, end.childNodes.length);
        if (headings[at + 1]) range.setEndBefore(headings[at + 1]!);
        range.setStartBefore(heading);
        return [name, range];
      }),
    ];
  };

  const look = () => {
    const now = clock();
    const passed = now - before;
    before = now;
    if (!passed) return;
    for (const [name, area] of areas().slice(0, SECTIONS_MAX)) {
      const { top, bottom, height } = area.getBoundingClientRect();
      const visible = Math.min(bottom, innerHeight) - Math.max(top, 0);
      if (visible <= 0 || !name) continue;
      const id = name.slice(0, NAME_CHARACTERS);
      const state = seen.get(id) || {
        ms: 0,
        toldMs: 0,
        from: 1,
        to: 0,
        toldPercent: 0,
        words: ((area as HTMLElement).innerText || "" + area).split(/\s+/).length,
      };
      state.from = Math.min(state.from, Math.max(0, -top) / height);
      state.to = Math.max(state.to, Math.min(height, innerHeight - top) / height);
      // In view is what shows half of itself, or fills half of the window.
      if (visible * 2 >= Math.min(height, innerHeight)) state.ms += passed;
      seen.set(id, state);
    }
  };

  setInterval(look, LOOK_EVERY_MS);
  watch((report) => {
    if (!report) return seen.clear();
    look();
    seen.forEach((state, id) => {
      const ms = Math.round(state.ms - state.toldMs);
      const percent = Math.min(100, Math.round((state.to - state.from) * 100));
      if (!ms && percent <= state.toldPercent) return;
      state.toldMs += ms;
      state.toldPercent = percent;
      const enough = Math.max(READ_MS_MIN, state.words * WORD_MS);
      record("engagement", {
        section: { id, visible_ms: ms, visible_percent: percent },
        props: { reading: state.ms >= enough ? "read" : "skimmed" },
      });
    });
  });
};

export default sections;
