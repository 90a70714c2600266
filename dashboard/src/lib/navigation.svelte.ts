// Where we are: the address bar is the state, this is its reactive copy.
export type Place =
  | { page: "home" | "login" | "setup" | "shared" | "site-new" | "missing" }
  | { page: SitePage; site: string };
export type SitePage =
  | "overview"
  | "visits"
  | "goals"
  | "campaigns"
  | "attribution"
  | "pixels"
  | "filtered"
  | "permission"
  | "rights"
  | "settings";

/** Pages of a site that have a name in the address. */
const SITE_PAGES = [
  "visits",
  "goals",
  "campaigns",
  "attribution",
  "pixels",
  "filtered",
  "permission",
  "rights",
  "settings",
] as const;

export const here = $state({ path: location.pathname, search: location.search });

function follow(): void {
  here.path = location.pathname;
  here.search = location.search;
}

addEventListener("popstate", follow);

export function go(address: string, options: { replace?: boolean } = {}): void {
  if (address === location.pathname + location.search) return;
  if (options.replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  follow();
}

export function placeOf(path: string): Place {
  const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  const [first, second, third] = parts;
  if (first === undefined || (first === "sites" && second === undefined)) return { page: "home" };
  if (parts.length === 1 && (first === "login" || first === "setup" || first === "shared"))
    return { page: first };
  if (first === "sites" && second === "new" && third === undefined) return { page: "site-new" };
  if (first === "sites" && second !== undefined && parts.length <= 3) {
    if (third === undefined) return { page: "overview", site: second };
    const page = SITE_PAGES.find((name) => name === third);
    if (page) return { page, site: second };
  }
  return { page: "missing" };
}

export function siteAddress(site: string, page: SitePage = "overview"): string {
  const base = `/sites/${encodeURIComponent(site)}`;
  return page === "overview" ? base : `${base}/${page}`;
}

/** Turns clicks on our own links into navigation without loading the page again. */
export function catchLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest("a");
  if (!link?.href || link.target || link.hasAttribute("download")) return;
  const address = new URL(link.href);
  if (address.origin !== location.origin || /^\/(api|demo)(\/|$)/.test(address.pathname)) return;
  event.preventDefault();
  go(address.pathname + address.search);
}
