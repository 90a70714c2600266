// Carries a visit to the owner's other domains: a link there, when it is followed, gets a word that the collector made for
// this browser. The collector gives one with permission only, for one host, for two minutes, for whoever comes first. On
// arrival the word leaves the address.

import type { Part } from "../settings";

/** A word is asked for when a link is pointed at, and used while it surely holds. */
const FRESH_MS = 90_000;

interface Word {
  at: number;
  link?: string;
}

const links: Part = (_record, _watch, _clock, { key, hosts }) => {
  const words: Record<string, Word> = {};
  const within = (host: string, above: string) => ("." + host).endsWith("." + above);

  /** The link at which something happens, if it leads to another domain of the site. */
  const crossing = ({ target }: Event) => {
    const link = (target as HTMLElement).closest?.<HTMLAnchorElement>("a[href],area[href]");
    if (!link || !/^http/.test(link.protocol)) return;
    const { hostname: to } = link;
    const { hostname: from } = location;
    const isOwn = hosts!.some((host) => within(to, host));
    return isOwn && !within(to, from) && !within(from, to) ? link : undefined;
  };
  const isFresh = (word?: Word) => word && Date.now() - word.at < FRESH_MS;

  const ask = (event: Event) => {
    const link = crossing(event);
    if (!link || isFresh(words[link.hostname])) return;
    const word: Word = (words[link.hostname] = { at: Date.now() });
    const query = new URLSearchParams({ key: key!, to: link.hostname });
    fetch(new URL("../link.json?" + query, import.meta.url), {
      method: "POST",
      credentials: "include",
    })
      .then((answer) => answer.json())
      .then((answer) => (word.link = answer.link))
      .catch(console.warn);
  };

  const follow = (event: Event) => {
    const link = crossing(event);
    const word = link && words[link.hostname];
    if (!link || !word?.link || !isFresh(word)) return;
    // Each is for one link; the address that can be copied from the page stays what it was.
    delete words[link.hostname];
    const before = link.getAttribute("href")!;
    const [, address, fragment] = /^([^#]*)(.*)$/.exec(link.href)!;
    link.href = address + (address!.includes("?") ? "&" : "?") + "cairn_link=" + word.link + fragment;
    setTimeout(() => link.setAttribute("href", before));
  };

  for (const name of ["pointerover", "pointerdown", "focusin"]) addEventListener(name, ask, true);
  addEventListener("click", follow, true);
  addEventListener("auxclick", (event) => event.button === 1 && follow(event), true);

  const here = location.href;
  const clean = here.replace(/[?&]cairn_link=[^&#]*/, "").replace(/^([^?#]*)&/, "$1?");
  if (clean !== here) history.replaceState(history.state, "", clean);
};

export default links;
