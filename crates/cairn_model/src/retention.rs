//! How long each class of data is kept, why, and by whose rule: the one table.
//!
//! Events are counted from their arrival, never from when they happened: what an import tells of old years is as new as
//! the import. It does not know who enforces it.

use serde::{Deserialize, Serialize};

use crate::limits::AGE_MS_MAX;

/// A class of data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DataClass {
    /// Events and visits.
    Events,
    /// User ids and traits.
    People,
    /// Choices about mails.
    MailChoices,
    /// Remembered values.
    Memory,
    /// Receipts of permission.
    Receipts,
    /// Opt-outs on record.
    OptOuts,
    /// The last no of senders without a record of ours.
    Refusals,
    /// Records of erasures.
    Erasures,
    /// Requests of people about themselves.
    Requests,
    /// Counts of hits by outcome.
    Outcomes,
    /// Keyed hashes of event ids.
    EventIds,
    /// Answers of the API kept for repetitions.
    Answers,
    /// Log-ins of owners.
    LogIns,
}

impl DataClass {
    /// All, in the order of [`RULES`].
    pub const ALL: [DataClass; 13] = [
        DataClass::Events,
        DataClass::People,
        DataClass::MailChoices,
        DataClass::Memory,
        DataClass::Receipts,
        DataClass::OptOuts,
        DataClass::Refusals,
        DataClass::Erasures,
        DataClass::Requests,
        DataClass::Outcomes,
        DataClass::EventIds,
        DataClass::Answers,
        DataClass::LogIns,
    ];

    /// Its rule.
    pub fn rule(self) -> &'static Rule {
        &RULES[self as usize]
    }
}

/// How long a class is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Term {
    /// So many days, of which a site may choose its own number within bounds.
    Chosen {
        /// Days where the site chose none.
        default_days: u32,
        /// Fewest that it may choose.
        days_min: u32,
        /// Most that it may choose.
        days_max: u32,
    },
    /// So many days for everybody.
    Fixed(u32),
    /// Each entry has its own end, up to so many days.
    Own(u32),
    /// As long as the site is there.
    Site,
}

/// The rule for a class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The class.
    pub class: DataClass,
    /// Its name in the API.
    pub name: &'static str,
    /// What is in it.
    pub what: &'static str,
    /// What it is kept for.
    pub purpose: &'static str,
    /// From when its days are counted.
    pub counted_from: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// How long.
    pub term: Term,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The table, in the order of [`DataClass::ALL`].
pub const RULES: [Rule; 13] = [
    Rule {
        class: DataClass::Events,
        name: "events",
        what: "events and visits",
        purpose: "analytics and ads, as the visitor's choice or the policy permits",
        counted_from: "arrival; of a visit, the arrival of its last event",
        source: "CNIL, guidelines on audience measurement: at most 25 months",
        term: Term::Chosen { default_days: 760, days_min: 1, days_max: 3_660 },
    },
    Rule {
        class: DataClass::People,
        name: "people",
        what: "user ids and traits",
        purpose: "to recognise who identified himself, by permission",
        counted_from: "the arrival of the last event that names the person",
        source: "as long as the events that name him",
        term: Term::Chosen { default_days: 760, days_min: 1, days_max: 3_660 },
    },
    Rule {
        class: DataClass::MailChoices,
        name: "mail_choices",
        what: "choices about mails, under keyed numbers",
        purpose: "to follow what the recipient said, and to prove it",
        counted_from: "the last change",
        source: "CNIL, reference for managing customers: three years after the last contact",
        term: Term::Chosen { default_days: 1_096, days_min: 30, days_max: 3_660 },
    },
    Rule {
        class: DataClass::Memory,
        name: "memory",
        what: "remembered values (preferences, cart, e-mail for the log-in form)",
        purpose: "functional: what the visitor asked to be remembered",
        counted_from: "the last change of each value",
        source: "the lifetime of its kind; longest that of cookies, which browsers cap",
        term: Term::Own(crate::limits::COOKIE_AGE_DAYS_MAX),
    },
    Rule {
        class: DataClass::Receipts,
        name: "receipts",
        what: "choices in the chain of receipts; afterwards only times and hashes",
        purpose: "proof of permission",
        counted_from: "the choice",
        source: "as long as a choice can be relied upon, and three years of limitation after it",
        term: Term::Fixed(395 + 3 * 366),
    },
    Rule {
        class: DataClass::OptOuts,
        name: "opt_outs",
        what: "keyed numbers of those who opted out or were erased",
        purpose: "to keep nothing of them",
        counted_from: "never ends before the site does",
        source: "GDPR, article 21; CCPA, section 1798.135",
        term: Term::Site,
    },
    Rule {
        class: DataClass::Refusals,
        name: "refusals",
        what: "keyed numbers of senders without a cookie, as an SDK's own id, that took permission back, and for which purposes",
        purpose: "to follow their no in what they send without a word",
        counted_from: "the day it was last said; noted again once a month",
        source: "as long as a browser's own record of a choice lasts",
        term: Term::Fixed(crate::refusal::REFUSAL_AGE_DAYS_MAX),
    },
    Rule {
        class: DataClass::Erasures,
        name: "erasures",
        what: "what was erased where, under keyed numbers",
        purpose: "proof of erasure",
        counted_from: "the request",
        source: "GDPR, article 5(2), and three years of limitation",
        term: Term::Fixed(3 * 366),
    },
    Rule {
        class: DataClass::Requests,
        name: "requests",
        what: "requests of people about themselves that were answered, under keyed numbers, and what was done about them",
        purpose: "proof that they were answered in time",
        counted_from: "the day they were closed; open ones, with what they name, stay until then",
        source: "11 CCR section 7101: two years; GDPR, article 5(2), and three years of limitation",
        term: Term::Fixed(3 * 366),
    },
    Rule {
        class: DataClass::Outcomes,
        name: "outcomes",
        what: "counts of hits by hour and outcome; they name nobody",
        purpose: "to show what became of hits",
        counted_from: "never ends before the site does",
        source: "no personal data",
        term: Term::Site,
    },
    Rule {
        class: DataClass::EventIds,
        name: "event_ids",
        what: "keyed hashes of event ids",
        purpose: "to recognise repetitions",
        counted_from: "arrival",
        source: "as long as a hit may be late",
        term: Term::Fixed((AGE_MS_MAX / DAY_MS) as u32),
    },
    Rule {
        class: DataClass::Answers,
        name: "answers",
        what: "answers of the API with an idempotency key",
        purpose: "to answer a repetition as the first time",
        counted_from: "the answer",
        source: "as long as a program tries again",
        term: Term::Fixed(1),
    },
    Rule {
        class: DataClass::LogIns,
        name: "log_ins",
        what: "hashes of owners' log-ins",
        purpose: "to keep owners logged in",
        counted_from: "the last use",
        source: "our own choice",
        term: Term::Fixed(30),
    },
];

/// What a site chose, where it chose anything: days.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Of events and visits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u16>,
    /// Of people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<u16>,
    /// Of choices about mails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_choices: Option<u16>,
}

impl Retention {
    /// The place of a class that a site may choose for.
    pub fn choice_mut(&mut self, class: DataClass) -> Option<&mut Option<u16>> {
        match class {
            DataClass::Events => Some(&mut self.events),
            DataClass::People => Some(&mut self.people),
            DataClass::MailChoices => Some(&mut self.mail_choices),
            _ => None,
        }
    }

    /// Days for which the site keeps a class; `None`: as long as the site is there.
    pub fn days(&self, class: DataClass) -> Option<u32> {
        let chosen = { *self }.choice_mut(class).and_then(|choice| *choice);
        match class.rule().term {
            Term::Chosen { default_days, .. } => Some(chosen.map_or(default_days, u32::from)),
            Term::Fixed(days) | Term::Own(days) => Some(days),
            Term::Site => None,
        }
    }

    /// What of a class is from before this instant is too old; Unix milliseconds.
    pub fn cutoff_ms(&self, class: DataClass, now_ms: i64) -> Option<i64> {
        self.days(class).map(|days| now_ms - i64::from(days) * DAY_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_class_once_in_order() {
        for (class, rule) in DataClass::ALL.into_iter().zip(&RULES) {
            assert_eq!(rule.class, class);
            assert_eq!(class.rule(), rule);
            if let Term::Chosen { default_days, days_min, days_max } = rule.term {
                assert!((days_min..=days_max).contains(&default_days));
                assert!(days_max <= u32::from(u16::MAX));
                assert!(Retention::default().choice_mut(class).is_some(), "{}", rule.name);
            }
        }
    }

    #[test]
    fn a_site_may_choose_and_time_runs_from_now() {
        let mut retention = Retention::default();
        assert_eq!(retention.days(DataClass::Events), Some(760));
        assert_eq!(retention.days(DataClass::OptOuts), None);
        retention.events = Some(30);
        assert_eq!(retention.days(DataClass::Events), Some(30));
        assert_eq!(retention.cutoff_ms(DataClass::Events, 31 * DAY_MS), Some(DAY_MS));
        assert!(retention.choice_mut(DataClass::Receipts).is_none());
    }
}
