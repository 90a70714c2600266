// What was searched for on the site, by the address of the page that shows the results.

import type { Part } from "../settings";

const PARAMETERS = ["q", "query", "s", "search", "keyword", "keywords"];
const TERM_CHARACTERS = 100;

const search: Part = (record, watch, _clock, { parameters = PARAMETERS }) => {
  let told = "";
  const look = () => {
    const given = new URLSearchParams(location.search);
    const name = parameters.find((name) => given.get(name)?.trim());
    const term = name ? given.get(name)!.trim().slice(0, TERM_CHARACTERS) : "";
    const place = location.pathname + term;
    // Whoever types a mail address into the wrong field has not searched for it.
    if (term && told !== place && !term.includes("@")) {
      record("view_search_results", { props: { search_term: term } });
    }
    told = place;
  };
  look();
  watch((report) => report || look());
};

export default search;
