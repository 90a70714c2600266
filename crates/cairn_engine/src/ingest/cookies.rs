//! The three cookies: reading them from a request, and what a response sets.
//!
//! Guarantees: nothing is set before permission or a choice, nothing for other origins; an id that
//! was refused is taken back. Lifetimes are never refreshed: the browser's expiry stands. `cairn_memory` is the exception,
//! whose values have lifetimes of their own: it is set anew with what is remembered.

use cairn_model::limits::COOKIE_AGE_DAYS_MAX;
use cairn_model::{CrossSiteCookies, Verdict};

use super::consent::RecordedConsent;
use super::gate::Decision;
use super::visitor::{CookieId, parse_cookie_id};

/// Name of the visitor's cookie.
pub const ID_COOKIE: &str = "cairn_id";
/// Name of the cookie that holds the choice.
pub const CONSENT_COOKIE: &str = "cairn_consent";
/// Name of the cookie by which a browser's memory is found.
pub const MEMORY_COOKIE: &str = "cairn_memory";

const PARTITIONED: &str = "; SameSite=None; Secure; Partitioned";
const THIRD_PARTY: &str = "; SameSite=None; Secure";

/// What a request's `Cookie` header holds of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cookies {
    /// A valid `cairn_id`.
    pub id: Option<CookieId>,
    /// `cairn_id` is there, valid or not.
    pub has_id: bool,
    /// `cairn_consent`.
    pub consent: Option<RecordedConsent>,
    /// A valid `cairn_memory`.
    pub memory: Option<CookieId>,
    /// `cairn_memory` is there, valid or not.
    pub has_memory: bool,
}

impl Cookies {
    /// Reads the header; of a repeated name the first counts, as browsers send the nearest path first;
    /// of choices the newest that can have been made by `now_ms`.
    pub fn parse(header: &str, now_ms: i64) -> Self {
        let mut cookies = Cookies::default();
        if header.is_empty() {
            return cookies;
        }
        for pair in header.split(';') {
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            if name == ID_COOKIE && !cookies.has_id {
                cookies.has_id = true;
                cookies.id = parse_cookie_id(value);
            } else if name == CONSENT_COOKIE {
                // A browser may have one of this site alone and one of all.
                let record = RecordedConsent::parse(value).map(|it| it.relied_on_at(now_ms));
                cookies.consent = match (cookies.consent, record) {
                    (Some(known), Some(record)) => Some(known.newer_of_each(&record)),
                    (known, record) => known.or(record),
                };
            } else if name == MEMORY_COOKIE && !cookies.has_memory {
                cookies.has_memory = true;
                cookies.memory = parse_cookie_id(value);
            }
        }
        cookies
    }
}

/// How cookies are to be set for this request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jar {
    /// The request came by HTTPS.
    pub secure: bool,
    /// The page is on another site.
    pub cross_site: bool,
    /// What the owner chose for such pages.
    pub kind: CrossSiteCookies,
}

impl Jar {
    fn attributes(self, name: &str, value: &str, age_s: u64, http_only: bool) -> String {
        let mut cookie = format!("{name}={value}; Max-Age={age_s}; Path=/");
        if http_only {
            cookie.push_str("; HttpOnly");
        }
        cookie.push_str(match (self.kind, self) {
            // One that serves other sites, too, wherever it is set; browsers take it by HTTPS only.
            (
                CrossSiteCookies::ThirdParty,
                Jar { cross_site: true, .. } | Jar { secure: true, .. },
            ) => THIRD_PARTY,
            (_, Jar { cross_site: true, .. }) => PARTITIONED,
            (_, Jar { secure: true, .. }) => "; SameSite=Lax; Secure",
            (_, Jar { .. }) => "; SameSite=Lax",
        });
        cookie
    }

    /// Takes a cookie back; on another site in both forms, since the owner may have chosen another one meanwhile.
    fn forget(self, name: &str) -> Vec<String> {
        let mut headers = vec![self.attributes(name, "", 0, true)];
        if self.cross_site {
            let kind = match self.kind {
                CrossSiteCookies::ThirdParty => CrossSiteCookies::Partitioned,
                _ => CrossSiteCookies::ThirdParty,
            };
            headers.push(Jar { kind, ..self }.attributes(name, "", 0, true));
        }
        headers
    }

    /// `Set-Cookie` for a new visitor.
    pub fn id(self, id: &CookieId) -> String {
        self.attributes(ID_COOKIE, &digits(id), age_s(), true)
    }

    /// `Set-Cookie` that takes the visitor's id back.
    pub fn forget_id(self) -> Vec<String> {
        self.forget(ID_COOKIE)
    }

    /// `Set-Cookie` for a browser that has something remembered.
    pub fn memory(self, id: &CookieId) -> String {
        self.attributes(MEMORY_COOKIE, &digits(id), age_s(), true)
    }

    /// `Set-Cookie` that ends it.
    pub fn forget_memory(self) -> Vec<String> {
        self.forget(MEMORY_COOKIE)
    }

    /// `Set-Cookie` for a choice. Readable by scripts, so that a banner need not ask again.
    pub fn consent(self, record: &RecordedConsent) -> String {
        self.attributes(CONSENT_COOKIE, &record.cookie_value(), age_s(), false)
    }
}

fn digits(id: &CookieId) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(HEX[usize::from(value & 15)]);
    id.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn age_s() -> u64 {
    u64::from(COOKIE_AGE_DAYS_MAX) * 24 * 60 * 60
}

/// Whether the id in the browser must go: it is there, and the visitor said no.
pub fn must_forget(cookies: &Cookies, decision: &Decision, denied_analytics: bool) -> bool {
    cookies.has_id && decision.verdict != Verdict::Full && denied_analytics
}

#[cfg(test)]
mod tests {
    use cairn_model::Choice;

    use super::*;
    use crate::ingest::consent::{Said, parse};

    const NOW_MS: i64 = 1_795_341_600_000;

    #[test]
    fn a_yes_ends_after_13_months_and_one_of_a_time_to_come_is_none() {
        let now_s = NOW_MS / 1000;
        let day_s = 86_400;
        let read = |header: String| Cookies::parse(&header, NOW_MS).consent.unwrap();
        let at =
            |digit: u8, at_s: i64| read(format!("cairn_consent=v1.analytics={digit}.t={at_s}"));
        let said = |choice: &str| parse(&format!("analytics:{choice}")).unwrap();
        let (yes, no) = (Choice::Granted, Choice::Denied);
        let silence = parse("").unwrap();
        for (at_s, wanted) in [
            (now_s - 395 * day_s, Some((yes, false))),
            (now_s - 395 * day_s - 1, None),
            (now_s + 60, Some((yes, false))),
            (now_s + 61, None),
        ] {
            assert_eq!(at(1, at_s).newest(&silence, Said::Now, 0), wanted, "{at_s}");
            assert_eq!(at(0, at_s).newest(&silence, Said::Now, 0), Some((no, false)), "{at_s}");
        }
        // A later word about something else does not make it younger.
        let old_s = 394 * day_s;
        let both = format!("cairn_consent=v1.analytics=1-{old_s}.ads=0.t={now_s}");
        let later_ms = NOW_MS + 2 * day_s * 1000;
        assert!(read(both.clone()).choices[0].is_some());
        let later = Cookies::parse(&both, later_ms).consent.unwrap();
        assert!(later.choices[0].is_none() && later.choices[1].is_some());
        let updated = later.updated(&said("granted"), Said::Now, false, later_ms);
        assert_eq!(updated.unwrap().choices[0].unwrap().at_ms, later_ms, "asked anew");
        // A no of a time to come stands until somebody says yes.
        let ahead = now_s + 100 * day_s;
        let refused = at(0, ahead);
        assert_eq!(
            refused.newest(&said("granted"), Said::At(NOW_MS - 60_000), 0),
            Some((no, false))
        );
        assert_eq!(refused.newest(&said("granted"), Said::Now, 0), Some((yes, true)));
        // Of two cookies the one that can be relied on.
        let both = format!(
            "cairn_consent=v1.analytics=1.t={ahead}; cairn_consent=v1.analytics=0.t={now_s}"
        );
        assert_eq!(read(both).choices[0].unwrap().choice, no);
    }

    #[test]
    fn reads_its_own_and_skips_the_rest() {
        let id = "00112233445566778899aabbccddeeff";
        let cookies =
            Cookies::parse(&format!("a=b; cairn_id={id}; cairn_consent=v1.ads=0.t=7;x"), NOW_MS);
        assert_eq!(cookies.id.unwrap()[15], 0xff);
        assert_eq!(cookies.consent.unwrap().choices[1].unwrap().at_ms, 7_000);
        let memory = Cookies::parse(&format!("cairn_memory={id}; cairn_memory=x"), NOW_MS);
        assert!(memory.memory == cookies.id && memory.has_memory && memory.id.is_none());
        let (one, other) = ("v1.ads=1.t=1795341599", "v1.ads=0.analytics=1.t=1795341598");
        let twice = format!("cairn_consent={one}; cairn_consent={other}");
        let twice = Cookies::parse(&twice, NOW_MS).consent.unwrap();
        assert_eq!(twice.cookie_value(), "v1.analytics=1-1.ads=1.t=1795341599");
        assert_eq!(Cookies::parse("cairn_id=short", NOW_MS).id, None);
        assert!(Cookies::parse("cairn_id=short", NOW_MS).has_id);
        assert_eq!(Cookies::parse("", NOW_MS), Cookies::default());
    }

    #[test]
    fn attributes_follow_the_contract() {
        let id = [0xab; 16];
        let jar = |secure, cross_site, kind| Jar { secure, cross_site, kind };
        use CrossSiteCookies::{None, Partitioned, ThirdParty};
        let plain = jar(false, false, None).id(&id);
        assert_eq!(
            plain,
            format!(
                "cairn_id={}; Max-Age=34128000; Path=/; HttpOnly; SameSite=Lax",
                "ab".repeat(16)
            )
        );
        for (secure, cross_site, kind, wanted) in [
            (true, false, None, "HttpOnly; SameSite=Lax; Secure"),
            (true, false, Partitioned, "HttpOnly; SameSite=Lax; Secure"),
            (true, true, Partitioned, "HttpOnly; SameSite=None; Secure; Partitioned"),
            (false, true, Partitioned, "HttpOnly; SameSite=None; Secure; Partitioned"),
            // On the own site, too: the other one is to find it.
            (true, false, ThirdParty, "HttpOnly; SameSite=None; Secure"),
            (true, true, ThirdParty, "HttpOnly; SameSite=None; Secure"),
            (false, false, ThirdParty, "HttpOnly; SameSite=Lax"),
        ] {
            let cookie = jar(secure, cross_site, kind).id(&id);
            assert!(cookie.ends_with(&format!("; {wanted}")), "{cookie}");
        }
        let forgotten = jar(true, false, None).forget_id();
        assert_eq!(forgotten, ["cairn_id=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"]);
        // An id of before the owner changed his mind goes, too.
        for kind in [Partitioned, ThirdParty] {
            let forgotten = jar(true, true, kind).forget_memory();
            let is_partitioned = |set: &String| set.ends_with("Partitioned");
            assert_eq!(forgotten.len(), 2);
            assert_eq!(forgotten.iter().filter(|set| is_partitioned(set)).count(), 1);
        }
    }
}
