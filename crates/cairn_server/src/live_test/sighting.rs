//! From a hit on its way to what its tests tell.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cairn_engine::ingest::gate::Decision;
use cairn_engine::ingest::page::origin_host;
use cairn_engine::ingest::{Admission, Rejection};
use cairn_engine::record;
use cairn_model::{Event, Identification, Outcome, Verdict};

use super::{CODE_LENGTH, LiveTestStage, LiveTests, PARAMETER, Test, Watches, lock};
use crate::{App, Clock};

/// How long the store is waited for.
const STORE_PATIENCE: Duration = Duration::from_secs(30);

/// How a hit came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Road {
    Script,
    Image,
    /// Without a browser: a server, an app.
    Direct,
    /// By a token: of a mail, a link, an advertisement.
    Signed,
}

impl Road {
    fn name(self) -> &'static str {
        match self {
            Road::Script => "script",
            Road::Image => "image",
            Road::Direct => "direct",
            Road::Signed => "signed",
        }
    }
}

/// What tests know a hit by.
pub(crate) struct Sighting<'a> {
    pub road: Road,
    /// The key that it names; empty where it cannot be read.
    pub key: Cow<'a, str>,
    /// `Origin` or `Referer`.
    pub origin: &'a str,
    /// Where a code may stand.
    pub texts: [&'a [u8]; 2],
}

impl Sighting<'_> {
    /// The code behind the parameter, in an address or in one that stands escaped within another.
    fn code(&self) -> Option<&[u8]> {
        let name = PARAMETER.as_bytes();
        self.texts.iter().find_map(|text| {
            let places = text.windows(name.len()).enumerate().filter(|(_, part)| *part == name);
            // The name alone, in a path for example, may come before the parameter.
            places.map(|(at, _)| &text[at + name.len()..]).find_map(|rest| {
                let signs: [&[u8]; 3] = [b"=", b"%3D", b"%3d"];
                let code = signs.iter().find_map(|sign| rest.strip_prefix(*sign))?;
                code.get(..CODE_LENGTH)
            })
        })
    }
}

/// The tests that look at a hit; mostly none.
pub(crate) struct Watched(Option<Box<Watching>>);

struct Watching {
    begun: Instant,
    road: Road,
    origin: Option<String>,
    seen: Mutex<Vec<Seen>>,
}

/// A test, and what it saw of this request.
struct Seen {
    test: Arc<Test>,
    is_certain: bool,
    has_its_key: bool,
    /// Numbers of hits that are on their way to the store.
    pending: Vec<u32>,
}

impl LiveTests {
    /// The tests that look at a hit. While none runs, neither `clock` nor `sighting` is called.
    #[inline]
    pub(crate) fn watch<'s>(
        &self,
        clock: &Clock,
        sighting: impl FnOnce() -> Sighting<'s>,
    ) -> Watched {
        if self.is_idle() { Watched(None) } else { self.watch_closely(clock(), &sighting()) }
    }

    #[cold]
    fn watch_closely(&self, now_ms: i64, sighting: &Sighting<'_>) -> Watched {
        let code = sighting.code();
        let mut tests = lock(&self.tests);
        self.sweep(&mut tests, now_ms);
        let seen = tests.iter().filter_map(|test| {
            let is_certain = code == Some(test.code.as_bytes());
            let has_its_key = sighting.key == test.pixel_key;
            let is_watched = is_certain || (has_its_key && test.watches != Watches::Visit);
            let test = Arc::clone(test);
            is_watched.then(|| Seen { test, is_certain, has_its_key, pending: Vec::new() })
        });
        let seen: Vec<Seen> = seen.collect();
        if seen.is_empty() {
            return Watched(None);
        }
        Watched(Some(Box::new(Watching {
            begun: Instant::now(),
            road: sighting.road,
            origin: origin_host(sighting.origin).map(Cow::into_owned),
            seen: Mutex::new(seen),
        })))
    }
}

impl Watched {
    /// Whether anybody looks.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.is_some()
    }

    /// An event, or the request as a whole, was refused.
    #[inline]
    pub(crate) fn refused(&self, rejection: &Rejection) {
        self.refused_event("", rejection);
    }

    /// The same with the event's name where it can be read.
    #[inline]
    pub(crate) fn refused_event(&self, event: &str, rejection: &Rejection) {
        if let Some(watching) = &self.0 {
            watching.refused(event, rejection);
        }
    }

    /// An event passed the gate; `record` is what will be stored of it.
    #[inline]
    pub(crate) fn admitted(&self, record: &[u8], admission: &Admission<'_>) {
        if let Some(watching) = &self.0 {
            watching.admitted(record, |event| {
                let visitor = match (event.identification, admission.cookie_of_visitor()) {
                    (Identification::Anonymous, _) => "anonymous",
                    (_, Some(true)) => "new",
                    (_, Some(false)) => "known",
                    (_, None) => "named",
                };
                (*admission.latest_decision(), visitor)
            });
        }
    }

    /// The same for the open or click of a mail, whose permission is its recipient's.
    #[inline]
    pub(crate) fn admitted_mail(&self, record: &[u8]) {
        if let Some(watching) = &self.0 {
            watching.admitted(record, |event| {
                let (verdict, reason, visitor) = match event.identification {
                    Identification::Identified => (Verdict::Full, "the recipient agreed", "named"),
                    Identification::Anonymous => {
                        let reason = "counted for the campaign: no recipient who agreed";
                        (Verdict::Anonymous, reason, "anonymous")
                    }
                };
                let granted = [verdict == Verdict::Full, false, false, false];
                (Decision { verdict, granted, basis: event.basis, reason }, visitor)
            });
        }
    }

    /// What was admitted is durable at these offsets.
    #[inline]
    pub(crate) fn kept(&self, app: &Arc<App>, offsets: Range<u64>) {
        if let Some(watching) = &self.0 {
            watching.kept(app, offsets);
        }
    }

    /// What was admitted could not be kept.
    #[inline]
    pub(crate) fn lost(&self, rejection: &Rejection) {
        if let Some(watching) = &self.0 {
            for seen in lock(&watching.seen).iter_mut() {
                for hit in std::mem::take(&mut seen.pending) {
                    let stage = LiveTestStage::not_stored(hit, rejection.outcome);
                    seen.test.tell(&stage.refused_with(rejection));
                }
            }
        }
    }
}

impl Watching {
    fn received(&self, hit: u32, event: &str, seen: &Seen) -> LiveTestStage {
        LiveTestStage {
            event: (!event.is_empty()).then(|| event.to_owned()),
            road: Some(self.road.name()),
            origin: self.origin.clone(),
            key: Some(if seen.has_its_key { "this" } else { "other" }),
            certain: Some(seen.is_certain),
            ..LiveTestStage::received(hit)
        }
    }

    #[cold]
    fn refused(&self, event: &str, rejection: &Rejection) {
        for seen in lock(&self.seen).iter() {
            let Some(hit) = seen.test.begin_hit(seen.is_certain) else { continue };
            let mut received = self.received(hit, event, seen);
            match rejection.outcome {
                Outcome::DroppedOptedOut | Outcome::DroppedPolicy => {
                    seen.test.tell(&received);
                    seen.test.tell(&LiveTestStage::dropped(hit).refused_with(rejection));
                }
                outcome => {
                    if outcome == Outcome::RejectedUnknownKey {
                        received.key = Some("unknown");
                    }
                    seen.test.tell(&received.refused_with(rejection));
                }
            }
        }
    }

    #[cold]
    fn admitted(&self, record: &[u8], judge: impl Fn(&Event<'_>) -> (Decision, &'static str)) {
        let Ok(event) = record::decode(record) else { return };
        for seen in lock(&self.seen).iter_mut() {
            let Some(hit) = seen.test.begin_hit(seen.is_certain) else {
                // Keeps the places: hits and offsets are counted together.
                seen.pending.push(0);
                continue;
            };
            let mut received = self.received(hit, &event.name, seen);
            if event.site_id != seen.test.site_id {
                // What another site does with it is not this owner's business.
                received.key = Some("other_site");
                received.passed = false;
                seen.test.tell(&received);
                seen.pending.push(0);
                continue;
            }
            let (decision, visitor) = judge(&event);
            seen.test.tell(&received);
            seen.test.tell(&LiveTestStage::permission(hit, &decision));
            seen.test.tell(&LiveTestStage::recognised(hit, visitor, &event));
            seen.pending.push(hit);
        }
    }

    #[cold]
    fn kept(&self, app: &Arc<App>, offsets: Range<u64>) {
        for seen in lock(&self.seen).iter_mut() {
            let pending = std::mem::take(&mut seen.pending);
            for (offset, hit) in offsets.clone().zip(pending).filter(|(_, hit)| *hit > 0) {
                let (app, test) = (Arc::clone(app), Arc::clone(&seen.test));
                let begun = self.begun;
                tokio::spawn(async move {
                    let is_applied = app.apply.wait_applied(offset, STORE_PATIENCE).await;
                    let after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let is_repetition =
                        app.apply.counts(std::slice::from_ref(&(offset..offset + 1))).duplicate > 0;
                    test.tell(&match (is_applied, is_repetition) {
                        (false, _) => LiveTestStage::delayed(hit, after_ms),
                        (true, true) => LiveTestStage::not_stored(hit, Outcome::Duplicate),
                        (true, false) => LiveTestStage::stored(hit, after_ms),
                    });
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_in<'t>(first: &'t [u8], second: &'t [u8]) -> Option<Vec<u8>> {
        let texts = [first, second];
        let sighting = Sighting { road: Road::Image, key: "".into(), origin: "", texts };
        sighting.code().map(<[u8]>::to_vec)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_holds_a_code_or_none(
            before in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            sign in "(=|%3[Dd])?",
            after in proptest::collection::vec(proptest::num::u8::ANY, 0..32),
        ) {
            proptest::prop_assert_eq!(code_in(&before, &after), None);
            let text = [&before, PARAMETER.as_bytes(), sign.as_bytes(), &after].concat();
            let expected = match (sign.as_str(), after.get(..CODE_LENGTH)) {
                ("", _) | (_, None) => None,
                (_, Some(code)) => Some(code.to_vec()),
            };
            // Without a sign of ours, what follows may begin with one by chance.
            if !sign.is_empty() || !matches!(after.first(), Some(b'=' | b'%')) {
                proptest::prop_assert_eq!(&code_in(&text, b""), &expected);
                proptest::prop_assert_eq!(&code_in(b"", &text), &expected);
                let twice = [PARAMETER.as_bytes(), b"/", &text].concat();
                proptest::prop_assert_eq!(&code_in(&twice, b""), &expected);
            }
        }
    }
}
