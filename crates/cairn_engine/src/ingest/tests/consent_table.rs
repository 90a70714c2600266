//! Every combination of signals, settings and region; the rules hold in each.

use std::collections::BTreeMap;

use cairn_consent::ConsentError;
use cairn_consent::purposes::{Answer, Answers, Rule, UsFields};
use cairn_enrich::{Country, Region};
use cairn_model::site::GpcReach;
use cairn_model::{Basis, Choice, Policy, PrivacySettings, Purpose, Verdict};

use crate::ingest::consent::{RecordedChoice, RecordedConsent, Said, SentConsent, Speaker, Told};
use crate::ingest::gate::{
    Decision, MemoryPermission, Signals, Standing, Voice, decide, memory_permission,
};

pub(super) const POLICIES: [Policy; 5] =
    [Policy::Regional, Policy::OptIn, Policy::OptInStrict, Policy::OptOut, Policy::Anonymous];

pub(super) fn regions() -> [(&'static str, Region); 5] {
    [
        ("eea", Region::Eea),
        ("uk", Region::Uk),
        ("ch", Region::Switzerland),
        ("other", Region::Other(Country::new("US"))),
        ("unknown", Region::Unknown),
    ]
}

/// What one place of a record may hold.
const RECORDED: [Option<(Choice, bool)>; 5] = [
    None,
    Some((Choice::Granted, false)),
    Some((Choice::Granted, true)),
    Some((Choice::Denied, false)),
    Some((Choice::Denied, true)),
];
const SENT: [Option<Choice>; 3] = [None, Some(Choice::Granted), Some(Choice::Denied)];

fn recorded_choice(choice: Choice, under_gpc: bool) -> RecordedChoice {
    RecordedChoice { choice, under_gpc, by: Speaker::Words, at_ms: 0 }
}

/// Signals with the same answer for analytics and ads in all combinations that differ.
fn signals() -> Vec<Signals> {
    let mut all = Vec::new();
    for recorded in RECORDED {
        for recorded_ads in RECORDED {
            for sent in sent_choices() {
                for bits in 0..4_u8 {
                    for standing in [Standing::Own, Standing::CrossSite, Standing::Foreign] {
                        for voice in [Voice::Browser, Voice::Server, Voice::Owner] {
                            let place = |given: Option<(Choice, bool)>| {
                                given.map(|(choice, under_gpc)| recorded_choice(choice, under_gpc))
                            };
                            let choices = [place(recorded), place(recorded_ads), None, None];
                            all.push(Signals {
                                opted_out: bits & 1 != 0,
                                recorded: RecordedConsent { choices, opted_out: false },
                                sent,
                                said: Said::Now,
                                gpc: bits & 2 != 0,
                                standing,
                                voice,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

fn sent_choices() -> Vec<SentConsent> {
    let mut all = vec![SentConsent::Nothing, SentConsent::Unreadable(ConsentError::Truncated)];
    for analytics in SENT {
        for ads in SENT {
            all.push(SentConsent::Choices([analytics, ads, None, None]));
            for under_gpc in [false, true] {
                all.push(told(Rule::Several, [analytics, ads, None, None], under_gpc, None));
            }
        }
    }
    all
}

/// What a string said on a day, in days since 1970.
pub(super) fn told(
    rule: Rule,
    choices: [Option<Choice>; 4],
    under_gpc: bool,
    on_day: Option<u32>,
) -> SentConsent {
    let by_purpose = choices.map(|choice| choice.map(|choice| Answer { choice, on_day }));
    let answers = Answers { by_purpose, under_gpc, rule, ..Answers::default() };
    SentConsent::Told(Told { answers, own: [None; 4] })
}

/// What section 7 of GPP says: an objection to advertising, that there is none, or neither.
pub(super) fn us_told(objects: Option<bool>, under_gpc: bool) -> SentConsent {
    let fields = UsFields::objections(7);
    let mut answers = Answers { under_gpc, rule: Rule::Us, ..Answers::default() };
    match objects {
        Some(true) => {
            answers.by_purpose[1] = Some(Answer { choice: Choice::Denied, on_day: None });
            answers.objections[1] = fields;
        }
        Some(false) => answers.not_objected = fields,
        None => {}
    }
    SentConsent::Told(Told { answers, own: [None; 4] })
}

fn each(mut check: impl FnMut(&Signals, &PrivacySettings, Region, &Decision)) -> usize {
    let mut count = 0;
    let signals = signals();
    for policy in POLICIES {
        for gpc in [GpcReach::Ads, GpcReach::All] {
            for (_, region) in regions() {
                let privacy = PrivacySettings { policy, gpc, ..PrivacySettings::default() };
                for signals in &signals {
                    check(signals, &privacy, region, &decide(signals, &privacy, region));
                    count += 1;
                }
            }
        }
    }
    count
}

/// The choice that was made, of whatever kind, by the contract's words and not by the gate's code.
fn explicit(signals: &Signals, place: usize) -> Option<Choice> {
    match signals.sent {
        SentConsent::Unreadable(_) => Some(Choice::Denied),
        SentConsent::Choices(choices) if choices[place].is_some() => choices[place],
        SentConsent::Told(told) if told.answers.by_purpose[place].is_some() => {
            told.answers.by_purpose[place].map(|answer| answer.choice)
        }
        _ => signals.recorded.choices[place].map(|recorded| recorded.choice),
    }
}

#[test]
fn no_combination_breaks_a_rule() {
    let count = each(|signals, privacy, region, decision| {
        let about = || format!("{signals:?} {privacy:?} {region:?} gave {decision:?}");
        let is_full = decision.verdict == Verdict::Full;
        if signals.opted_out {
            assert_eq!(decision.verdict, Verdict::Drop, "{}", about());
        }
        assert!(is_full || decision.granted == [false; 4], "{}", about());
        if signals.opted_out || signals.voice == Voice::Owner {
            return;
        }
        assert_eq!(is_full, decision.grants(Purpose::Analytics), "{}", about());
        let (analytics, ads) = (explicit(signals, 0), explicit(signals, 1));
        if analytics == Some(Choice::Denied) || signals.standing != Standing::Own {
            assert!(!is_full, "{}", about());
        }
        if ads == Some(Choice::Denied) {
            assert!(!decision.grants(Purpose::Ads), "{}", about());
        }
        let under_gpc = |place: usize| {
            signals.recorded.choices[place]
                .is_some_and(|recorded| recorded.under_gpc && recorded.choice == Choice::Granted)
        };
        let gpc = signals.gpc || signals.sent.tells_gpc();
        if gpc && !under_gpc(1) {
            assert!(!decision.grants(Purpose::Ads), "{}", about());
        }
        if gpc && privacy.gpc == GpcReach::All && !under_gpc(0) {
            assert!(!is_full, "{}", about());
        }
        let is_opt_out_region = matches!(region, Region::Other(_));
        if analytics.is_none() && is_full {
            let allowed = privacy.policy == Policy::OptOut
                || (privacy.policy == Policy::Regional && is_opt_out_region);
            assert!(allowed, "{}", about());
        }
        let dropped = decision.verdict == Verdict::Drop;
        assert!(!dropped || privacy.policy == Policy::OptInStrict, "{}", about());
        if privacy.policy == Policy::OptInStrict && analytics != Some(Choice::Granted) {
            assert!(dropped, "{}", about());
        }
    });
    println!("{count} combinations");
    assert_eq!(count, 5 * 2 * 5 * 25 * 29 * 4 * 9);
}

#[test]
fn a_yes_is_a_yes() {
    // The other direction: what the contract permits is not withheld.
    each(|signals, privacy, _, decision| {
        let gpc = signals.gpc || signals.sent.tells_gpc();
        let plain = !signals.opted_out && signals.standing == Standing::Own && !gpc;
        if plain && explicit(signals, 0) == Some(Choice::Granted) {
            assert_eq!(decision.verdict, Verdict::Full, "{signals:?} {privacy:?}");
            let ads = explicit(signals, 1) == Some(Choice::Granted);
            assert!(!ads || decision.grants(Purpose::Ads), "{signals:?} {privacy:?}");
        }
    });
}

fn row(recorded: &str, sent: &str, gpc: bool, standing: Standing) -> Signals {
    let recorded = match recorded {
        "yes" => Some(recorded_choice(Choice::Granted, false)),
        "no" => Some(recorded_choice(Choice::Denied, false)),
        _ => None,
    };
    let sent = match sent {
        "yes" => SentConsent::Choices([Some(Choice::Granted); 4]),
        "no" => SentConsent::Choices([Some(Choice::Denied); 4]),
        _ => SentConsent::Nothing,
    };
    Signals {
        opted_out: false,
        recorded: RecordedConsent { choices: [recorded; 4], opted_out: false },
        sent,
        said: Said::Now,
        gpc,
        standing,
        voice: Voice::Browser,
    }
}

#[test]
fn the_basis_says_what_decided() {
    let basis = |recorded, sent, gpc, standing| {
        let privacy = PrivacySettings { gpc: GpcReach::All, ..PrivacySettings::default() };
        decide(&row(recorded, sent, gpc, standing), &privacy, Region::Eea).basis
    };
    assert_eq!(basis("-", "-", false, Standing::Own).policy(), Some(Policy::Regional));
    assert_eq!(basis("yes", "-", false, Standing::Own), Basis::RecordedChoice);
    assert_eq!(basis("yes", "no", false, Standing::Own), Basis::SentChoice);
    assert_eq!(basis("yes", "yes", true, Standing::Own), Basis::Gpc);
    assert_eq!(basis("yes", "yes", false, Standing::Foreign), Basis::ForeignOrigin);
    let server = Signals { voice: Voice::Server, ..row("-", "yes", false, Standing::Own) };
    let decision = decide(&server, &PrivacySettings::default(), Region::Unknown);
    assert_eq!((decision.basis, decision.verdict), (Basis::Server, Verdict::Full));
}

/// The same, said of memory (`functional`) instead of measuring.
fn of_memory(signals: &Signals) -> Signals {
    let mut signals = *signals;
    signals.recorded.choices.swap(0, 3);
    match &mut signals.sent {
        SentConsent::Choices(choices) => choices.swap(0, 3),
        SentConsent::Told(told) => told.answers.by_purpose.swap(0, 3),
        SentConsent::Nothing | SentConsent::Unreadable(_) => {}
    }
    signals
}

#[test]
fn memory_needs_functional_and_nothing_else() {
    let mut seen = BTreeMap::new();
    each(|signals, privacy, region, _| {
        let signals = of_memory(signals);
        let permission = memory_permission(&signals, privacy, region);
        let said = explicit(&signals, 3);
        let under_gpc = signals.recorded.choices[3]
            .is_some_and(|recorded| recorded.choice == Choice::Granted && recorded.under_gpc);
        let gpc = (signals.gpc || signals.sent.tells_gpc()) && privacy.gpc == GpcReach::All;
        let in_silence = match privacy.policy {
            Policy::OptOut => MemoryPermission::Granted,
            Policy::Regional if matches!(region, Region::Other(_)) => MemoryPermission::Granted,
            _ => MemoryPermission::Silent,
        };
        let wanted = match said {
            _ if signals.opted_out => MemoryPermission::Denied,
            _ if signals.standing != Standing::Own => MemoryPermission::Silent,
            Some(Choice::Denied) => MemoryPermission::Denied,
            _ if gpc && !under_gpc => MemoryPermission::Silent,
            Some(Choice::Granted) => MemoryPermission::Granted,
            None => in_silence,
        };
        assert_eq!(permission, wanted, "{signals:?} {privacy:?} {region:?}");
        // Measuring may be denied, and memory is not.
        let measured = decide(&signals, privacy, region).verdict == Verdict::Full;
        *seen.entry((format!("{permission:?}"), measured)).or_insert(0) += 1;
    });
    assert!(seen.contains_key(&("Granted".to_owned(), false)), "{seen:?}");
    assert!(seen.contains_key(&("Denied".to_owned(), true)), "{seen:?}");
}
