// Pages that were not found: the browser knows the status of the page that it loaded; a page that a
// script put together says so by an element with `data-cairn-not-found`.

import type { Part } from "../settings";

/** A page that a script puts together takes a moment. */
const LOOK_AGAIN_MS = 1000;

const notFound: Part = (record, watch) => {
  const [loaded] = performance.getEntriesByType("navigation") as (PerformanceNavigationTiming & {
    responseStatus?: number;
  })[];
  const missing = /^4(04|10)$/.test("" + loaded?.responseStatus);
  let told = false;
  const look = (status?: unknown) => {
    if (!told && (status === true || document.querySelector("[data-cairn-not-found]"))) {
      told = true;
      record("page_not_found", { referrer: document.referrer });
    }
  };
  look(missing);
  setTimeout(look, LOOK_AGAIN_MS);
  watch((report) => {
    look();
    if (!report) {
      told = false;
      setTimeout(look, LOOK_AGAIN_MS);
    }
  });
};

export default notFound;
