//! What a visitor said: the `consent` field, and the record of it in the cookie `cairn_consent`.
//!
//! Guarantees: a text that cannot be understood is never taken for a yes. The record holds choices
//! and their time, and nothing that tells one visitor from another.

use std::borrow::Cow;
use std::fmt::Write;

use cairn_model::{Choice, Purpose};

use super::rejection::Rejection;

/// One answer per purpose, in the order of [`Purpose::ALL`].
pub type Choices = [Option<Choice>; 4];

/// The `consent` field of a hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SentConsent {
    /// Nothing was said.
    #[default]
    Nothing,
    /// Choices by purpose.
    Choices(Choices),
    /// A TCF or GPP string: not understood yet, so it counts as *no* to everything.
    Unsupported,
}

/// The strings of consent managers that came with a hit, unread. Empty = none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Strings<'a> {
    /// `gdpr`: `1` = the sender says that European law applies.
    pub gdpr: Cow<'a, str>,
    /// A TC string (`gdpr_consent`).
    pub tcf: Cow<'a, str>,
    /// A GPP string.
    pub gpp: Cow<'a, str>,
    /// The numbers of its sections that apply.
    pub gpp_sid: Cow<'a, str>,
    /// A US Privacy string.
    pub us_privacy: Cow<'a, str>,
}

impl<'a> Strings<'a> {
    /// Sets one by the name of its parameter in ad tags; the first counts. `false`: no such name.
    pub fn set(&mut self, parameter: &str, value: Cow<'a, str>) -> bool {
        let place = match parameter {
            "gdpr" => &mut self.gdpr,
            "gdpr_consent" => &mut self.tcf,
            "gpp" => &mut self.gpp,
            "gpp_sid" => &mut self.gpp_sid,
            "us_privacy" => &mut self.us_privacy,
            _ => return false,
        };
        if place.is_empty() {
            *place = value;
        }
        true
    }
}

impl SentConsent {
    /// The same with what the strings say.
    pub fn with_strings(self, strings: &Strings<'_>) -> Self {
        let has_string = !strings.tcf.is_empty()
            || !strings.gpp.is_empty()
            || strings.gdpr == "1"
            || !matches!(strings.us_privacy.as_ref(), "" | "1---");
        if has_string { SentConsent::Unsupported } else { self }
    }
}

/// One recorded choice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RecordedChoice {
    /// The choice.
    pub choice: Choice,
    /// It was made while the browser showed Global Privacy Control.
    pub under_gpc: bool,
}

/// The content of `cairn_consent`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecordedConsent {
    /// Answers in the order of [`Purpose::ALL`].
    pub choices: [Option<RecordedChoice>; 4],
    /// When the newest was made, Unix seconds.
    pub at_s: i64,
}

/// Reads the `consent` field.
pub fn parse(text: &str) -> Result<SentConsent, Rejection> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(SentConsent::Nothing);
    }
    if is_industry_string(text) {
        return Ok(SentConsent::Unsupported);
    }
    let mut choices: Choices = [None; 4];
    for part in text.split(',') {
        let (purpose, choice) = part.split_once([':', '=']).ok_or_else(unreadable)?;
        let place = Purpose::ALL
            .iter()
            .position(|known| known.name() == purpose.trim())
            .ok_or_else(unreadable)?;
        let choice = match choice.trim() {
            "granted" => Choice::Granted,
            "denied" => Choice::Denied,
            _ => return Err(unreadable()),
        };
        if choices[place].replace(choice).is_some_and(|earlier| earlier != choice) {
            return Err(unreadable());
        }
    }
    Ok(SentConsent::Choices(choices))
}

/// The rejection of a text that is neither choices nor an industry string.
pub fn unreadable() -> Rejection {
    Rejection::malformed(
        "consent",
        "not a list like analytics:granted,ads:denied of the purposes analytics, ads, \
         personalization, functional",
    )
}

/// What senders of TCF and GPP strings are told.
pub const UNSUPPORTED_MESSAGE: &str = "TCF and GPP strings are not understood yet and count as no";

/// TCF (`C…`, `B…` in base64url with dots), GPP (`DB…~…`) or US Privacy (`1YNN`).
fn is_industry_string(text: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if !text.bytes().all(base64) {
        return false;
    }
    let us_privacy = text.len() == 4
        && text.starts_with('1')
        && text[1..].bytes().all(|byte| b"YN-yn".contains(&byte));
    us_privacy || text.starts_with("DB") || (text.len() >= 20 && text.starts_with(['B', 'C']))
}

impl RecordedConsent {
    /// Reads the cookie's value; what was not written by [`Self::cookie_value`] is nothing.
    pub fn parse(value: &str) -> Option<Self> {
        let mut record = RecordedConsent::default();
        for part in value.strip_prefix("v1.")?.split('.') {
            let (name, value) = part.split_once('=')?;
            if name == "t" {
                record.at_s = value.parse().ok()?;
                continue;
            }
            let place = Purpose::ALL.iter().position(|known| known.name() == name)?;
            let (choice, under_gpc) = match value {
                "1" => (Choice::Granted, false),
                "1g" => (Choice::Granted, true),
                "0" => (Choice::Denied, false),
                "0g" => (Choice::Denied, true),
                _ => return None,
            };
            record.choices[place] = Some(RecordedChoice { choice, under_gpc });
        }
        Some(record)
    }

    /// `v1.analytics=1.ads=0g.t=1795341600`: `g` marks a choice made under Global Privacy Control.
    pub fn cookie_value(&self) -> String {
        let mut value = String::from("v1");
        for (purpose, recorded) in Purpose::ALL.iter().zip(self.choices) {
            let Some(recorded) = recorded else { continue };
            let choice = if recorded.choice == Choice::Granted { '1' } else { '0' };
            let mark = if recorded.under_gpc { "g" } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(value, ".{}={choice}{mark}", purpose.name());
        }
        let _ = write!(value, ".t={}", self.at_s);
        value
    }

    /// The record after these choices; `None` if they say nothing that it does not say already.
    /// `under_gpc`: they were sent by themselves, as on the click that makes them, while the browser
    /// showed the signal. What a site sends along with every hit is no answer to the signal.
    pub fn updated(&self, sent: &Choices, under_gpc: bool, now_s: i64) -> Option<Self> {
        let mut updated = *self;
        for (recorded, sent) in updated.choices.iter_mut().zip(sent) {
            let Some(choice) = *sent else { continue };
            let says_it = |recorded: RecordedChoice| {
                recorded.choice == choice && (recorded.under_gpc || !under_gpc)
            };
            if !recorded.is_some_and(says_it) {
                *recorded = Some(RecordedChoice { choice, under_gpc });
            }
        }
        updated.at_s = now_s;
        (updated.choices != self.choices).then_some(updated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_choices() {
        let given = parse("analytics:granted, ads:denied").unwrap();
        let wanted = [Some(Choice::Granted), Some(Choice::Denied), None, None];
        assert_eq!(given, SentConsent::Choices(wanted));
        assert_eq!(parse("").unwrap(), SentConsent::Nothing);
        for text in [
            "yes",
            "analytics",
            "analytics:yes",
            "marketing:granted",
            "analytics:granted,",
            "analytics:granted,analytics:denied",
            "granted:analytics",
            "CPXX",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn industry_strings_are_a_no() {
        for text in [
            "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA",
            "DBABMA~CPXxRfAPXxRfAAfKABENB-CgAAAA",
            "1YNN",
            "DBAA",
        ] {
            assert_eq!(parse(text).unwrap(), SentConsent::Unsupported, "{text}");
        }
    }

    #[test]
    fn a_repeated_answer_does_not_become_one_under_the_signal() {
        let granted = [None, Some(Choice::Granted), None, None];
        let first = RecordedConsent::default().updated(&granted, false, 10).unwrap();
        assert_eq!(first.updated(&granted, false, 20), None);
        let second = first.updated(&granted, true, 30).unwrap();
        assert!(second.choices[1].unwrap().under_gpc);
        assert_eq!(second.updated(&granted, false, 40), None, "stays what it was");
    }

    fn record() -> impl Strategy<Value = RecordedConsent> {
        let one = proptest::option::of(any::<(bool, bool)>());
        (proptest::array::uniform4(one), any::<i64>()).prop_map(|(choices, at_s)| {
            let choices = choices.map(|choice| {
                choice.map(|(yes, under_gpc)| RecordedChoice {
                    choice: if yes { Choice::Granted } else { Choice::Denied },
                    under_gpc,
                })
            });
            RecordedConsent { choices, at_s }
        })
    }

    proptest! {
        #[test]
        fn the_cookie_reads_back(record in record()) {
            prop_assert_eq!(RecordedConsent::parse(&record.cookie_value()), Some(record));
        }

        #[test]
        fn any_cookie_is_read_or_ignored(value in "\\PC{0,40}|v1[.a-z=01g]{0,60}") {
            let _ = RecordedConsent::parse(&value);
            let _ = parse(&value);
        }
    }
}
