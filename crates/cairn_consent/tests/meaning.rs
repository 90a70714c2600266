//! What strings say about this product's purposes, and that nothing strange makes a yes.

// Helpers outside of test functions unwrap.
#![allow(clippy::unwrap_used)]

use cairn_consent::purposes::{self, Answers, Rule, UsFields};
use cairn_consent::{Applicable, ConsentError, ConsentMode, GppString, TcString};
use cairn_model::{Choice, Purpose};
use proptest::prelude::*;

const YES: Option<Choice> = Some(Choice::Granted);
const NO: Option<Choice> = Some(Choice::Denied);

/// Made with IAB Tech Lab's encoder.
const ALL: &str = "CQgcD4AQgcD4AEsAHBENB4FsAP_gAEPgAAYgAKP__8AFH__-AAAA.IAKP__8A.YAAAAAAAAAAA";
const MEASURING: &str = "CQgcD4AQgcD4AEsAHBENB4FgAIOAAAAAAAYgF5wAwABAAKAXmAAAAAAA.IF5wAwABAAKAXmAA\
                         .YAAAAAAAAAAA";
const INTERESTS: &str =
    "CQgcD4AQgcD4AEsAHBENB4FgAAAAAEPgAAYgAAALzgBQABAAMBeYAAAA.IF5wAoAAgAGAvMAA.YAAAAAAAAAAA";
const NONE: &str = "CQgcD4AQgcD4AEsAHBENB4FgAAAAAAAAAAYgAAAAAAAA.IAKP__8A.YAAAAAAAAAAA";
const PUBLISHER: &str =
    "CQgcD4AQgcD4AEsAHBENB4FgAIAAAAAAAAYgF5wAQF5gAAAA.IF5wAQF5gAAA.eGAAABAAAdQA";
const GLOBAL: &str = "CQgcD4AQgcD4AEsAHBENB4FAAIAAAAAAAAYgABEAAAAA.IABE";
/// 2026-03-02.
const DAY: u32 = 20_514;

fn choices(answers: Answers) -> [Option<Choice>; 4] {
    answers.by_purpose.map(|answer| answer.map(|answer| answer.choice))
}

fn tcf(text: &str) -> [Option<Choice>; 4] {
    choices(purposes::of_tcf(&TcString::decode(text).unwrap()).unwrap())
}

fn gpp(text: &str, applicable: &str) -> Result<[Option<Choice>; 4], ConsentError> {
    let applicable = Applicable::parse(applicable)?;
    Ok(choices(purposes::of_gpp(&GppString::decode(text)?, &applicable)?))
}

#[test]
fn a_tc_string_answers_each_purpose() {
    assert_eq!(
        Purpose::ALL.map(Purpose::name),
        ["analytics", "ads", "personalization", "functional"]
    );
    assert_eq!(tcf(ALL), [YES; 4]);
    assert_eq!(tcf(NONE), [NO; 4]);
    // 1, 7, 8, 9.
    assert_eq!(tcf(MEASURING), [YES, NO, NO, YES]);
    assert_eq!(tcf(INTERESTS), [NO; 4], "a legitimate interest is no consent");
    let day = purposes::of_tcf(&TcString::decode(ALL).unwrap()).unwrap().by_purpose[0].unwrap();
    assert_eq!(day.on_day, Some(DAY));
}

#[test]
fn the_publishers_own_segment_goes_first_if_it_says_anything() {
    // Vendors may have purpose 1 only, the publisher 1, 2, 7, 8 and an interest in 9.
    assert_eq!(tcf(PUBLISHER), [NO, NO, NO, YES]);
    let rule = |text: &str| purposes::of_tcf(&TcString::decode(text).unwrap()).unwrap().rule;
    assert_eq!((rule(PUBLISHER), rule(ALL)), (Rule::TcfPublisher, Rule::TcfPurposes));
    // The publisher 1, 8 and 9: whatever vendors may.
    for vendors in [ALL, NONE] {
        let (core, _) = vendors.rsplit_once('.').unwrap();
        assert_eq!(tcf(&format!("{core}.cDAAAAAAAA")), [YES, NO, NO, YES]);
        assert_eq!(tcf(core), tcf(vendors), "an empty segment is like none");
    }
}

#[test]
fn strings_that_nobody_may_rely_on_are_refused() {
    let refusal = |text: &str| purposes::of_tcf(&TcString::decode(text).unwrap());
    assert_eq!(refusal(GLOBAL), Err(ConsentError::GlobalScope));
    let undisclosed = ALL.replace(".IAKP__8A", "");
    assert_eq!(refusal(&undisclosed), Err(ConsentError::NoDisclosedVendors));
    // Printed in the specification, of 2025: the segment was not asked for then.
    let earlier = "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA";
    assert!(refusal(earlier).is_ok());
}

#[test]
fn an_objection_in_the_united_states_denies_ads_and_nothing_grants_them() {
    let silent = [None; 4];
    let objected = [None, NO, None, None];
    for (string, wanted) in [
        ("DBABLA~CVQqAAAAAACA.QA", silent),
        ("DBABLA~CVVVVVVVVQBY.YA", objected),
        ("DBABLA~CVQqAAAAAFSA.QA", [None, NO, NO, None]),
        ("DBABBg~BVVVVUCA.YA", objected),
        ("DBABBg~BUoAAACA.QA", silent),
        ("DBABRg~BVkAACA", objected),
        ("DBABJg~BVkAAIA.QA", objected),
        ("DBABFg~BVJAAAgA", objected),
        ("DBABVg~BVkAAAIA.QA", objected),
        ("DBABEw~BVkAAAgA.QA", objected),
        ("DBABAw~BVkAAACA", objected),
        ("DBABTA~1YNN", silent),
        ("DBABTA~1YYN", objected),
        ("DBABTA~1---", silent),
    ] {
        assert_eq!(gpp(string, ""), Ok(wanted), "{string}");
    }
    let with_gpc = GppString::decode("DBABBg~BUoAAACA.YA").unwrap();
    let answers = purposes::of_gpp(&with_gpc, &Applicable::Untold).unwrap();
    assert!(answers.under_gpc && !answers.is_silent());
    assert_eq!(choices(answers), silent, "a signal is no choice");
}

#[test]
fn an_objection_is_taken_back_by_its_own_field_and_expressly() {
    let taken_back = |string: &str| {
        let gpp = GppString::decode(string).unwrap();
        purposes::of_gpp(&gpp, &Applicable::Untold).unwrap().not_objected
    };
    let (nat, texts) = (UsFields::objections(7), UsFields::objections(6));
    // All three objections say 2; nothing applies; all are made; two of three are.
    assert_eq!(taken_back("DBABLA~CVQqAAAAAACA.QA"), nat);
    assert_eq!(taken_back("DBABLA~CAAAAAAAAACA.QA"), UsFields::default());
    assert_eq!(taken_back("DBABLA~CVVVVVVVVQBY.YA"), UsFields::default());
    assert_eq!(taken_back("DBABLA~CVQpAAAAAACA.QA"), UsFields::default());
    // 2 and 0 do not take back what both could have told.
    assert_eq!(taken_back("DBABLA~CVQoAAAAAACA.QA"), UsFields::default());
    assert_eq!(taken_back("DBABTA~1YNN"), texts);
    for silent in ["DBABTA~1YYN", "DBABTA~1Y--", "DBABTA~1---"] {
        assert_eq!(taken_back(silent), UsFields::default(), "{silent}");
    }
    // California's objections, and who told them.
    let gpp = GppString::decode("DBABBg~BVVVVUCA.YA").unwrap();
    let answers = purposes::of_gpp(&gpp, &Applicable::Untold).unwrap();
    assert!(answers.objections[1].contains(UsFields::objections(8)));
    assert_eq!(answers.objections[0], UsFields::default());
    // Children: personalisation is theirs alone.
    let gpp = GppString::decode("DBABLA~CVQqAAAAAFSA.QA").unwrap();
    let answers = purposes::of_gpp(&gpp, &Applicable::Untold).unwrap();
    assert_eq!(answers.objections[2], UsFields::children(7));
    assert_eq!(answers.not_objected, nat);
}

#[test]
fn only_sections_that_apply_count() {
    // Europe: 1, 7, 8, 9; the US Privacy string and California object.
    let string = "DBACPbA~CQgcD4AQgcD4AEsAHBENB4FgAIOAAAAAAAYgF5wAwABAAKAXmAAAAAAA.IF5wAwABAAKAXmAA\
                  .YAAAAAAAAAAA~1YYN~CEAQAAAAAACA.YA~BQQAAACA.YA";
    assert_eq!(gpp(string, "2"), Ok([YES, NO, NO, YES]));
    assert_eq!(gpp(string, "6"), Ok([None, NO, None, None]));
    assert_eq!(gpp(string, "2_6"), Ok([YES, NO, NO, YES]));
    assert_eq!(gpp(string, "-1"), Ok([None; 4]));
    assert_eq!(gpp(string, "16"), Ok([None; 4]), "Texas has said nothing");
    assert_eq!(gpp(string, "5"), Err(ConsentError::Missing), "Canada asks and has no answer");
    assert_eq!(gpp(string, ""), gpp(string, "0"));
    for bad in ["x", "7,", "-2", "7;8", "99999999"] {
        assert_eq!(gpp(string, bad), Err(ConsentError::Applicable), "{bad}");
    }
    // 2YNN: a version that is not known.
    assert_eq!(gpp("DBABTA~2YNN", "6"), Err(ConsentError::Version));
    assert_eq!(gpp("DBABTA~2YNN", "7"), Ok([None; 4]));
}

#[test]
fn a_law_that_is_not_known_is_refused_if_it_applies() {
    // Header of section 28: Fibonacci 28 = 1·5 + 2·0 … = 0001001 and the ending 1.
    let unknown = "DBABAmA~AAAA";
    let decoded = GppString::decode(unknown);
    let ids: Vec<_> = decoded.unwrap().sections.iter().map(|(id, _)| *id).collect();
    assert!(ids[0] > 27, "{ids:?}");
    assert_eq!(gpp(unknown, ""), Err(ConsentError::UnknownSection));
    assert_eq!(gpp(unknown, "7"), Ok([None; 4]));
}

#[test]
fn canada_knows_express_and_implied_consent() {
    use cairn_consent::canada::TcfCanada;
    // Express 1, 3, 5, 7, 9 …; implied: most of them.
    let some = "BPSG_8APSG_8AAyACAENGdCgf_gfgAfgfgBgABABAAABAB4AACACAAA.fHHHA4444ao";
    let decoded = TcfCanada::decode(some).unwrap();
    let answers = choices(purposes::of_canada(&decoded));
    for (answer, rule) in [0, 1, 2].iter().zip(purposes::TCF_CANADA_RULES) {
        let publisher = decoded.publisher.clone().unwrap();
        let express = publisher.consents.contains_all(rule.needs);
        assert_eq!(answers[*answer] == YES, express, "{rule:?}");
    }
    assert_eq!(answers[3], None);
    let none = TcfCanada::decode("BPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAAAA.YAAAAAAAAAA").unwrap();
    assert_eq!(choices(purposes::of_canada(&none)), [NO, NO, NO, None]);
}

#[test]
fn consent_mode_needs_all_signals_and_no_default_is_a_yes() {
    let of = |gcd: &str| choices(purposes::of_mode(&ConsentMode::of_gcd(gcd).unwrap()));
    assert_eq!(of("11r1r1r1r5"), [YES, YES, None, None]);
    assert_eq!(of("11q1r1q1q5"), [YES, NO, None, None]);
    assert_eq!(of("11t1t1t1t5"), [None; 4], "granted by default: nobody chose");
    assert_eq!(of("11p1p1p1p5"), [NO, NO, None, None]);
    assert_eq!(of("11u1u1u1u5"), [NO, NO, None, None]);
    assert_eq!(of("11l1l1l1l5"), [None; 4]);
    let mut mode = ConsentMode::default();
    assert!(mode.update("ad_storage", Choice::Granted));
    assert_eq!(choices(purposes::of_mode(&mode)), [None; 4], "version 1 is not enough");
    assert!(mode.update("ad_user_data", Choice::Denied));
    assert!(mode.update("functionality_storage", Choice::Granted));
    assert!(mode.update("personalization_storage", Choice::Denied));
    assert!(!mode.update("mind_storage", Choice::Granted));
    assert_eq!(choices(purposes::of_mode(&mode)), [None, NO, NO, YES]);
}

fn answers() -> impl Strategy<Value = Answers> {
    let choice = prop_oneof![Just(Choice::Granted), Just(Choice::Denied)];
    let answer = (choice, proptest::option::of(1..5_u32))
        .prop_map(|(choice, on_day)| purposes::Answer { choice, on_day });
    let four = proptest::array::uniform4(proptest::option::of(answer));
    let fields = || (0..8_u64).prop_map(UsFields::of_bits);
    let objections = proptest::array::uniform4(fields());
    (four, any::<bool>(), objections, fields()).prop_map(
        |(by_purpose, under_gpc, objections, not_objected)| {
            let rule = Rule::Us;
            Answers { by_purpose, under_gpc, objections, not_objected, rule }
        },
    )
}

/// 64 letters of base64url, as a TC string has them.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[test]
fn sections_that_apply_are_read_whole_or_not_at_all() {
    let no = format!("DBABMA~{NONE}");
    assert_eq!(gpp(&no, "2"), Ok([NO; 4]));
    assert_eq!(gpp(&no, &("7,".repeat(63) + "2")), Ok([NO; 4]));
    assert_eq!(gpp(&no, &("7,".repeat(64) + "2")), Err(ConsentError::Applicable));
}

#[test]
fn whoever_was_not_told_of_storage_agreed_to_none() {
    let mut text = ALL.as_bytes().to_vec();
    // Bit 200 of the core, `PurposeOneTreatment`, is in its 34th letter.
    let value = LETTERS.iter().position(|letter| *letter == text[33]).unwrap() | 8;
    text[33] = LETTERS[value];
    let text = String::from_utf8(text).unwrap();
    assert!(TcString::decode(&text).unwrap().purpose_one_untold);
    assert_eq!(tcf(&text), [NO; 4]);
}

proptest! {
    #[test]
    fn together_is_never_more_than_each(one in answers(), other in answers()) {
        let both = one.and(other);
        prop_assert_eq!(both, other.and(one));
        prop_assert_eq!(one.and(one), one);
        prop_assert_eq!(one.and(Answers::default()), one);
        for place in 0..4 {
            let (one, other) = (choices(one)[place], choices(other)[place]);
            if one == NO || other == NO {
                prop_assert_eq!(choices(both)[place], NO);
            }
            prop_assert_eq!(choices(both)[place].is_some(), one.is_some() || other.is_some());
        }
    }

    /// Nothing is read behind the end, whatever stands there.
    #[test]
    fn any_text_is_read_or_refused(text in "[A-Za-z0-9_.~-]{0,120}|C[A-Z]{0,90}|DB[A-Za-z~.]{0,60}") {
        if let Ok(tcf) = TcString::decode(&text) {
            prop_assert!(text.starts_with('C'));
            let _ = purposes::of_tcf(&tcf);
        }
        if let Ok(gpp) = GppString::decode(&text) {
            prop_assert_eq!(gpp.sections.len(), text.split('~').count() - 1);
            let _ = purposes::of_gpp(&gpp, &Applicable::Untold);
        }
        let _ = ConsentMode::of_gcd(&text);
    }

    /// A string that was cut somewhere never says yes to more than the whole one.
    #[test]
    fn a_string_cut_short_grants_nothing_new(cut in 0..ALL.len()) {
        for whole in [ALL, MEASURING, INTERESTS, NONE, PUBLISHER] {
            let part = &whole[..cut.min(whole.len())];
            let Ok(Ok(answers)) = TcString::decode(part).map(|tcf| purposes::of_tcf(&tcf)) else {
                continue;
            };
            for (part, whole) in choices(answers).iter().zip(tcf(whole)) {
                prop_assert!(*part != YES || whole == YES, "cut at {cut}");
            }
        }
    }
}
