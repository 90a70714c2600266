//! The `consent` field of `POST /e` as a whole: what was said, by which signal, in answer to what.
//!
//! Guarantees: a part that cannot be read refuses the field by its name; parts that contradict each
//! other make a *no*. It knows nothing of the visitor.

use std::borrow::Cow;
use std::collections::HashSet;

use cairn_consent::ConsentMode;
use cairn_consent::purposes::Rule;
use cairn_model::Purpose;

use super::consent::{self, Choices, SentConsent, Strings};
use super::fields::{decoration, not_a, text};
use super::json::{Kind, Raw};
use super::rejection::Rejection;
use super::text as texts;

/// Longest name of a version of what was shown.
const VERSION_SIZE_BYTES_MAX: usize = 64;

/// A `consent` field.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statement<'a> {
    /// What the visitor said.
    pub sent: SentConsent,
    /// What he was shown when he said it.
    pub shown: Option<Shown<'a>>,
    /// By what it was said; as told, or as its strings are.
    pub signal: Option<Signal>,
    /// How long ago it was said, milliseconds; `None`: with this request.
    pub age_ms: Option<i64>,
    /// It was told before, or another request tells it.
    pub is_repeated: bool,
}

impl Statement<'_> {
    /// The same, for longer than its text.
    pub fn into_owned(self) -> Statement<'static> {
        let shown = self.shown.map(|shown| Shown {
            version: shown.version.into_owned().into(),
            language: shown.language.into_owned().into(),
        });
        let Statement { sent, signal, age_ms, is_repeated, .. } = self;
        Statement { sent, shown, signal, age_ms, is_repeated }
    }
}

/// What a visitor was shown when he was asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shown<'a> {
    /// The version of the banner or page, as its maker names it; at most 64 bytes.
    pub version: Cow<'a, str>,
    /// BCP 47 language it was shown in; empty = not told.
    pub language: Cow<'a, str>,
}

/// By what a choice was expressed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    /// The first layer of a banner.
    Banner,
    /// The page or dialogue where each purpose is chosen.
    PreferenceCentre,
    /// The site's own code.
    Page,
    /// A consent manager, by a TC string.
    Tcf,
    /// A consent manager, by a GPP string.
    Gpp,
    /// A US Privacy string.
    UsPrivacy,
    /// Google consent mode.
    ConsentMode,
    /// The page where sale and sharing are objected to.
    OptOutPage,
    /// The page that shows a visitor what is known about his browser.
    PrivacyPage,
}

impl Signal {
    /// All signals.
    pub const ALL: [Signal; 9] = [
        Signal::Banner,
        Signal::PreferenceCentre,
        Signal::Page,
        Signal::Tcf,
        Signal::Gpp,
        Signal::UsPrivacy,
        Signal::ConsentMode,
        Signal::OptOutPage,
        Signal::PrivacyPage,
    ];

    /// By what strings say it was said, where nobody told; several strings have no one name.
    pub fn of(sent: &SentConsent) -> Option<Signal> {
        let SentConsent::Told(told) = sent else { return None };
        match told.answers.rule {
            Rule::TcfPublisher | Rule::TcfPurposes => Some(Signal::Tcf),
            Rule::Us | Rule::Canada => Some(Signal::Gpp),
            Rule::UsPrivacy => Some(Signal::UsPrivacy),
            Rule::ConsentMode => Some(Signal::ConsentMode),
            Rule::None | Rule::SeveralUs | Rule::Several => None,
        }
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Banner => "banner",
            Signal::PreferenceCentre => "preference_centre",
            Signal::Page => "page",
            Signal::Tcf => "tcf",
            Signal::Gpp => "gpp",
            Signal::UsPrivacy => "us_privacy",
            Signal::ConsentMode => "consent_mode",
            Signal::OptOutPage => "opt_out_page",
            Signal::PrivacyPage => "privacy_page",
        }
    }
}

/// Reads the field: the compact text, the same as an object, or the object with strings and what was
/// shown.
pub fn statement<'a>(value: Raw<'a>) -> Result<Statement<'a>, Rejection> {
    let mut statement = Statement::default();
    let Some(fields) = value.fields() else {
        statement.sent = consent::parse(&text("consent", value)?)?;
        statement.signal = Signal::of(&statement.sent);
        return Ok(statement);
    };
    let mut own = Choices::default();
    let mut strings = Strings::default();
    for (name, value) in once_each("consent", fields)? {
        if value.kind() == Kind::Null {
            continue;
        }
        match name.as_ref() {
            "choice" => match consent::parse(&text("consent.choice", value)?)? {
                SentConsent::Choices(said) => add_own(&mut own, said)?,
                string => statement.sent = string,
            },
            "tcf" => strings.tcf = text("consent.tcf", value)?,
            "gpp" => strings.gpp = text("consent.gpp", value)?,
            "gpp_sid" => strings.gpp_sid = sections(value)?,
            "us_privacy" => strings.us_privacy = text("consent.us_privacy", value)?,
            "consent_mode" => strings.mode = Some(mode(value)?),
            "shown" => statement.shown = Some(shown(value)?),
            "age_ms" => statement.age_ms = Some(age_ms(value)?),
            "repeated" => {
                statement.is_repeated =
                    is_true(value).ok_or_else(|| not_a("consent.repeated", "truth value"))?;
            }
            "signal" => statement.signal = Some(signal(&text("consent.signal", value)?)?),
            purpose if Purpose::ALL.iter().any(|known| known.name() == purpose) => {
                let said = value.text().as_deref().and_then(consent::choice);
                let choice = Some(said.ok_or_else(consent::unreadable)?);
                let of = |known: Purpose| choice.filter(|_| known.name() == purpose);
                add_own(&mut own, Purpose::ALL.map(of))?;
            }
            _ => return Err(consent::unreadable()),
        }
    }
    if own != Choices::default() {
        // A string stands for itself.
        if statement.sent != SentConsent::Nothing {
            return Err(consent::unreadable());
        }
        statement.sent = SentConsent::Choices(own);
    }
    statement.sent = statement.sent.with_strings(&strings);
    statement.signal = statement.signal.or_else(|| Signal::of(&statement.sent));
    Ok(statement)
}

/// The fields of an object that has none twice: of two, nobody knows which was meant.
fn once_each<'f>(
    object: &'static str,
    fields: Vec<(Cow<'f, str>, Raw<'f>)>,
) -> Result<Vec<(Cow<'f, str>, Raw<'f>)>, Rejection> {
    let mut seen = HashSet::new();
    match fields.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => {
            let mut rejection = Rejection::malformed("", "given twice");
            rejection.field = format!("{object}.{}", texts::cut(name, 64)).into();
            Err(rejection)
        }
        None => Ok(fields),
    }
}

/// Adds what was said in Cairn's words; two answers about one purpose are none.
fn add_own(own: &mut Choices, said: Choices) -> Result<(), Rejection> {
    for (known, said) in own.iter_mut().zip(said) {
        let Some(choice) = said else { continue };
        if known.replace(choice).is_some_and(|earlier| earlier != choice) {
            return Err(consent::unreadable());
        }
    }
    Ok(())
}

/// `[7]` or `"7"` or `"2,7"`.
fn sections(value: Raw<'_>) -> Result<Cow<'_, str>, Rejection> {
    let Some(elements) = value.elements() else {
        return match value.number() {
            Some(number) => Ok(number.into_owned().into()),
            None => text("consent.gpp_sid", value),
        };
    };
    let fault = || not_a("consent.gpp_sid", "list of section numbers");
    let numbers: Option<Vec<_>> = elements.into_iter().map(Raw::number).collect();
    Ok(numbers.ok_or_else(fault)?.join(",").into())
}

/// `{"analytics_storage": "granted", …}`, what an update of Google consent mode said; or a `gcd`, a
/// `gcs`.
fn mode(value: Raw<'_>) -> Result<ConsentMode, Rejection> {
    const FIELD: &str = "consent.consent_mode";
    let fault = || Rejection::malformed(FIELD, "no setting of Google consent mode");
    let Some(fields) = value.fields() else {
        let text = text(FIELD, value)?;
        let read = ConsentMode::of_gcd(&text).or_else(|_| ConsentMode::of_gcs(&text));
        return read.map_err(|_| fault());
    };
    let mut mode = ConsentMode::default();
    for (name, value) in once_each(FIELD, fields)? {
        let choice = value.text().as_deref().and_then(consent::choice).ok_or_else(fault)?;
        // Google adds signals now and then; what is not known says nothing here.
        mode.update(&name, choice);
    }
    Ok(mode)
}

fn is_true(value: Raw<'_>) -> Option<bool> {
    (value.kind() == Kind::Bool).then_some(value.0 == "true")
}

/// A clock that was set back makes an age negative: then it was said now.
fn age_ms(value: Raw<'_>) -> Result<i64, Rejection> {
    let age_ms = value.number().and_then(|number| number.parse::<i64>().ok());
    let fault = || not_a("consent.age_ms", "whole number of milliseconds");
    age_ms.map(|age_ms| age_ms.max(0)).ok_or_else(fault)
}

fn shown<'a>(value: Raw<'a>) -> Result<Shown<'a>, Rejection> {
    let mut shown = Shown::default();
    let fields = value.fields().ok_or_else(|| not_a("consent.shown", "JSON object"))?;
    for (name, value) in once_each("consent.shown", fields)? {
        match name.as_ref() {
            "version" => shown.version = text("consent.shown.version", value)?,
            "language" => {
                let language = text("consent.shown.language", value)?;
                shown.language = decoration(language, texts::language);
            }
            _ => return Err(Rejection::unknown_field("consent.shown")),
        }
    }
    if shown.version.len() > VERSION_SIZE_BYTES_MAX {
        return Err(Rejection::too_large("consent.shown.version", "longer than 64 bytes"));
    }
    Ok(shown)
}

fn signal(name: &str) -> Result<Signal, Rejection> {
    Signal::ALL.into_iter().find(|signal| signal.name() == name).ok_or_else(|| {
        Rejection::malformed(
            "consent.signal",
            "not one of banner, preference_centre, page, tcf, gpp, us_privacy, consent_mode, \
             opt_out_page, privacy_page",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::Choice;

    const YES: Option<Choice> = Some(Choice::Granted);
    const NO: Option<Choice> = Some(Choice::Denied);

    #[test]
    fn an_object_says_what_was_shown_and_by_what() {
        let json = r#"{"choice": "analytics:granted,ads:denied", "signal": "preference_centre",
                       "shown": {"version": "2026-11-a", "language": "de"}, "tcf": null}"#;
        let read = statement(Raw(json)).unwrap();
        assert_eq!(read.sent, SentConsent::Choices([YES, NO, None, None]));
        assert_eq!(read.signal, Some(Signal::PreferenceCentre));
        let shown = read.shown.unwrap();
        assert_eq!((&*shown.version, &*shown.language), ("2026-11-a", "de"));
        let compact = statement(Raw(r#""analytics:granted""#)).unwrap();
        assert_eq!(compact.sent, SentConsent::Choices([YES, None, None, None]));
        assert_eq!((compact.shown, compact.signal), (None, None));
        let by_purpose = statement(Raw(r#"{"analytics": "granted", "ads": "denied"}"#)).unwrap();
        assert_eq!(by_purpose.sent, SentConsent::Choices([YES, NO, None, None]));
        for silent in [r#"{"choice": ""}"#, "{}", r#"{"signal": "banner"}"#] {
            assert_eq!(statement(Raw(silent)).unwrap().sent, SentConsent::Nothing, "{silent}");
        }
    }

    #[test]
    fn it_may_say_when_it_was_said() {
        let read = |json: &str| statement(Raw(json)).map(|read| (read.age_ms, read.is_repeated));
        assert_eq!(read(r#"{"choice": "ads:denied"}"#), Ok((None, false)));
        assert_eq!(read(r#"{"choice": "ads:denied", "age_ms": 70}"#), Ok((Some(70), false)));
        assert_eq!(read(r#"{"tcf": "CPx", "age_ms": -7, "repeated": true}"#), Ok((Some(0), true)));
        assert_eq!(read(r#"{"repeated": false}"#), Ok((None, false)));
    }

    #[test]
    fn strings_name_their_signal() {
        let of = |json: &str| statement(Raw(json)).unwrap().signal;
        assert_eq!(of(r#"{"us_privacy": "1YYN"}"#), Some(Signal::UsPrivacy));
        assert_eq!(of(r#""DBABBg~BVVVVUCA.YA""#), Some(Signal::Gpp));
        assert_eq!(of(r#"{"consent_mode": "11q1r1q1q5"}"#), Some(Signal::ConsentMode));
        assert_eq!(
            of(r#"{"us_privacy": "1YYN", "signal": "opt_out_page"}"#),
            Some(Signal::OptOutPage)
        );
        assert_eq!(of(r#"{"us_privacy": "1YYN", "gpp": "DBABBg~BVVVVUCA.YA"}"#), None);
    }

    #[test]
    fn strings_and_consent_mode_stand_beside_the_choice() {
        let of = |json: &str| {
            let sent = statement(Raw(json)).unwrap().sent;
            [0, 1, 2, 3].map(|place| sent.answer(place).map(|answer| answer.choice))
        };
        assert_eq!(of(r#"{"tcf": "CP+/AAAA", "choice": "ads:granted"}"#), [NO; 4]);
        assert_eq!(of(r#"{"tcf": "nonsense"}"#), [NO; 4]);
        for sections in ["[8]", "8", "\"8\"", "\"6,8\"", "null"] {
            let json = format!(r#"{{"gpp": "DBABBg~BVVVVUCA.YA", "gpp_sid": {sections}}}"#);
            assert_eq!(of(&json), [None, NO, None, None], "{sections}");
        }
        assert_eq!(of(r#"{"gpp": "DBABBg~BVVVVUCA.YA", "gpp_sid": [7]}"#), [None; 4]);
        let mode = r#"{"consent_mode": {"analytics_storage": "granted", "ad_storage": "denied",
                       "functionality_storage": "granted", "new_storage": "granted"}}"#;
        assert_eq!(of(mode), [YES, NO, None, YES]);
        assert_eq!(of(r#"{"consent_mode": "11q1r1q1q5"}"#), [YES, NO, None, None]);
        assert_eq!(of(r#"{"consent_mode": "G101"}"#), [None, NO, None, None]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let long = format!(r#"{{"shown": {{"version": "{}"}}}}"#, "x".repeat(65));
        for (json, field) in [
            (r#"{"choice": "yes"}"#, "consent"),
            (r#"{"choice": {}}"#, "consent.choice"),
            (r#"{"choise": "ads:denied"}"#, "consent"),
            (r#"{"signal": "telepathy"}"#, "consent.signal"),
            (r#"{"consent_mode": "12"}"#, "consent.consent_mode"),
            (r#"{"consent_mode": {"ad_storage": "maybe"}}"#, "consent.consent_mode"),
            (r#"{"age_ms": "soon"}"#, "consent.age_ms"),
            (r#"{"repeated": 1}"#, "consent.repeated"),
            (r#"{"shown": "v1"}"#, "consent.shown"),
            (r#"{"shown": {"colour": "red"}}"#, "consent.shown"),
            (r#"{"choice": "ads:granted", "ads": "denied"}"#, "consent"),
            (r#"{"choice": "1YYN", "choice": "1YNN"}"#, "consent.choice"),
            (r#"{"tcf": "CP+/AAAA", "tcf": null}"#, "consent.tcf"),
            (
                r#"{"consent_mode": {"ad_storage": "denied", "ad_storage": "granted"}}"#,
                "consent.consent_mode.ad_storage",
            ),
            (long.as_str(), "consent.shown.version"),
        ] {
            assert_eq!(statement(Raw(json)).unwrap_err().field, field, "{json}");
        }
    }
}
