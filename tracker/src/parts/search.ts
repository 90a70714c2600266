// What was searched for on the site, by the address of the page that shows the results.

import type { Part } from "../settings";

const PARAMETERS = ["q", "query", "s", "search", "keyword", "keywords"];
const TERM_CHARACTERS = 100;
/** A search that changes with each letter is one when it has stood still for this long. */
const STEADY_MS = 500;

const search: Part = (record, watch, _clock, { parameters = PARAMETERS }) => {
  let told = "";
  let before = "";
  const look = (atOnce?: unknown) => {
    const given = new URLSearchParams(location.search);
    const name = parameters.find((name) => given.get(name)?.trim());
    const term = name ? given.get(name)!.trim().slice(0, TERM_CHARACTERS) : "";
    const place = location.pathname + "?" + term;
    if (place !== told && (atOnce || place === before)) {
      told = place;
      // Whoever types a mail address into the wrong field has not searched for it.
      if (term && !term.includes("@")) {
        record("view_search_results", { props: { search_term: term } });
      }
    }
    before = place;
  };
  look(true);
  setInterval(look, STEADY_MS);
  watch((report) => report || look(true));
};

export default search;
