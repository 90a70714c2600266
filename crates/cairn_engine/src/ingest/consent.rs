//! What a visitor said: the `consent` field, the strings of consent managers, and the record of it in
//! the cookie `cairn_consent`.
//!
//! Guarantees: a text that cannot be understood is never taken for a yes, and a yes in a string ends
//! after 13 months. The record holds choices and their time, and nothing that tells one visitor from
//! another.

use std::borrow::Cow;
use std::fmt::Write;

use cairn_consent::purposes::{self, Answer, Answers, Rule, UsFields};
use cairn_consent::{Applicable, ConsentError, ConsentMode, GppString, TcString, UsPrivacy, gpp};
use cairn_model::limits::COOKIE_AGE_DAYS_MAX;
use cairn_model::{Choice, Purpose};

use super::rejection::Rejection;
use super::withdrawal::Refused;

/// One answer per purpose, in the order of [`Purpose::ALL`].
pub type Choices = [Option<Choice>; 4];

/// Seconds of a day.
const DAY_S: i64 = 24 * 60 * 60;

/// How long a yes holds: consent is asked for anew every 13 months (PROTOCOLS 7.3).
const YES_AGE_S_MAX: i64 = COOKIE_AGE_DAYS_MAX as i64 * DAY_S;

/// How far the clocks of two servers may be apart.
const CLOCKS_APART_S: i64 = 60;

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

    /// The laws that apply, as the sender says, under which consent is asked for.
    fn needed(&self) -> Laws {
        let sections = Applicable::parse(&self.gpp_sid);
        let names = |id| matches!(&sections, Ok(Applicable::Only(ids)) if ids.contains(&id));
        Laws { europe: self.gdpr == "1" || names(gpp::TCF_EU), canada: names(gpp::TCF_CANADA) }
    }

    /// What they say together (`None` = none is there), and under which laws consent was asked for.
    fn answers(&self) -> Result<(Option<Answers>, Laws), ConsentError> {
        let mut found: Option<Answers> = None;
        let mut add = |more: Answers| found = Some(found.unwrap_or_default().and(more));
        let mut asked = Laws { europe: !self.tcf.is_empty(), canada: false };
        if asked.europe {
            add(purposes::of_tcf(&TcString::decode(&self.tcf)?)?);
        }
        let applicable = Applicable::parse(&self.gpp_sid)?;
        if !self.gpp.is_empty() {
            let gpp = GppString::decode(&self.gpp)?;
            add(purposes::of_gpp(&gpp, &applicable)?);
            let has = |wanted| gpp.sections.iter().any(|(id, _)| *id == wanted);
            asked.europe |= has(gpp::TCF_EU);
            asked.canada |= has(gpp::TCF_CANADA);
        }
        if !matches!(self.us_privacy.as_ref(), "" | "1---") {
            add(purposes::of_us_privacy(&UsPrivacy::decode(&self.us_privacy)?));
        }
        if let Some(mode) = &self.mode {
            add(purposes::of_mode(mode));
        }
        Ok((found, asked))
    }
}

/// Laws under which consent is asked for by strings of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Laws {
    europe: bool,
    canada: bool,
}

impl Laws {
    fn contains(self, others: Laws) -> bool {
        (self.europe || !others.europe) && (self.canada || !others.canada)
    }
}

impl SentConsent {
    /// The same with what the strings say; where they speak of one purpose, a no wins.
    pub fn with_strings(self, strings: &Strings<'_>) -> Self {
        let is_silent = self == SentConsent::Nothing;
        let answers = match strings.answers() {
            // Such a law applies, and nobody was asked under it.
            Ok((_, asked)) if is_silent && !asked.contains(strings.needed()) => {
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

    /// Whether a string says expressly that none of these fields objects any more.
    fn takes_back(&self, objections: UsFields) -> bool {
        matches!(self, SentConsent::Told(told) if told.answers.not_objected.contains(objections))
    }

    /// Yes or no to the purpose at this place.
    fn choice(&self, place: usize) -> Option<Choice> {
        self.answer(place).map(|answer| answer.choice)
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
    /// When it was said, Unix milliseconds; one that a browser keeps, at a full second.
    pub at_ms: i64,
}

impl RecordedChoice {
    /// The day on which it was said, in days since 1970.
    fn day(&self) -> i64 {
        self.at_ms.div_euclid(DAY_S * 1000)
    }
}

/// When something was said, as against what is on record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Said {
    /// With this request.
    #[default]
    Now,
    /// At this time, Unix milliseconds; it could not be told before.
    At(i64),
    /// It was told already, or another request tells it; at this time, Unix milliseconds. Without a time it was
    /// before whatever is on record.
    Repeated(Option<i64>),
}

impl Said {
    /// Whether what is on record was said later. A browser's record tells seconds: of what was said within one, what comes
    /// later was said later, since nobody answers in two tabs at once, while scripts say no and then yes.
    fn is_before(self, recorded: &RecordedChoice) -> bool {
        match self {
            Said::Now => false,
            Said::At(at_ms) | Said::Repeated(Some(at_ms)) => at_ms < recorded.at_ms,
            Said::Repeated(None) => recorded.at_ms > 0,
        }
    }

    /// When that was, for a request that comes now.
    pub(super) fn at_ms(self, now_ms: i64) -> i64 {
        let at_ms = match self {
            Said::At(at_ms) | Said::Repeated(Some(at_ms)) => at_ms,
            Said::Now | Said::Repeated(None) => now_ms,
        };
        at_ms.clamp(0, i64::from(u32::MAX) * 1000)
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
    /// Strings of the United States, which know objections only: these fields objected.
    UsString(UsFields),
    /// Both: a no to the question for consent, and these objections.
    Strings(UsFields),
}

impl Speaker {
    /// Who speaks of the purpose at this place with a hit.
    pub fn of_sent(sent: &SentConsent, place: usize) -> Self {
        let SentConsent::Told(told) = sent else { return Speaker::Words };
        let objections = told.answers.objections[place];
        match told.answers.rule {
            _ if told.own[place].is_some() && told.own[place] == sent.choice(place) => {
                Speaker::Words
            }
            Rule::None => Speaker::Words,
            rule if rule.is_us() => Speaker::UsString(objections),
            _ if objections.is_empty() => Speaker::ConsentString,
            _ => Speaker::Strings(objections),
        }
    }

    fn parts(self) -> (bool, UsFields) {
        match self {
            Speaker::Words => (false, UsFields::default()),
            Speaker::ConsentString => (true, UsFields::default()),
            Speaker::UsString(objections) => (false, objections),
            Speaker::Strings(objections) => (true, objections),
        }
    }

    /// Who says no after these two did.
    fn and(self, other: Speaker) -> Speaker {
        if self == Speaker::Words || other == Speaker::Words {
            return Speaker::Words;
        }
        let ((mine, objections), (theirs, others)) = (self.parts(), other.parts());
        let objections = objections.and(others);
        match (mine || theirs, objections.is_empty()) {
            (true, true) => Speaker::ConsentString,
            (true, false) => Speaker::Strings(objections),
            (false, _) => Speaker::UsString(objections),
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
        let at_ms = self.age_ms.map(|age_ms| now_ms.saturating_sub(age_ms));
        match at_ms {
            _ if self.is_repeated => Said::Repeated(at_ms),
            Some(at_ms) => Said::At(at_ms),
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

/// Strings of the United States, by their mark in the record.
fn speaker_of_mark(mark: &str) -> Option<Speaker> {
    let (speaker, fields): (fn(UsFields) -> Speaker, _) = match mark.strip_prefix("su") {
        Some(fields) => (Speaker::Strings, fields),
        None => (Speaker::UsString, mark.strip_prefix('u')?),
    };
    match fields {
        "" => Some(speaker(UsFields::UNKNOWN)),
        hex => Some(speaker(UsFields::of_bits(u64::from_str_radix(hex, 16).ok()?))),
    }
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
                _ => (false, speaker_of_mark(mark)?),
            };
            record.choices[place] =
                Some(RecordedChoice { choice, under_gpc, by, at_ms: -earlier_s * 1000 });
        }
        for recorded in record.choices.iter_mut().flatten() {
            recorded.at_ms += newest_s * 1000;
        }
        record.choices.iter().flatten().all(|recorded| recorded.at_ms >= 0).then_some(record)
    }

    /// `v1.analytics=1.ads=0g-60.t=1795341600`: `g` marks a choice made under Global Privacy Control, `s` one
    /// that a consent manager's string told, `u` one that strings of the United States did, with the fields
    /// that objected as a hexadecimal number (see [`UsFields`]), `su` both; `-60` one that is so many
    /// seconds older than the newest, whose time is `t`. `out=1`: opted out of pixels.
    pub fn cookie_value(&self) -> String {
        let mut value = String::from("v1");
        let newest_s = self.choices.iter().flatten().map(|recorded| recorded.at_ms).max();
        let newest_s = newest_s.unwrap_or(0).div_euclid(1000);
        for (purpose, recorded) in Purpose::ALL.iter().zip(self.choices) {
            let Some(recorded) = recorded else { continue };
            let choice = if recorded.choice == Choice::Granted { '1' } else { '0' };
            let fields = |fields: UsFields| match fields {
                UsFields::UNKNOWN => String::new(),
                known => format!("{:x}", known.bits()),
            };
            let mark = match recorded {
                RecordedChoice { under_gpc: true, .. } => "g".to_owned(),
                RecordedChoice { by: Speaker::Words, .. } => String::new(),
                RecordedChoice { by: Speaker::ConsentString, .. } => "s".to_owned(),
                RecordedChoice { by: Speaker::UsString(by), .. } => format!("u{}", fields(by)),
                RecordedChoice { by: Speaker::Strings(by), .. } => format!("su{}", fields(by)),
            };
            // Writing to a String cannot fail.
            let _ = write!(value, ".{}={choice}{mark}", purpose.name());
            let earlier_s = newest_s.saturating_sub(recorded.at_ms.div_euclid(1000));
            if earlier_s > 0 {
                let _ = write!(value, "-{earlier_s}");
            }
        }
        let out = if self.opted_out { ".out=1" } else { "" };
        let _ = write!(value, "{out}.t={newest_s}");
        value
    }

    /// The record as it can be relied on now. A yes ends after 13 months, however often the cookie was written
    /// since, and one of a time that lies ahead, as after a clock was set back, is none; a no of such a time
    /// was said now.
    pub fn relied_on_at(mut self, now_ms: i64) -> Self {
        for place in &mut self.choices {
            let Some(recorded) = place else { continue };
            let age_s = (now_ms - recorded.at_ms).div_euclid(1000);
            match recorded.choice {
                Choice::Denied => recorded.at_ms = recorded.at_ms.min(now_ms.max(0)),
                Choice::Granted if (-CLOCKS_APART_S..=YES_AGE_S_MAX).contains(&age_s) => {}
                Choice::Granted => *place = None,
            }
        }
        self
    }

    /// The record of somebody who opted out of pixels at this time.
    pub fn of_opt_out(now_ms: i64) -> Self {
        let (choice, under_gpc, by) = (Choice::Denied, false, Speaker::Words);
        let denied = RecordedChoice { choice, under_gpc, by, at_ms: now_ms };
        RecordedConsent { choices: [Some(denied); 4], opted_out: true }
    }

    /// Of each purpose the newer choice; of two at once a no.
    pub fn newer_of_each(&self, other: &Self) -> Self {
        let mut newer = *self;
        newer.opted_out |= other.opted_out;
        for (known, other) in newer.choices.iter_mut().zip(other.choices) {
            let order = |it: RecordedChoice| (it.at_ms, it.choice == Choice::Denied);
            if other.map(order) > known.map(order) {
                *known = other;
            }
        }
        newer
    }

    /// The record of somebody who said no to these purposes at this time, while the browser may still show an older record.
    pub(super) fn refusing(mut self, refused: Refused, at_ms: i64) -> Self {
        for (place, recorded) in self.choices.iter_mut().enumerate() {
            let Some(by) = refused.by(place) else { continue };
            if recorded.is_none_or(|recorded| recorded.at_ms <= at_ms) {
                let choice = Choice::Denied;
                *recorded = Some(RecordedChoice { choice, under_gpc: false, by, at_ms });
            }
        }
        self
    }

    /// The newest choice about the purpose at this place of [`Purpose::ALL`], and whether it was sent with
    /// the hit. What a string says goes before what a string said on no later day, and its no before every
    /// yes of a string; an objection under the law of the United States is over where the fields that told it
    /// say expressly that there is none. Between words and a string the day decides, and on one day a no wins. What was said before the record was written, as a
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
        let is_no = sent.choice(place) == Some(Choice::Denied);
        let is_asked_anew =
            |recorded: &RecordedChoice| answers_now && (is_no || is_of_its_day(recorded));
        let is_over = |recorded: &RecordedChoice| match recorded.by {
            Speaker::Words => false,
            Speaker::ConsentString => is_asked_anew(recorded),
            Speaker::UsString(objections) => sent.takes_back(objections),
            Speaker::Strings(objections) => is_asked_anew(recorded) && sent.takes_back(objections),
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
        now_ms: i64,
    ) -> Option<Self> {
        if matches!(sent, SentConsent::Nothing | SentConsent::Unreadable(_)) {
            return None;
        }
        // Who objected before and did not take it back objects still.
        let is_kept_no = |before: &RecordedChoice, newest| {
            let (_, objections) = before.by.parts();
            let choices = (before.choice, newest);
            choices == (Choice::Denied, Choice::Denied)
                && !objections.is_empty()
                && !sent.takes_back(objections)
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
            let by = match *recorded {
                Some(before) if is_kept_no(&before, newest) => {
                    before.by.and(Speaker::of_sent(sent, place))
                }
                _ => Speaker::of_sent(sent, place),
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
                let latest_ms =
                    on_day.map_or(i64::MAX, |day| (i64::from(day) + 1) * DAY_S * 1000 - 1);
                let at_ms = said.at_ms(now_ms).min(latest_ms);
                *recorded = Some(RecordedChoice { choice: newest, under_gpc, by, at_ms });
            }
        }
        (updated.choices != self.choices).then_some(updated)
    }
}

#[cfg(test)]
mod tests;
