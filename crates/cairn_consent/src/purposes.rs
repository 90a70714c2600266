//! What the strings say about this product's purposes: the rules as tables, and their application.
//!
//! Guarantees: a yes needs every signal of its rule; where two signals speak of one purpose, a no wins;
//! a legitimate interest is never a yes. It knows neither clock nor policy: how old a yes may be, and
//! what silence means, is the gate's to say.

use cairn_model::{Choice, Purpose};

use crate::canada::TcfCanada;
use crate::gpp::{TCF_CANADA, TCF_EU, US_PRIVACY};
use crate::mode::ModeSignal;
use crate::us::Field;
use crate::us_privacy::Letter;
use crate::{
    Applicable, ConsentError, ConsentMode, GppString, Section, TcString, UsPrivacy, UsSection,
};

/// Milliseconds of a day, the unit in which consent managers tell time.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What was said about one purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Answer {
    /// Yes or no.
    pub choice: Choice,
    /// The day on which it was said, in days since 1970 in UTC; `None` = with the hit.
    pub on_day: Option<u32>,
}

/// What strings say, in the order of [`Purpose::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Answers {
    /// One answer per purpose; `None` = nothing was said.
    pub by_purpose: [Option<Answer>; 4],
    /// A string tells that the browser showed Global Privacy Control: a signal and no choice, so it
    /// denies what `Sec-GPC: 1` does, and what goes above that goes above it.
    pub under_gpc: bool,
    /// The objections among the answers: which fields of the United States deny each purpose.
    pub objections: [UsFields; 4],
    /// Which fields of the United States say expressly that there is no objection, or that a child's
    /// consent was given.
    pub not_objected: UsFields,
    /// The rule that gave the answers.
    pub rule: Rule,
}

/// A set of fields of the United States: of each section (and of the US Privacy string) its objections,
/// all together, and what it tells of known children. An objection is taken back by the fields that told
/// it and by no others: one that does not apply, or another state's, says nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct UsFields(u64);

impl UsFields {
    /// Of an objection of which only that it was made is known. Nothing takes it back but a yes.
    pub const UNKNOWN: UsFields = UsFields(1 << 63);

    /// The objections of a section.
    pub fn objections(section: u16) -> Self {
        debug_assert!((US_PRIVACY..US_PRIVACY + 32).contains(&section));
        UsFields(1 << section.saturating_sub(US_PRIVACY).min(30))
    }

    /// What a section tells of known children.
    pub fn children(section: u16) -> Self {
        UsFields(Self::objections(section).0 << 31)
    }

    /// Those of either.
    #[must_use]
    pub fn and(self, other: UsFields) -> UsFields {
        UsFields(self.0 | other.0)
    }

    /// Whether all of the others are among these.
    pub fn contains(self, others: UsFields) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a number, to be kept.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// From that number.
    pub fn of_bits(bits: u64) -> Self {
        UsFields(bits)
    }
}

/// By which rule strings were understood.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Rule {
    /// None was needed.
    #[default]
    None,
    /// The publisher's segment of a TC string.
    TcfPublisher,
    /// The purposes of a TC string.
    TcfPurposes,
    /// A Canadian section.
    Canada,
    /// A US Privacy string.
    UsPrivacy,
    /// A section of the United States.
    Us,
    /// Google consent mode.
    ConsentMode,
    /// A US Privacy string and a section of the United States.
    SeveralUs,
    /// Several of these.
    Several,
}

impl Rule {
    /// Whether only strings of the United States were understood.
    pub fn is_us(self) -> bool {
        matches!(self, Rule::Us | Rule::UsPrivacy | Rule::SeveralUs)
    }
}

impl Answers {
    /// Whether nothing was said.
    pub fn is_silent(&self) -> bool {
        self.by_purpose == [None; 4] && !self.under_gpc
    }

    /// Both together: a no wins.
    pub fn and(self, other: Answers) -> Answers {
        let mut by_purpose = self.by_purpose;
        for (mine, theirs) in by_purpose.iter_mut().zip(other.by_purpose) {
            *mine = match (*mine, theirs) {
                (Some(mine), Some(theirs)) => Some(stricter(mine, theirs)),
                (mine, theirs) => mine.or(theirs),
            };
        }
        let rule = match (self.rule, other.rule) {
            (one, Rule::None) => one,
            (Rule::None, other) => other,
            (one, other) if one == other => one,
            (one, other) if one.is_us() && other.is_us() => Rule::SeveralUs,
            _ => Rule::Several,
        };
        let mut objections = self.objections;
        for (mine, theirs) in objections.iter_mut().zip(other.objections) {
            *mine = mine.and(theirs);
        }
        let not_objected = self.not_objected.and(other.not_objected);
        let under_gpc = self.under_gpc || other.under_gpc;
        Answers { by_purpose, under_gpc, objections, not_objected, rule }
    }

    fn each(
        rule: Rule,
        on_day: Option<u32>,
        choice: impl Fn(Purpose) -> Option<Choice>,
    ) -> Answers {
        let answer = |purpose| choice(purpose).map(|choice| Answer { choice, on_day });
        Answers { by_purpose: Purpose::ALL.map(answer), rule, ..Answers::default() }
    }

    fn silent(rule: Rule) -> Answers {
        Answers { rule, ..Answers::default() }
    }

    fn deny(&mut self, purposes: &[Purpose], by: UsFields) {
        let places = self.by_purpose.iter_mut().zip(&mut self.objections);
        for ((answer, objections), purpose) in places.zip(Purpose::ALL) {
            if purposes.contains(&purpose) {
                *answer = Some(Answer { choice: Choice::Denied, on_day: None });
                *objections = objections.and(by);
            }
        }
    }
}

/// The no of two answers. Of two nos the newer, of two yeses the older: a yes ends.
fn stricter(one: Answer, other: Answer) -> Answer {
    let told = |answer: Answer| answer.on_day.unwrap_or(u32::MAX);
    match (one.choice, other.choice) {
        (Choice::Denied, Choice::Granted) => one,
        (Choice::Granted, Choice::Denied) => other,
        (Choice::Denied, Choice::Denied) if told(other) > told(one) => other,
        (Choice::Granted, Choice::Granted) if told(other) < told(one) => other,
        _ => one,
    }
}

/// A rule for strings that ask by purpose.
#[derive(Clone, Copy, Debug)]
pub struct PurposeRule {
    /// Our purpose.
    pub purpose: Purpose,
    /// Theirs; all must be agreed to.
    pub needs: &'static [u8],
    /// Why these.
    pub because: &'static str,
}

/// TCF of Europe. Purpose 1 is storage on the device (ePrivacy directive, article 5(3)); the others
/// follow the texts of the purposes in the TCF Policies, appendix A.
pub const TCF_RULES: [PurposeRule; 4] = [
    PurposeRule {
        purpose: Purpose::Analytics,
        needs: &[1, 8, 9],
        because: "storage; measuring content; understanding audiences",
    },
    PurposeRule {
        purpose: Purpose::Ads,
        needs: &[1, 3, 4, 7],
        because: "storage; profiles for advertising; their use; measuring advertising. It is what \
                  Google's mapping asks for ad_storage, ad_user_data and ad_personalization together",
    },
    PurposeRule {
        purpose: Purpose::Personalization,
        needs: &[1, 5, 6],
        because: "storage; profiles for content; their use",
    },
    PurposeRule { purpose: Purpose::Functional, needs: &[1], because: "storage" },
];

/// TCF of Canada: the same purposes, but its purpose 1 is not used (specification of section 5), and
/// `functional` has no purpose of its own.
pub const TCF_CANADA_RULES: [PurposeRule; 3] = [
    PurposeRule {
        purpose: Purpose::Analytics,
        needs: &[8, 9],
        because: "measuring content; understanding audiences",
    },
    PurposeRule {
        purpose: Purpose::Ads,
        needs: &[3, 4, 7],
        because: "profiles for advertising; their use; measuring advertising",
    },
    PurposeRule {
        purpose: Purpose::Personalization,
        needs: &[5, 6],
        because: "profiles for content; their use",
    },
];

/// A rule for the fields of the United States: a value that means a no.
#[derive(Clone, Copy, Debug)]
pub struct UsRule {
    /// The field.
    pub field: Field,
    /// The purposes that it denies.
    pub denies: &'static [Purpose],
    /// Why these.
    pub because: &'static str,
}

/// The United States: 1 = objected (or, of children, not consented) denies, and so does 3, which has
/// no meaning; 0 and 2 say nothing, since not objecting is no consent. 2 takes back what the same section
/// objected to before, 0 (does not apply) does not. Section by section only the fields that it has.
pub const US_RULES: [UsRule; 4] = [
    UsRule {
        field: Field::SaleOptOut,
        denies: &[Purpose::Ads],
        because: "forwarding may be a sale",
    },
    UsRule {
        field: Field::SharingOptOut,
        denies: &[Purpose::Ads],
        because: "forwarding for advertising is sharing",
    },
    UsRule {
        field: Field::TargetedAdvertisingOptOut,
        denies: &[Purpose::Ads],
        because: "it is that purpose",
    },
    UsRule {
        field: Field::KnownChildSensitiveDataConsents,
        denies: &[Purpose::Ads, Purpose::Personalization],
        because: "under 16 both need consent (California Civil Code 1798.120(c) and alike)",
    },
];

/// Google consent mode: what a purpose needs. `ads` needs all three that version 2 has.
pub const MODE_RULES: [(Purpose, &[ModeSignal]); 4] = [
    (Purpose::Analytics, &[ModeSignal::AnalyticsStorage]),
    (Purpose::Ads, &[ModeSignal::AdStorage, ModeSignal::AdUserData, ModeSignal::AdPersonalization]),
    (Purpose::Personalization, &[ModeSignal::PersonalizationStorage]),
    (Purpose::Functional, &[ModeSignal::FunctionalityStorage]),
];

/// A TC string: each purpose is answered. The publisher's own segment counts if it says anything,
/// otherwise the purposes that were agreed to: the owner of a site is its publisher and no vendor. Whoever
/// was not told of purpose 1 (`PurposeOneTreatment`) agreed to no storage, whatever its bit says.
pub fn of_tcf(tcf: &TcString) -> Result<Answers, ConsentError> {
    tcf.check_valid()?;
    let publisher = tcf.publisher.as_ref().filter(|publisher| publisher.says_something());
    let consents = publisher.map_or(tcf.purpose_consents, |publisher| publisher.consents);
    let answer = |purpose| {
        let rule = TCF_RULES.iter().find(|rule| rule.purpose == purpose)?;
        let is_told = !(tcf.purpose_one_untold && rule.needs.contains(&1));
        Some(yes_if(is_told && consents.contains_all(rule.needs)))
    };
    let rule = if publisher.is_some() { Rule::TcfPublisher } else { Rule::TcfPurposes };
    Ok(Answers::each(rule, Some(day_of(tcf.header.updated_at_ms)), answer))
}

/// Canada: express consent is a yes; implied consent says nothing, since nobody chose; neither is a no.
pub fn of_canada(tcf: &TcfCanada) -> Answers {
    let publisher = tcf.publisher.as_ref().filter(|publisher| publisher.says_something());
    let (express, implied) = publisher
        .map_or((tcf.express, tcf.implied), |publisher| (publisher.consents, publisher.interests));
    let answer = |purpose| {
        let rule = TCF_CANADA_RULES.iter().find(|rule| rule.purpose == purpose)?;
        if express.contains_all(rule.needs) {
            return Some(Choice::Granted);
        }
        let is_implied = rule.needs.iter().all(|p| express.contains(*p) || implied.contains(*p));
        (!is_implied).then_some(Choice::Denied)
    };
    Answers::each(Rule::Canada, Some(day_of(tcf.header.updated_at_ms)), answer)
}

/// A US Privacy string: a third letter `Y` objects to the sale, `N` takes that back.
pub fn of_us_privacy(string: &UsPrivacy) -> Answers {
    let mut answers = Answers::silent(Rule::UsPrivacy);
    let fields = UsFields::objections(US_PRIVACY);
    match string.opt_out_of_sale {
        Letter::Yes => answers.deny(&[Purpose::Ads], fields),
        Letter::No => answers.not_objected = fields,
        Letter::NotApplicable => {}
    }
    answers
}

/// A section of the United States.
pub fn of_us(section: &UsSection) -> Answers {
    let mut answers = Answers::silent(Rule::Us);
    let is_no = |value: &u8| matches!(value, 1 | 3);
    for rule in &US_RULES {
        let by = match rule.field {
            Field::KnownChildSensitiveDataConsents => UsFields::children(section.id),
            _ => UsFields::objections(section.id),
        };
        if section.values(rule.field).iter().any(is_no) {
            answers.deny(rule.denies, by);
        }
    }
    answers.not_objected = taken_back(section);
    answers.under_gpc = section.gpc == Some(true);
    answers
}

/// Where all objections that the section has say 2; where a child's consent was given and none withheld.
fn taken_back(section: &UsSection) -> UsFields {
    let mut objections = US_RULES
        .iter()
        .filter(|rule| rule.field != Field::KnownChildSensitiveDataConsents)
        .flat_map(|rule| section.values(rule.field));
    let children = section.values(Field::KnownChildSensitiveDataConsents);
    let mut fields = UsFields::default();
    if objections.all(|value| *value == 2) {
        fields = fields.and(UsFields::objections(section.id));
    }
    if children.contains(&2) && children.iter().all(|value| matches!(value, 0 | 2)) {
        fields = fields.and(UsFields::children(section.id));
    }
    fields
}

/// A GPP string: the sections that apply, together. Where a consent framework applies and its section
/// is not there, nobody agreed.
pub fn of_gpp(gpp: &GppString, applicable: &Applicable) -> Result<Answers, ConsentError> {
    let mut answers = Answers::default();
    for (_, section) in gpp.sections.iter().filter(|(id, _)| applicable.includes(*id)) {
        let more = match section {
            Section::Europe(tcf) => of_tcf(tcf)?,
            Section::Canada(tcf) => of_canada(tcf),
            Section::UsPrivacy(string) if string.version == 1 => of_us_privacy(string),
            Section::UsPrivacy(_) => return Err(ConsentError::Version),
            Section::Us(section) => of_us(section),
            Section::Unknown => return Err(ConsentError::UnknownSection),
        };
        answers = answers.and(more);
    }
    let Applicable::Only(ids) = applicable else { return Ok(answers) };
    let is_there = |id: u16| gpp.sections.iter().any(|(known, _)| *known == id);
    let is_missing = |id: u16| ids.contains(&id) && !is_there(id);
    match is_missing(TCF_EU) || is_missing(TCF_CANADA) {
        true => Err(ConsentError::Missing),
        false => Ok(answers),
    }
}

/// Consent mode: a purpose is granted if all its signals are, denied if one is, silent otherwise.
pub fn of_mode(mode: &ConsentMode) -> Answers {
    let answer = |purpose| {
        let (_, needs) = MODE_RULES.iter().find(|(known, _)| *known == purpose)?;
        let words = || needs.iter().map(|signal| mode.setting(*signal).and_then(|s| s.word()));
        if words().any(|word| word == Some(Choice::Denied)) {
            return Some(Choice::Denied);
        }
        words().all(|word| word.is_some()).then_some(Choice::Granted)
    };
    Answers::each(Rule::ConsentMode, None, answer)
}

fn yes_if(agreed: bool) -> Choice {
    if agreed { Choice::Granted } else { Choice::Denied }
}

fn day_of(at_ms: i64) -> u32 {
    u32::try_from(at_ms.div_euclid(DAY_MS)).unwrap_or(0)
}
