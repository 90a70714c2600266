//! Choices, strings and their record: what is read, and which of them is the newest.

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

const ALL: &str = "CQgcD4AQgcD4AEsAHBENB4FsAP_gAEPgAAYgAKP__8AFH__-AAAA.IAKP__8A.YAAAAAAAAAAA";
const NONE: &str = "CQgcD4AQgcD4AEsAHBENB4FgAAAAAAAAAAYgAAAAAAAA.IAKP__8A.YAAAAAAAAAAA";
/// 2026-03-02, the day of both.
const DAY: i64 = 20_514;

fn told(text: &str) -> Choices {
    let sent = parse(text).unwrap();
    [0, 1, 2, 3].map(|place| sent.answer(place).map(|answer| answer.choice))
}

#[test]
fn strings_are_understood_where_they_stand_alone() {
    let (yes, no) = (Some(Choice::Granted), Some(Choice::Denied));
    assert_eq!(told(ALL), [yes; 4]);
    assert_eq!(told(NONE), [no; 4]);
    assert_eq!(told("DBABBg~BVVVVUCA.YA"), [None, no, None, None]);
    assert!(parse("DBABBg~BVVVVUCA.YA").unwrap().tells_gpc());
    assert_eq!(told("1YYN"), [None, no, None, None]);
    assert_eq!(told("1YNN"), [None; 4]);
}

#[test]
fn strings_that_cannot_be_relied_on_are_a_no_and_told() {
    for text in [
        "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA",
        "CQgcD4AQgc*4AEsAHBENB4FsAP_gAEPgAAYgAKP__8AFH__-AAAA.IAKP__8A",
        "CQgcD4AQgcD4AEsAHBEN",
        "CP+/AAAA",
        "DBABM",
        "DBABM~",
        "1YXN",
        "1yxn",
    ] {
        let sent = parse(text).unwrap();
        assert!(sent.complaint().is_some_and(|words| words.ends_with("counts as no")), "{text}");
        assert_eq!(told(text), [Some(Choice::Denied); 4], "{text}");
        assert_eq!(RecordedConsent::default().updated(&sent, Said::Now, false, 1), None);
    }
}

#[test]
fn a_yes_in_a_string_ends_after_13_months() {
    let sent = parse(ALL).unwrap();
    let on = |day: i64| sent.at(day * DAY_S * 1000).answer(0).unwrap().choice;
    assert_eq!(on(DAY), Choice::Granted);
    assert_eq!(on(DAY + 395), Choice::Granted);
    assert_eq!(on(DAY + 396), Choice::Denied);
    assert_eq!(on(DAY - 1), Choice::Granted, "a clock that is a little off");
    assert_eq!(on(DAY - 2), Choice::Denied, "said in the future");
}

#[test]
fn the_newest_choice_wins() {
    let recorded = |choice, is_string, day: i64| {
        let by = if is_string { Speaker::ConsentString } else { Speaker::Words };
        let at_ms = (day * DAY_S + 40_000) * 1000;
        let one = RecordedChoice { choice, under_gpc: false, by, at_ms };
        RecordedConsent { choices: [Some(one); 4], opted_out: false }
    };
    let newest = |recorded: RecordedConsent, sent: &str| {
        recorded.newest(&parse(sent).unwrap(), Said::Now, 0).unwrap().0
    };
    let (yes, no) = (Choice::Granted, Choice::Denied);
    for (record, string, wanted) in [
        (recorded(no, false, DAY - 1), ALL, yes),
        (recorded(no, false, DAY), ALL, no),
        (recorded(no, false, DAY + 1), ALL, no),
        (recorded(yes, false, DAY - 1), NONE, no),
        (recorded(yes, false, DAY), NONE, no),
        (recorded(yes, false, DAY + 1), NONE, yes),
        // The consent manager's own earlier word; a yes of a day before its no is none any more.
        (recorded(no, true, DAY), ALL, yes),
        (recorded(no, true, DAY + 1), ALL, no),
        (recorded(yes, true, DAY + 1), NONE, no),
        // Cairn's words are said with the hit.
        (recorded(no, false, DAY + 1), "analytics:granted", yes),
        (recorded(yes, true, DAY + 1), "analytics:denied", no),
        // What asks for consent is not taken back by what knows objections only.
        (recorded(no, true, DAY - 1), "1YNN", no),
        (recorded(yes, true, DAY - 1), "1YYN", yes),
    ] {
        assert_eq!(newest(record, string), wanted, "{record:?} {string}");
    }
}

#[test]
fn the_record_follows_the_consent_manager() {
    let now_ms = (DAY * DAY_S + 50_000) * 1000;
    let agreed = RecordedConsent::default().updated(&parse(ALL).unwrap(), Said::Now, false, now_ms);
    let agreed = agreed.unwrap();
    let value = agreed.cookie_value();
    assert!(value.starts_with("v1.analytics=1s.ads=1s.personalization=1s.functional=1s.t="));
    assert_eq!(
        agreed.updated(&parse(ALL).unwrap(), Said::Now, false, now_ms),
        None,
        "says it already"
    );
    // Withdrawn and agreed to again on the same day.
    let refused = agreed.updated(&parse(NONE).unwrap(), Said::Now, false, now_ms).unwrap();
    assert!(refused.choices.iter().all(|choice| choice.unwrap().choice == Choice::Denied));
    assert!(refused.updated(&parse(ALL).unwrap(), Said::Now, false, now_ms).is_some());
    // An objection in the United States that was taken back: the string says nothing any more.
    let objected =
        RecordedConsent::default().updated(&parse("1YYN").unwrap(), Said::Now, false, now_ms);
    let objected = objected.unwrap();
    assert_eq!(objected.choices[1].unwrap().choice, Choice::Denied);
    let back = objected.updated(&parse("1YNN").unwrap(), Said::Now, false, now_ms).unwrap();
    assert_eq!(back.choices, [None; 4]);
    // What was said in Cairn's words stays, and a string is no answer to the signal.
    let own =
        RecordedConsent::default().updated(&parse("ads:denied").unwrap(), Said::Now, false, now_ms);
    assert_eq!(own.unwrap().updated(&parse("1YNN").unwrap(), Said::Now, false, now_ms), None);
    // Strings do not make words younger: those of day 1 are older than a string of a later day.
    let words = RecordedConsent::default().updated(
        &parse("ads:granted").unwrap(),
        Said::Now,
        false,
        DAY_S * 1000,
    );
    let both = words.unwrap().updated(&parse("1YYN").unwrap(), Said::Now, false, now_ms).unwrap();
    let words = words
        .unwrap()
        .updated(&parse(ALL).unwrap(), Said::Now, false, now_ms + DAY_S * 1000)
        .unwrap();
    let times = |record: &RecordedConsent| record.choices.map(|it| it.map(|it| it.at_ms));
    assert_eq!(times(&words)[1], Some(DAY_S * 1000));
    assert_eq!(times(&both)[1], Some(now_ms));
    assert_eq!(words.newest(&parse(NONE).unwrap(), Said::Now, 1), Some((Choice::Denied, true)));
    let under_gpc =
        RecordedConsent::default().updated(&parse(ALL).unwrap(), Said::Now, true, now_ms);
    assert!(under_gpc.unwrap().choices.iter().all(|choice| !choice.unwrap().under_gpc));
}

#[test]
fn of_words_and_strings_in_one_hit_a_no_wins() {
    let strings = Strings { tcf: ALL.into(), us_privacy: "1YYN".into(), ..Strings::default() };
    let sent = parse("analytics:denied,functional:granted").unwrap().with_strings(&strings);
    let choices = [0, 1, 2, 3].map(|place| sent.answer(place).unwrap().choice);
    use Choice::{Denied, Granted};
    assert_eq!(choices, [Denied, Denied, Granted, Granted]);
    let applies = Strings { gdpr: "1".into(), ..Strings::default() };
    let sent = SentConsent::Nothing.with_strings(&applies);
    assert_eq!(sent, SentConsent::Unreadable(ConsentError::Missing));
    let own = parse("analytics:granted").unwrap();
    assert_eq!(own.with_strings(&applies), own, "he was asked");
}

#[test]
fn a_law_that_applies_without_its_string_counts_as_no() {
    let with = |gpp_sid: &str, tcf: &str| {
        let strings =
            Strings { gpp_sid: gpp_sid.to_owned().into(), tcf: tcf.into(), ..Strings::default() };
        SentConsent::Nothing.with_strings(&strings)
    };
    let missing = SentConsent::Unreadable(ConsentError::Missing);
    for gpp_sid in ["2", "5", "2,7", "7_5"] {
        assert_eq!(with(gpp_sid, ""), missing, "{gpp_sid}");
    }
    assert!(matches!(with("seven", ""), SentConsent::Unreadable(_)));
    assert_eq!(with("5", ALL), missing, "Canada has its own");
    assert_eq!(with("2", ALL).answer(0).unwrap().choice, Choice::Granted);
    for gpp_sid in ["", "0", "-1", "7"] {
        assert_eq!(with(gpp_sid, ""), SentConsent::Nothing, "{gpp_sid}");
    }
    let own = parse("analytics:granted").unwrap();
    let strings = Strings { gpp_sid: "2".into(), ..Strings::default() };
    assert_eq!(own.with_strings(&strings), own, "he was asked");
}

/// Sections of GPP in the words of their fields.
fn us(section: u16, objects: Option<bool>, child: Option<bool>) -> Answers {
    let mut answers = Answers { rule: Rule::Us, ..Answers::default() };
    let mut deny = |places: &[usize], by: UsFields| {
        for place in places {
            answers.by_purpose[*place] = Some(Answer { choice: Choice::Denied, on_day: None });
            answers.objections[*place] = answers.objections[*place].and(by);
        }
    };
    let (fields, of_child) = (UsFields::objections(section), UsFields::children(section));
    if objects == Some(true) {
        deny(&[1], fields);
    }
    if child == Some(true) {
        deny(&[1, 2], of_child);
    }
    for (told, by) in [(objects, fields), (child, of_child)] {
        if told == Some(false) {
            answers.not_objected = answers.not_objected.and(by);
        }
    }
    answers
}

#[test]
fn an_objection_is_taken_back_by_the_field_that_told_it() {
    let say = |answers| SentConsent::Told(Told { answers, own: [None; 4] });
    let (yes, no) = (Choice::Granted, Choice::Denied);
    let now_ms = (DAY * DAY_S + 100) * 1000;
    let after = |record: RecordedConsent, answers| {
        record.updated(&say(answers), Said::Now, false, now_ms).unwrap_or(record)
    };
    let empty = RecordedConsent::default();
    let objected = after(empty, us(7, Some(true), None));
    assert_eq!(objected.cookie_value(), format!("v1.ads=0u2.t={}", now_ms / 1000));
    let stands = |record: RecordedConsent, answers: Answers| {
        record.newest(&say(answers), Said::Now, 1).is_some_and(|(choice, _)| choice == no)
    };
    // Not applicable, another state, the older string: they say nothing of it.
    for silent in [us(7, None, None), us(8, Some(false), None), us(6, Some(false), Some(false))] {
        assert!(stands(objected, silent), "{silent:?}");
        assert_eq!(after(objected, silent), objected);
    }
    assert!(!stands(objected, us(7, Some(false), None)));
    assert_eq!(after(objected, us(7, Some(false), None)), empty);
    // Two sections objected, one after the other: both take it back, or it stands.
    let twice = after(objected, us(8, Some(true), None));
    assert!(stands(twice, us(7, Some(false), None)) && stands(twice, us(8, Some(false), None)));
    assert!(!stands(twice, us(7, Some(false), None).and(us(8, Some(false), None))));
    // A child's consent is something else than the adult's objection.
    let child = after(empty, us(7, Some(false), Some(true)));
    assert!(stands(child, us(7, Some(false), None)));
    assert_eq!(after(child, us(7, Some(false), Some(false))), empty);
    // With a no to a question for consent, both must be taken back.
    let tcf = |choice, day: i64| Answers {
        rule: Rule::TcfPurposes,
        by_purpose: [Some(Answer { choice, on_day: Some(day as u32) }); 4],
        ..Answers::default()
    };
    let both = after(empty, tcf(no, DAY - 3).and(us(7, Some(true), None)));
    assert_eq!(both.choices[1].unwrap().by, Speaker::Strings(UsFields::objections(7)));
    assert!(stands(both, tcf(yes, DAY)) && stands(both, us(7, Some(false), None)));
    assert!(!stands(both, tcf(yes, DAY).and(us(7, Some(false), None))));
    // A yes to a question of a later day is newer than an objection, of its day or before it is not.
    let newest = |day| objected.newest(&say(tcf(yes, day)), Said::Now, 1);
    assert_eq!(newest(DAY + 1), Some((yes, true)));
    assert_eq!(newest(DAY), Some((no, false)));
    assert_eq!(newest(DAY - 300), Some((no, false)));
    // And it is not written over.
    assert_eq!(after(objected, tcf(yes, DAY - 300)).choices[1], objected.choices[1]);
}

#[test]
fn a_string_on_record_has_its_own_day() {
    let of_day = |choice, day| {
        let answers = Answers {
            rule: Rule::TcfPurposes,
            by_purpose: [Some(Answer { choice, on_day: Some(day) }); 4],
            ..Answers::default()
        };
        SentConsent::Told(Told { answers, own: Default::default() })
    };
    let (yes, no) = (Choice::Granted, Choice::Denied);
    let now_ms = (100 * DAY_S + 5) * 1000;
    // A yes of day 10 arrives on day 100. A no of day 50, which another page still has, is newer.
    let empty = RecordedConsent::default();
    let agreed = empty.updated(&of_day(yes, 10), Said::Now, false, now_ms).unwrap();
    assert_eq!(agreed.newest(&of_day(no, 50), Said::Now, 0), Some((no, true)));
    let refused = agreed.updated(&of_day(no, 50), Said::Now, false, now_ms).unwrap();
    assert_eq!(refused.newest(&of_day(yes, 49), Said::Now, 0), Some((no, false)));
    assert_eq!(refused.newest(&of_day(yes, 50), Said::Now, 0), Some((yes, true)), "said later");
    // The same word of a later day is newer, too.
    let again = refused.updated(&of_day(no, 60), Said::Now, false, now_ms).unwrap();
    assert_eq!(again.newest(&of_day(yes, 55), Said::Now, 0), Some((no, false)));
    assert_eq!(again.updated(&of_day(no, 60), Said::Now, false, now_ms + DAY_S * 1000), None);
}

#[test]
fn what_was_said_before_the_record_goes_after_it() {
    let (yes, no) = (Choice::Granted, Choice::Denied);
    let said = |choice: &str| parse(&format!("analytics:{choice},ads:{choice}")).unwrap();
    let record = RecordedConsent::default();
    let record = record.updated(&said("granted"), Said::Now, false, 100_000).unwrap();
    let record = record.updated(&parse("analytics:denied").unwrap(), Said::Now, false, 200_000);
    let record = record.unwrap();
    assert_eq!(record.cookie_value(), "v1.analytics=0.ads=1-100.t=200");
    assert_eq!(RecordedConsent::parse(&record.cookie_value()), Some(record));
    let newest = |sent: &str, said_at, place| record.newest(&said(sent), said_at, place);
    for (said_at, of_yes) in [
        (Said::Now, (yes, true)),
        (Said::At(199_999), (no, false)),
        (Said::At(200_000), (yes, true)),
        (Said::Repeated(None), (no, false)),
        (Said::Repeated(Some(199_000)), (no, false)),
        (Said::Repeated(Some(200_000)), (yes, true)),
    ] {
        assert_eq!(newest("granted", said_at, 0), Some(of_yes), "{said_at:?}");
    }
    // Each purpose has its own time: a no to advertising of then is newer than the yes.
    assert_eq!(newest("denied", Said::At(150_000), 1), Some((no, true)));
    assert_eq!(newest("denied", Said::At(99_000), 1), Some((yes, false)));
    assert_eq!(record.updated(&said("granted"), Said::Repeated(None), false, 300_000), None);
    let late = record.updated(&said("denied"), Said::At(150_000), false, 300_000).unwrap();
    assert_eq!(late.cookie_value(), "v1.analytics=0.ads=0-50.t=200");
    // Strings, too; where nothing is on record, a repetition speaks.
    let string = parse(ALL).unwrap();
    assert_eq!(record.newest(&string, Said::Repeated(None), 0), Some((no, false)));
    assert_eq!(record.newest(&string, Said::Repeated(None), 2), Some((yes, true)));
}

#[test]
fn a_repeated_answer_does_not_become_one_under_the_signal() {
    let granted = SentConsent::Choices([None, Some(Choice::Granted), None, None]);
    let first = RecordedConsent::default().updated(&granted, Said::Now, false, 10).unwrap();
    assert_eq!(first.updated(&granted, Said::Now, false, 20), None);
    let second = first.updated(&granted, Said::Now, true, 30).unwrap();
    assert!(second.choices[1].unwrap().under_gpc);
    assert_eq!(second.updated(&granted, Said::Now, false, 40), None, "stays what it was");
}

#[test]
fn a_record_with_times_that_cannot_be_is_none() {
    let last = i64::from(u32::MAX);
    for (value, is_read) in [
        (format!("v1.ads=0.analytics=1-{last}.t={last}"), true),
        (format!("v1.ads=0.t={}", last + 1), false),
        ("v1.ads=0.t=177000000000".to_owned(), false),
        ("v1.ads=0-61.t=60".to_owned(), false),
        ("v1.ads=0-60.t=60".to_owned(), true),
        ("v1.ads=0.t=-1".to_owned(), false),
    ] {
        let record = RecordedConsent::parse(&value);
        assert_eq!(record.is_some(), is_read, "{value}");
        // Whenever something is said beside it, what is written says when.
        let sent = parse("functional:granted").unwrap();
        for said in [Said::Now, Said::At(-5), Said::At(i64::MAX), Said::Repeated(Some(0))] {
            let updated = record.and_then(|it| it.updated(&sent, said, false, 1_795_341_600_000));
            let written = updated.map(|it| it.cookie_value());
            assert_eq!(written.and_then(|it| RecordedConsent::parse(&it)), updated, "{value}");
        }
    }
}

fn record() -> impl Strategy<Value = RecordedConsent> {
    let one = proptest::option::of((any::<bool>(), 0..6_u8, 0..=i64::from(u32::MAX)));
    (proptest::array::uniform4(one), any::<bool>()).prop_map(|(choices, opted_out)| {
        let choices = choices.map(|choice| {
            choice.map(|(yes, mark, at_s)| RecordedChoice {
                at_ms: at_s * 1000,
                choice: if yes { Choice::Granted } else { Choice::Denied },
                under_gpc: mark == 1,
                by: match mark {
                    2 => Speaker::ConsentString,
                    3 => Speaker::UsString(UsFields::objections(at_s as u16 % 20 + 6)),
                    4 => Speaker::Strings(UsFields::children(8).and(UsFields::objections(6))),
                    5 => Speaker::UsString(UsFields::UNKNOWN),
                    _ => Speaker::Words,
                },
            })
        });
        RecordedConsent { choices, opted_out }
    })
}

proptest! {
    #[test]
    fn the_cookie_reads_back(record in record()) {
        prop_assert_eq!(RecordedConsent::parse(&record.cookie_value()), Some(record));
    }

    #[test]
    fn any_cookie_is_read_or_ignored(value in "\\PC{0,40}|v1[.a-z=01gsu-]{0,60}") {
        let _ = RecordedConsent::parse(&value);
        let _ = parse(&value);
    }
}
