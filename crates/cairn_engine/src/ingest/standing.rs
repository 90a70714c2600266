//! Where a request comes from, by the site's list of hosts.
//!
//! Guarantees: a host is the site's if it is its domain, below it, or listed by its full name; what names no host is nobody's
//! page on another site.

use cairn_model::Site;

use super::gate::Standing;
use super::{Hit, page};

/// Where the request stands, and whether it names an origin to echo.
/// `with_cookies`: the owner chose cookies on his pages of other sites.
pub(super) fn standing(hit: &Hit<'_>, site: &Site, with_cookies: bool) -> (Standing, bool) {
    let named = if hit.origin.is_empty() { hit.referer } else { hit.origin };
    let host = page::origin_host(named);
    let listed = host.as_deref().map(|host| is_listed(site, host));
    let standing = match listed {
        Some(false) => Standing::Foreign,
        // `Origin: null` is an origin that nobody lists.
        None if !hit.origin.is_empty() => Standing::Foreign,
        // The cookies are for the owner's own pages: without a name it may be anybody's.
        _ if hit.cross_site && !(with_cookies && listed == Some(true)) => Standing::CrossSite,
        _ => Standing::Own,
    };
    (standing, !hit.origin.is_empty() && listed == Some(true))
}

/// Whether a host belongs to the site: its domain, a subdomain of it, or one that was added.
pub fn is_listed(site: &Site, host: &str) -> bool {
    let is_domain = host
        .strip_suffix(site.domain.as_str())
        .is_some_and(|before| before.is_empty() || before.ends_with('.'));
    (is_domain && !site.domain.is_empty()) || site.hosts.iter().any(|known| known == host)
}
