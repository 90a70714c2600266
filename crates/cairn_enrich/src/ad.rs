//! Whether an advertisement's impression or click is a person's or a machine's.
//!
//! A pure function of what one request shows: the general invalid traffic that lists and parameters tell (declared robots,
//! libraries, browsers without window, requests ahead of the reader, data centres), and what its sender did with the
//! advertisement in the last seconds. It cannot know machines that imitate
//! a browser completely from a home connection, hidden advertisements, or people who are paid to click.

use std::borrow::Cow;

use crate::bot::{BotVerdict, HeaderFacts};
use crate::mail::{SenderClass, is_proxy_agent};
use crate::network::Marks;

/// Networks out of which relays of people's browsers come (iCloud Private Relay), besides data centres.
const RELAYS: [u32; 4] = [13335, 20940, 36183, 54113];

/// A click this soon after the advertisement was shown is no reader's (docs/ads.md, `too_soon`).
pub const CLICK_AFTER_SHOWN_MS_MIN: i64 = 300;
/// Clicks of one sender on one advertisement within two seconds that are a machine's.
pub const BURST_CLICKS_MIN: usize = 3;

/// What one sender did with an advertisement lately, this click included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdTraces {
    /// The link was asked for with `HEAD` before.
    pub head_before: bool,
    /// Clicks within [`crate::mail::BURST_WINDOW_MS`].
    pub clicks: usize,
    /// Time since it was shown to this sender, milliseconds; `None` = not in the last minutes.
    pub since_shown_ms: Option<i64>,
}

/// Everything the verdict looks at.
#[derive(Clone, Debug, Default)]
pub struct AdFacts<'a> {
    /// A link was followed; otherwise an image was fetched.
    pub is_click: bool,
    /// `User-Agent` as it came.
    pub user_agent: &'a str,
    /// The verdict of web traffic on agent and headers.
    pub bot: BotVerdict,
    /// Presence of the headers that browsers send.
    pub headers: HeaderFacts<'a>,
    /// Marks of the sender's network.
    pub marks: Marks,
    /// Its AS number; 0 = not known.
    pub asn: u32,
    /// What its sender did lately; nothing for images.
    pub traces: AdTraces,
}

/// A class, and what it relied on, the decisive first; never without a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdVerdict {
    /// Whose it is.
    pub class: SenderClass,
    /// Stable names, as stored.
    pub reasons: Vec<Cow<'static, str>>,
}

/// One sign of a machine makes a machine; without one, a doubt makes it unknown.
pub fn judge(facts: &AdFacts<'_>) -> AdVerdict {
    let headers = facts.headers;
    let is_mail_proxy = !facts.is_click && is_proxy_agent(facts.user_agent);
    let is_hosted = facts.marks.hosting && !is_mail_proxy;
    let is_relay = RELAYS.contains(&facts.asn);
    let hides = facts.marks.vpn || facts.marks.proxy || is_relay;
    let lacks_fetch = headers.secure && !headers.has_sec_fetch;
    let lacks_all = !headers.has_accept_language && !headers.has_sec_fetch;
    let lacks_any = !headers.has_accept_language || lacks_fetch;
    let traces = facts.traces;
    let is_too_soon =
        traces.since_shown_ms.is_some_and(|passed_ms| passed_ms < CLICK_AFTER_SHOWN_MS_MIN);
    let shown = |found: bool, name: &'static str| found.then_some(Cow::Borrowed(name));
    let is_robot = facts.bot.is_bot() && !is_mail_proxy;
    let mut reasons: Vec<Cow<'static, str>> = [
        is_robot.then(|| Cow::Owned(facts.bot.reason().to_owned())),
        shown(traces.head_before, "head_before_get"),
        shown(is_too_soon, "too_soon"),
        shown(traces.clicks >= BURST_CLICKS_MIN, "burst"),
        shown(is_hosted && !hides, "data_centre"),
        shown(facts.is_click && lacks_all, "no_browser_headers"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let is_machine = !reasons.is_empty();
    let doubts = [
        shown(is_mail_proxy, "mail_proxy"),
        shown(is_hosted && hides, "relay_network"),
        shown(facts.marks.tor, "tor"),
        shown(facts.is_click && lacks_any && !lacks_all, "incomplete_headers"),
    ];
    reasons.extend(doubts.into_iter().flatten());
    let class = match (is_machine, reasons.is_empty()) {
        (true, _) => SenderClass::Machine,
        (false, false) => SenderClass::Unknown,
        (false, true) => SenderClass::Human,
    };
    if reasons.is_empty() {
        reasons.push(Cow::Borrowed("browser"));
    }
    AdVerdict { class, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person<'a>() -> AdFacts<'a> {
        let headers = HeaderFacts {
            has_accept_language: true,
            has_sec_fetch: true,
            secure: true,
            ..HeaderFacts::default()
        };
        AdFacts { is_click: true, headers, ..AdFacts::default() }
    }

    fn told(facts: &AdFacts<'_>) -> (SenderClass, String) {
        let verdict = judge(facts);
        (verdict.class, verdict.reasons.join(","))
    }

    #[test]
    fn each_sign_has_its_class() {
        let hosting = Marks { hosting: true, ..Marks::default() };
        let vpn = Marks { vpn: true, ..hosting };
        let bare = HeaderFacts { secure: true, ..HeaderFacts::default() };
        let partly = HeaderFacts { has_accept_language: true, ..bare };
        let gmail = "Mozilla/5.0 (via ggpht.com GoogleImageProxy)";
        let head = AdTraces { head_before: true, ..AdTraces::default() };
        let after = |ms| AdTraces { since_shown_ms: Some(ms), ..AdTraces::default() };
        let clicks = |clicks| AdTraces { clicks, ..AdTraces::default() };
        use SenderClass::{Human, Machine, Unknown};
        for (facts, class, reasons) in [
            (person(), Human, "browser"),
            (AdFacts { marks: hosting, ..person() }, Machine, "data_centre"),
            (AdFacts { marks: vpn, ..person() }, Unknown, "relay_network"),
            (AdFacts { marks: hosting, asn: 13335, ..person() }, Unknown, "relay_network"),
            (AdFacts { bot: BotVerdict::bot("headless"), ..person() }, Machine, "headless"),
            (AdFacts { traces: head, ..person() }, Machine, "head_before_get"),
            (AdFacts { traces: after(299), ..person() }, Machine, "too_soon"),
            (AdFacts { traces: after(300), ..person() }, Human, "browser"),
            (AdFacts { traces: clicks(3), ..person() }, Machine, "burst"),
            (AdFacts { traces: clicks(2), ..person() }, Human, "browser"),
            (AdFacts { headers: bare, ..person() }, Machine, "no_browser_headers"),
            (AdFacts { headers: bare, is_click: false, ..person() }, Human, "browser"),
            (AdFacts { headers: partly, ..person() }, Unknown, "incomplete_headers"),
            (
                AdFacts { user_agent: gmail, marks: hosting, is_click: false, ..person() },
                Unknown,
                "mail_proxy",
            ),
            (
                AdFacts { marks: Marks { tor: true, ..Marks::default() }, ..person() },
                Unknown,
                "tor",
            ),
        ] {
            assert_eq!(told(&facts), (class, reasons.to_owned()));
        }
    }
}
