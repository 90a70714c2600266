//! What a visitor said: the `consent` field, the strings of consent managers, and the record of it in
//! the cookie `cairn_consent`.
//!
//! Guarantees: a text that cannot be understood is never taken for a yes, and a yes in a string ends
//! after 13 months. The record holds choices and their time, and nothing that tells one visitor from
//! another.

use std::borrow::Cow;
use std::fmt::Write;

use cairn_consent::purposes::{self, Answer, Answers, Rule};
use cairn_consent::{Applicable, ConsentError, ConsentMode, GppString, TcString, UsPrivacy};
use cairn_model::limits::COOKIE_AGE_DAYS_MAX;
use cairn_model::{Choice, Purpose};

use super::rejection::Rejection;

/// One answer per purpose, in the order of [`Purpose::ALL`].
pub type Choices = [Option<Choice>; 4];

/// Seconds of a day.
const DAY_S: i64 = 24 * 60 * 60;

/// What was said with a hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SentConsent {
    /// Nothing.
    #[default]
    Nothing,
    /// Choices by purpose, in Cairn's words.
    Choices(Choices),
    /// What strings of consent managers say, together with such words where both came.
    Told(Told),
    /// A string that nobody may rely on: *no* to everything.
    Unreadable(ConsentError),
}

/// What strings of consent managers say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// The answers; a no in Cairn's words, too, is among them.
    pub answers: Answers,
    /// What was said in Cairn's words.
    pub own: Choices,
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
    /// Google consent mode.
    pub mode: Option<ConsentMode>,
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

    /// What they say together (`None` = none is there), and whether Europe's law is among them.
    fn answers(&self) -> Result<(Option<Answers>, bool), ConsentError> {
        let mut found: Option<Answers> = None;
        let mut add = |more: Answers| found = Some(found.unwrap_or_default().and(more));
        let mut has_europe = !self.tcf.is_empty();
        if has_europe {
            add(purposes::of_tcf(&TcString::decode(&self.tcf)?)?);
        }
        if !self.gpp.is_empty() {
            let gpp = GppString::decode(&self.gpp)?;
            add(purposes::of_gpp(&gpp, &Applicable::parse(&self.gpp_sid)?)?);
            has_europe |= gpp.sections.iter().any(|(id, _)| *id == cairn_consent::gpp::TCF_EU);
        }
        if !matches!(self.us_privacy.as_ref(), "" | "1---") {
            add(purposes::of_us_privacy(&UsPrivacy::decode(&self.us_privacy)?));
        }
        if let Some(mode) = &self.mode {
            add(purposes::of_mode(mode));
        }
        Ok((found, has_europe))
    }
}

impl SentConsent {
    /// The same with what the strings say; where they speak of one purpose, a no wins.
    pub fn with_strings(self, strings: &Strings<'_>) -> Self {
        let is_silent = self == SentConsent::Nothing;
        let answers = match strings.answers() {
            // Europe's law applies, and nobody was asked under it.
            Ok((_, false)) if strings.gdpr == "1" && is_silent => {
                return SentConsent::Unreadable(ConsentError::Missing);
            }
            Ok((Some(answers), _)) => answers,
            Ok((None, _)) => return self,
            Err(error) => return SentConsent::Unreadable(error),
        };
        match self {
            SentConsent::Unreadable(_) => self,
            SentConsent::Nothing => SentConsent::Told(Told { answers, own: [None; 4] }),
            SentConsent::Choices(own) => {
                let by_purpose = own.map(|own| own.map(|choice| Answer { choice, on_day: None }));
                let words = Answers { by_purpose, ..Answers::default() };
                SentConsent::Told(Told { answers: words.and(answers), own })
            }
            SentConsent::Told(told) => {
                SentConsent::Told(Told { answers: told.answers.and(answers), ..told })
            }
        }
    }

    /// The same at this time: a yes that is over, or of a day to come, is a no (PROTOCOLS 7.3: consent
    /// is asked anew every 13 months).
    pub fn at(self, now_ms: i64) -> Self {
        let SentConsent::Told(mut told) = self else { return self };
        let today = now_ms.div_euclid(DAY_S * 1000);
        for answer in told.answers.by_purpose.iter_mut().flatten() {
            let Some(day) = answer.on_day else { continue };
            let age_days = today - i64::from(day);
            // A day of tolerance: of clocks, and of zones where a day begins earlier.
            if !(-1..=i64::from(COOKIE_AGE_DAYS_MAX)).contains(&age_days) {
                answer.choice = Choice::Denied;
            }
        }
        SentConsent::Told(told)
    }

    /// A string tells that the browser showed Global Privacy Control.
    pub fn tells_gpc(&self) -> bool {
        matches!(self, SentConsent::Told(told) if told.answers.under_gpc)
    }

    /// What the sender is told of a string that could not be relied on.
    pub fn complaint(&self) -> Option<&'static str> {
        match self {
            SentConsent::Unreadable(error) => Some(error.message()),
            _ => None,
        }
    }

    /// What was sent about the purpose at this place of [`Purpose::ALL`].
    pub fn answer(&self, place: usize) -> Option<Answer> {
        let now = |choice| Answer { choice, on_day: None };
        match self {
            SentConsent::Nothing => None,
            SentConsent::Choices(choices) => choices[place].map(now),
            SentConsent::Told(told) => told.answers.by_purpose[place],
            SentConsent::Unreadable(_) => Some(now(Choice::Denied)),
        }
    }
}

/// One recorded choice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RecordedChoice {
    /// The choice.
    pub choice: Choice,
    /// It was made while the browser showed Global Privacy Control.
    pub under_gpc: bool,
    /// Where it came from.
    pub by: Speaker,
    /// When it was said, Unix seconds.
    pub at_s: i64,
}

impl RecordedChoice {
    /// The day on which it was said, in days since 1970.
    fn day(&self) -> i64 {
        self.at_s.div_euclid(DAY_S)
    }
}

/// When something was said, as against what is on record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Said {
    /// With this request.
    #[default]
    Now,
    /// At this time, Unix seconds; it could not be told before.
    At(i64),
    /// It was told already, or another request tells it; at this time, Unix seconds. Without a time it was
    /// before whatever is on record.
    Repeated(Option<i64>),
}

impl Said {
    /// Whether what is on record was said later.
    fn is_before(self, recorded: &RecordedChoice) -> bool {
        match self {
            Said::Now => false,
            Said::At(at_s) | Said::Repeated(Some(at_s)) => at_s < recorded.at_s,
            Said::Repeated(None) => recorded.at_s > 0,
        }
    }

    /// When that was, for a request that comes now.
    pub(super) fn at_s(self, now_s: i64) -> i64 {
        let at_s = match self {
            Said::At(at_s) | Said::Repeated(Some(at_s)) => at_s,
            Said::Now | Said::Repeated(None) => now_s,
        };
        at_s.clamp(0, i64::from(u32::MAX))
    }
}

/// Where a recorded choice came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Speaker {
    /// It was said in Cairn's words.
    #[default]
    Words,
    /// A string that asks for consent: TCF, Canada, consent mode.
    ConsentString,
    /// A string of the United States, which knows objections only.
    UsString,
}

impl Speaker {
    /// Who speaks with a hit.
    pub fn of_sent(sent: &SentConsent) -> Self {
        match sent {
            SentConsent::Told(told) => Speaker::of(told),
            _ => Speaker::Words,
        }
    }

    fn of(told: &Told) -> Self {
        match told.answers.rule {
            Rule::Us | Rule::UsPrivacy => Speaker::UsString,
            _ => Speaker::ConsentString,
        }
    }
}

/// How a request tells what the visitor said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Telling {
    /// It exists only for that.
    pub alone: bool,
    /// How long ago it was said, milliseconds; `None`: with this request.
    pub age_ms: Option<i64>,
    /// It was told before, or another request tells it.
    pub is_repeated: bool,
}

impl Telling {
    pub(super) fn said(self, now_ms: i64) -> Said {
        let at_s = self.age_ms.map(|age_ms| now_ms.saturating_sub(age_ms).div_euclid(1000));
        match at_s {
            _ if self.is_repeated => Said::Repeated(at_s),
            Some(at_s) => Said::At(at_s),
            None => Said::Now,
        }
    }
}

/// The content of `cairn_consent`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecordedConsent {
    /// Answers in the order of [`Purpose::ALL`].
    pub choices: [Option<RecordedChoice>; 4],
    /// The visitor opted out of pixels here: nothing at all is kept of this browser's hits, until he takes that back on
    /// the page where he said it. A word, no identifier.
    pub opted_out: bool,
}

/// Reads the `consent` field.
pub fn parse(text: &str) -> Result<SentConsent, Rejection> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(SentConsent::Nothing);
    }
    if let Some(strings) = bare_string(text) {
        return Ok(SentConsent::Nothing.with_strings(&strings));
    }
    let mut choices: Choices = [None; 4];
    for part in text.split(',') {
        let (purpose, choice) = part.split_once([':', '=']).ok_or_else(unreadable)?;
        let place = Purpose::ALL
            .iter()
            .position(|known| known.name() == purpose.trim())
            .ok_or_else(unreadable)?;
        let choice = self::choice(choice.trim()).ok_or_else(unreadable)?;
        if choices[place].replace(choice).is_some_and(|earlier| earlier != choice) {
            return Err(unreadable());
        }
    }
    Ok(SentConsent::Choices(choices))
}

/// `granted` or `denied`.
pub(super) fn choice(word: &str) -> Option<Choice> {
    match word {
        "granted" => Some(Choice::Granted),
        "denied" => Some(Choice::Denied),
        _ => None,
    }
}

/// The rejection of a text that is neither choices nor an industry string.
pub fn unreadable() -> Rejection {
    Rejection::malformed(
        "consent",
        "not a list like analytics:granted,ads:denied of the purposes analytics, ads, \
         personalization, functional",
    )
}

/// A text that is a consent manager's string, or was meant as one: TCF (`C…`, earlier versions `B…`),
/// GPP (`DB…~…`) or US Privacy (`1YNN`).
fn bare_string(text: &str) -> Option<Strings<'_>> {
    if text.contains([':', '=']) {
        return None;
    }
    let mut strings = Strings::default();
    let place = match (text.as_bytes()[0], text.len()) {
        (b'1', 4) => &mut strings.us_privacy,
        (b'D', 4..) => &mut strings.gpp,
        (b'B' | b'C', 8..) => &mut strings.tcf,
        _ => return None,
    };
    *place = Cow::Borrowed(text);
    Some(strings)
}

impl RecordedConsent {
    /// Reads the cookie's value; what was not written by [`Self::cookie_value`] is nothing. Times are those of 32 bits, so that
    /// the distance of any two can be written.
    pub fn parse(value: &str) -> Option<Self> {
        let mut record = RecordedConsent::default();
        let mut newest_s: i64 = 0;
        for part in value.strip_prefix("v1.")?.split('.') {
            let (name, value) = part.split_once('=')?;
            if name == "t" {
                newest_s = i64::from(value.parse::<u32>().ok()?);
                continue;
            }
            if name == "out" {
                record.opted_out = value == "1";
                continue;
            }
            let place = Purpose::ALL.iter().position(|known| known.name() == name)?;
            let (digit, rest) = value.split_at_checked(1)?;
            let choice = match digit {
                "1" => Choice::Granted,
                "0" => Choice::Denied,
                _ => return None,
            };
            let (mark, earlier_s) = match rest.split_once('-') {
                Some((mark, earlier_s)) => (mark, i64::from(earlier_s.parse::<u32>().ok()?)),
                None => (rest, 0),
            };
            let (under_gpc, by) = match mark {
                "" => (false, Speaker::Words),
                "g" => (true, Speaker::Words),
                "s" => (false, Speaker::ConsentString),
                "u" => (false, Speaker::UsString),
                _ => return None,
            };
            record.choices[place] =
                Some(RecordedChoice { choice, under_gpc, by, at_s: -earlier_s });
        }
        for recorded in record.choices.iter_mut().flatten() {
            recorded.at_s += newest_s;
        }
        record.choices.iter().flatten().all(|recorded| recorded.at_s >= 0).then_some(record)
    }

    /// `v1.analytics=1.ads=0g-60.t=1795341600`: `g` marks a choice made under Global Privacy Control, `s` one
    /// that a consent manager's string told, `u` one that a string of the United States did; `-60` one that
    /// is so many seconds older than the newest, whose time is `t`. `out=1`:
    /// opted out of pixels.
    pub fn cookie_value(&self) -> String {
        let mut value = String::from("v1");
        let newest_s = self.choices.iter().flatten().map(|recorded| recorded.at_s).max();
        let newest_s = newest_s.unwrap_or(0);
        for (purpose, recorded) in Purpose::ALL.iter().zip(self.choices) {
            let Some(recorded) = recorded else { continue };
            let choice = if recorded.choice == Choice::Granted { '1' } else { '0' };
            let mark = match recorded {
                RecordedChoice { under_gpc: true, .. } => "g",
                RecordedChoice { by: Speaker::ConsentString, .. } => "s",
                RecordedChoice { by: Speaker::UsString, .. } => "u",
                RecordedChoice { .. } => "",
            };
            // Writing to a String cannot fail.
            let _ = write!(value, ".{}={choice}{mark}", purpose.name());
            let earlier_s = newest_s.saturating_sub(recorded.at_s);
            if earlier_s > 0 {
                let _ = write!(value, "-{earlier_s}");
            }
        }
        let out = if self.opted_out { ".out=1" } else { "" };
        let _ = write!(value, "{out}.t={newest_s}");
        value
    }

    /// The record as it can be relied on now: a yes of a time that lies ahead, as after a clock was set back, was said before
    /// everything else, so that any no goes before it; a no was said now.
    pub fn relied_on_at(mut self, now_s: i64) -> Self {
        let ahead = self.choices.iter_mut().flatten().filter(|recorded| recorded.at_s > now_s);
        for recorded in ahead {
            recorded.at_s = match recorded.choice {
                Choice::Granted => 0,
                Choice::Denied => now_s.max(0),
            };
        }
        self
    }

    /// The record of somebody who opted out of pixels at this time.
    pub fn of_opt_out(now_s: i64) -> Self {
        let (choice, under_gpc, by) = (Choice::Denied, false, Speaker::Words);
        let denied = RecordedChoice { choice, under_gpc, by, at_s: now_s };
        RecordedConsent { choices: [Some(denied); 4], opted_out: true }
    }

    /// Of each purpose the newer choice; of two at once a no.
    pub fn newer_of_each(&self, other: &Self) -> Self {
        let mut newer = *self;
        newer.opted_out |= other.opted_out;
        for (known, other) in newer.choices.iter_mut().zip(other.choices) {
            let order = |it: RecordedChoice| (it.at_s, it.choice == Choice::Denied);
            if other.map(order) > known.map(order) {
                *known = other;
            }
        }
        newer
    }

    /// The record of somebody who took permission back at this time, while the browser still shows an older one.
    pub fn withdrawn(mut self, by: Speaker, now_s: i64) -> Self {
        let choice = Choice::Denied;
        self.choices[0] = Some(RecordedChoice { choice, under_gpc: false, by, at_s: now_s });
        self
    }

    /// The newest choice about the purpose at this place of [`Purpose::ALL`], and whether it was sent with
    /// the hit. What a string says goes before what a string said on no later day, and its no before every
    /// yes of a string; an objection under the law of the United States was taken back if such a string says
    /// nothing of it. Between words and a string the day decides, and on one day a no wins. What was said before the record was written, as a
    /// tab that was left open says it, goes after the record.
    pub fn newest(&self, sent: &SentConsent, said: Said, place: usize) -> Option<(Choice, bool)> {
        if let Some(recorded) = &self.choices[place]
            && said.is_before(recorded)
        {
            return Some((recorded.choice, false));
        }
        let rule = match sent {
            SentConsent::Told(told) => told.answers.rule,
            _ => Rule::None,
        };
        let answers_now = rule != Rule::None && sent.answer(place).is_some();
        let day = sent.answer(place).and_then(|answer| answer.on_day).map(i64::from);
        let is_of_its_day = |recorded: &RecordedChoice| day.is_none_or(|day| day >= recorded.day());
        let is_no = sent.answer(place).is_some_and(|answer| answer.choice == Choice::Denied);
        let is_over = |recorded: &RecordedChoice| match recorded.by {
            Speaker::Words => false,
            Speaker::ConsentString => answers_now && (is_no || is_of_its_day(recorded)),
            Speaker::UsString => {
                answers_now || matches!(rule, Rule::Us | Rule::UsPrivacy | Rule::Several)
            }
        };
        let recorded = self.choices[place].filter(|recorded| !is_over(recorded));
        let Some(sent) = sent.answer(place) else {
            return recorded.map(|recorded| (recorded.choice, false));
        };
        let (Some(recorded), Some(day)) = (recorded, sent.on_day) else {
            return Some((sent.choice, true));
        };
        let is_newer = match i64::from(day).cmp(&recorded.day()) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => recorded.choice == Choice::Granted,
            std::cmp::Ordering::Greater => true,
        };
        Some(if is_newer { (sent.choice, true) } else { (recorded.choice, false) })
    }

    /// The record after what was sent; `None` if that says nothing that it does not say already.
    /// `under_gpc`: it was sent by itself, as on the click that makes a choice, while the browser showed
    /// the signal. What a site sends along with every hit is no answer to the signal, nor is a string.
    pub fn updated(
        &self,
        sent: &SentConsent,
        said: Said,
        under_gpc: bool,
        now_s: i64,
    ) -> Option<Self> {
        let own = match sent {
            SentConsent::Nothing | SentConsent::Unreadable(_) => return None,
            SentConsent::Choices(own) => own,
            SentConsent::Told(told) => &told.own,
        };
        let mut updated = *self;
        for (place, recorded) in updated.choices.iter_mut().enumerate() {
            let newest = match self.newest(sent, said, place) {
                Some((choice, true)) => choice,
                Some((_, false)) => continue,
                None => {
                    *recorded = None;
                    continue;
                }
            };
            let by = match sent {
                SentConsent::Told(told) if own[place] != Some(newest) => Speaker::of(told),
                _ => Speaker::Words,
            };
            let under_gpc = under_gpc && by == Speaker::Words;
            let on_day = match by {
                Speaker::ConsentString => sent.answer(place).and_then(|answer| answer.on_day),
                _ => None,
            };
            let says_it = |recorded: RecordedChoice| {
                recorded.choice == newest
                    && (recorded.under_gpc || !under_gpc)
                    && (recorded.by == by
                        && on_day.is_none_or(|day| i64::from(day) <= recorded.day())
                        || recorded.by == Speaker::Words)
            };
            if !recorded.is_some_and(says_it) {
                // A string has its own day, however late it comes; at which time of the day nobody knows.
                let latest_s = on_day.map_or(i64::MAX, |day| (i64::from(day) + 1) * DAY_S - 1);
                let at_s = said.at_s(now_s).min(latest_s);
                *recorded = Some(RecordedChoice { choice: newest, under_gpc, by, at_s });
            }
        }
        (updated.choices != self.choices).then_some(updated)
    }
}

#[cfg(test)]
mod tests;
