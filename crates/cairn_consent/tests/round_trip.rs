//! Any string that the specifications allow reads back as what was written, in each of its encodings.
//! The writer is the tests' own: the product writes none.

// Helpers outside of test functions unwrap.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use cairn_consent::canada::TcfCanada;
use cairn_consent::gpp::section_ids;
use cairn_consent::{Applicable, ConsentError, GppString, Section, TcString, UsSection, purposes};
use cairn_model::Choice;
use proptest::prelude::*;

#[derive(Default, Clone)]
struct Writer(String);

impl Writer {
    fn number(mut self, value: u64, bits: usize) -> Self {
        self.0.push_str(&format!("{value:0bits$b}"));
        self
    }

    fn set(mut self, numbers: &BTreeSet<u8>, size: u8) -> Self {
        self.0.extend((1..=size).map(|number| if numbers.contains(&number) { '1' } else { '0' }));
        self
    }

    fn flags(mut self, flags: &[bool]) -> Self {
        self.0.extend(flags.iter().map(|flag| if *flag { '1' } else { '0' }));
        self
    }

    fn fibonacci(mut self, value: u64) -> Self {
        let mut terms = vec![1_u64, 2];
        while terms[terms.len() - 1] <= value {
            terms.push(terms[terms.len() - 1] + terms[terms.len() - 2]);
        }
        let (mut left, mut bits) = (value, String::from("1"));
        for term in terms.iter().rev().skip_while(|term| **term > value) {
            bits.insert(0, if *term <= left { '1' } else { '0' });
            if *term <= left {
                left -= term;
            }
        }
        self.0.push_str(&bits);
        self
    }

    /// Ids as `NumEntries` and entries, ranges where ids follow each other.
    fn ranges(self, ids: &BTreeSet<u16>, is_fibonacci: bool) -> Self {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for id in ids {
            match ranges.last_mut() {
                Some((_, end)) if *end + 1 == *id => *end = *id,
                _ => ranges.push((*id, *id)),
            }
        }
        let mut writer = self.number(ranges.len() as u64, 12);
        let mut last = 0;
        for (start, end) in ranges {
            writer = writer.number((end > start).into(), 1);
            let (from, to) = (u64::from(start - last), u64::from(end - start));
            writer = match (is_fibonacci, end > start) {
                (false, false) => writer.number(start.into(), 16),
                (false, true) => writer.number(start.into(), 16).number(end.into(), 16),
                (true, false) => writer.fibonacci(from),
                (true, true) => writer.fibonacci(from).fibonacci(to),
            };
            last = end;
        }
        writer
    }

    fn vendors(self, ids: &BTreeSet<u16>, coding: Coding) -> Self {
        let maximum = ids.last().copied().unwrap_or(0);
        let writer = self.number(maximum.into(), 16);
        match coding {
            Coding::Field => {
                let bits: Vec<bool> = (1..=maximum).map(|id| ids.contains(&id)).collect();
                writer.number(0, 1).flags(&bits)
            }
            Coding::Fixed => writer.number(1, 1).ranges(ids, false),
            Coding::Fibonacci => writer.number(1, 1).ranges(ids, true),
        }
    }

    fn text(&self) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let value = |bits: &[u8]| {
            let bits = bits.iter().chain([b'0'; 6].iter()).take(6);
            bits.fold(0, |value, bit| value << 1 | usize::from(*bit == b'1'))
        };
        self.0.as_bytes().chunks(6).map(|bits| char::from(ALPHABET[value(bits)])).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    Field,
    Fixed,
    Fibonacci,
}

fn letters(letters: [u8; 2]) -> u64 {
    u64::from(letters[0] - b'A') << 6 | u64::from(letters[1] - b'A')
}

#[derive(Clone, Debug)]
struct Model {
    day: u64,
    numbers: [u16; 5],
    language: [u8; 2],
    flags: [bool; 3],
    consents: BTreeSet<u8>,
    interests: BTreeSet<u8>,
    special: BTreeSet<u8>,
    vendors: [BTreeSet<u16>; 4],
    restriction: Option<(u8, u8)>,
    publisher: Option<(BTreeSet<u8>, BTreeSet<u8>, Vec<bool>)>,
    has_segments: [bool; 2],
}

fn models() -> impl Strategy<Value = Model> {
    let set = |size: u8| proptest::collection::btree_set(1..=size, 0..usize::from(size));
    let vendors = prop_oneof![
        proptest::collection::btree_set(1..60_u16, 0..40),
        proptest::collection::btree_set(1..=u16::MAX / 32, 0..12),
        (1..500_u16, 0..300_u16).prop_map(|(start, size)| (start..=start + size).collect()),
    ];
    let letter = || b'A'..=b'Z';
    let publisher = (set(24), set(24), proptest::collection::vec(any::<bool>(), 0..9));
    (
        (0..30_000_u64, proptest::array::uniform5(0..4096_u16), [letter(), letter()]),
        (proptest::array::uniform3(any::<bool>()), set(24), set(24), set(12)),
        proptest::array::uniform4(vendors),
        proptest::option::of((1..12_u8, 0..4_u8)),
        proptest::option::of(publisher),
        proptest::array::uniform2(any::<bool>()),
    )
        .prop_map(|(head, sets, vendors, restriction, publisher, has_segments)| Model {
            day: head.0,
            numbers: head.1,
            language: head.2,
            flags: sets.0,
            consents: sets.1,
            interests: sets.2,
            special: sets.3,
            vendors,
            restriction,
            publisher,
            has_segments,
        })
}

/// The text of a TC string (`is_canada`: of a Canadian section) in a coding.
fn written(model: &Model, coding: Coding, is_canada: bool) -> String {
    let [cmp, version, screen, list, policy] = model.numbers;
    let day = model.day * 864_000;
    let is_fibonacci = matches!(coding, Coding::Fibonacci);
    let mut core = Writer::default()
        .number(if is_canada { 1 } else { 2 }, 6)
        .number(day, 36)
        .number(day, 36)
        .number(cmp.into(), 12)
        .number(version.into(), 12)
        .number((screen & 63).into(), 6)
        .number(letters(model.language), 12)
        .number(list.into(), 12)
        .number((policy & 63).into(), 6);
    if !is_canada {
        core = core.number(model.flags[0].into(), 1);
    }
    core = core
        .number(model.flags[1].into(), 1)
        .set(&model.special, 12)
        .set(&model.consents, 24)
        .set(&model.interests, 24);
    if !is_canada {
        core = core.number(model.flags[2].into(), 1).number(letters(*b"DE"), 12);
    }
    core = core.vendors(&model.vendors[0], coding).vendors(&model.vendors[1], coding);
    core = core.number(model.restriction.is_some().into(), 12);
    if let Some((purpose, kind)) = model.restriction {
        core = core.number(purpose.into(), 6).number(kind.into(), 2);
        core = match is_fibonacci {
            true => core.vendors(&model.vendors[0], coding),
            false => core.ranges(&model.vendors[0], false),
        };
    }
    let mut text = core.text();
    for (place, kind) in [(0, 1), (1, 2)] {
        if model.has_segments[place] && !(is_canada && kind == 2) {
            let vendors = &model.vendors[place + 2];
            let segment = Writer::default().number(kind, 3).vendors(vendors, coding);
            text.push_str(&format!(".{}", segment.text()));
        }
    }
    if let Some((consents, interests, custom)) = &model.publisher {
        let segment = Writer::default().number(3, 3).set(consents, 24).set(interests, 24);
        let inverse: Vec<bool> = custom.iter().map(|flag| !flag).collect();
        let segment = segment.number(custom.len() as u64, 6).flags(custom).flags(&inverse);
        text.push_str(&format!(".{}", segment.text()));
    }
    text
}

proptest! {
    #[test]
    fn tc_strings(model in models(), is_field in any::<bool>()) {
        let coding = if is_field { Coding::Field } else { Coding::Fixed };
        let read = TcString::decode(&written(&model, coding, false)).unwrap();
        prop_assert_eq!(read.header.updated_at_ms, i64::try_from(model.day).unwrap() * 86_400_000);
        prop_assert_eq!(read.header.created_at_ms, read.header.updated_at_ms);
        prop_assert_eq!([read.header.cmp_id, read.header.cmp_version], [model.numbers[0], model.numbers[1]]);
        prop_assert_eq!(read.header.vendor_list_version, model.numbers[3]);
        prop_assert_eq!(read.header.language, model.language);
        prop_assert_eq!(&read.publisher_country, b"DE");
        let flags = [read.is_service_specific, read.uses_non_standard_texts, read.purpose_one_untold];
        prop_assert_eq!(flags, model.flags);
        prop_assert_eq!(read.purpose_consents.iter().collect::<BTreeSet<_>>(), model.consents.clone());
        prop_assert_eq!(read.purpose_interests.iter().collect::<BTreeSet<_>>(), model.interests);
        prop_assert_eq!(read.special_features.iter().collect::<BTreeSet<_>>(), model.special);
        let ids = |set: &cairn_consent::VendorSet| set.iter().collect::<BTreeSet<_>>();
        prop_assert_eq!(ids(&read.vendor_consents), model.vendors[0].clone());
        prop_assert_eq!(ids(&read.vendor_interests), model.vendors[1].clone());
        let segments = [&read.disclosed, &read.allowed];
        for (place, segment) in segments.into_iter().enumerate() {
            let wanted = model.has_segments[place].then(|| model.vendors[place + 2].clone());
            prop_assert_eq!(segment.as_ref().map(ids), wanted);
        }
        let restrictions: Vec<_> =
            read.restrictions.iter().map(|one| (one.purpose, one.kind, ids(&one.vendors))).collect();
        let wanted = model.restriction.map(|(purpose, kind)| (purpose, kind, model.vendors[0].clone()));
        prop_assert_eq!(restrictions, wanted.into_iter().collect::<Vec<_>>());
        let publisher = read.publisher.as_ref().map(|read| {
            let sets = (read.consents.iter().collect(), read.interests.iter().collect());
            (sets.0, sets.1, read.custom_consents.clone())
        });
        prop_assert_eq!(publisher, model.publisher);
        // Legitimate interests, vendors, features and the rest change no answer; all need storage, which must be told of.
        if let Ok(answers) = purposes::of_tcf(&read) {
            let told = read.publisher.filter(|publisher| publisher.says_something());
            let consents = told.map_or(read.purpose_consents, |publisher| publisher.consents);
            for (answer, rule) in answers.by_purpose.iter().zip(purposes::TCF_RULES) {
                let granted = answer.unwrap().choice == Choice::Granted;
                prop_assert_eq!(granted, !read.purpose_one_untold && consents.contains_all(rule.needs));
            }
        }
    }

    #[test]
    fn canadian_sections(model in models(), is_field in any::<bool>()) {
        let coding = if is_field { Coding::Field } else { Coding::Fibonacci };
        let read = TcfCanada::decode(&written(&model, coding, true)).unwrap();
        prop_assert_eq!(read.header.language, model.language);
        prop_assert_eq!(read.express.iter().collect::<BTreeSet<_>>(), model.consents);
        prop_assert_eq!(read.implied.iter().collect::<BTreeSet<_>>(), model.interests);
        prop_assert_eq!(read.vendors_express.iter().collect::<BTreeSet<_>>(), model.vendors[0].clone());
        prop_assert_eq!(read.vendors_implied.iter().collect::<BTreeSet<_>>(), model.vendors[1].clone());
        let disclosed = read.disclosed.map(|set| set.iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(disclosed, model.has_segments[0].then(|| model.vendors[2].clone()));
        let custom = read.publisher.map(|publisher| publisher.custom_consents);
        prop_assert_eq!(custom, model.publisher.map(|(_, _, custom)| custom));
    }

    #[test]
    fn headers(ids in proptest::collection::btree_set(1..60_u16, 0..20)) {
        let header = Writer::default().number(3, 6).number(1, 6).ranges(&ids, true).text();
        prop_assert_eq!(section_ids(&header).unwrap(), ids.into_iter().collect::<Vec<_>>());
    }

    /// An objection in any place of any section denies ads; without one nothing does.
    #[test]
    fn sections_of_the_united_states(id in 7..=27_u16, bits in proptest::collection::vec(0..3_u64, 64)) {
        let whole = Writer::default().number(1, 6).number(0, 60);
        let version = if id == 7 { 2 } else { 1 };
        // As many fields as the section has, told by reading one of zeros.
        let zeros = UsSection::decode(id, &whole.number(0, 60).text()).unwrap();
        let count = zeros.fields().map(|(_, values)| values.len()).sum::<usize>();
        let count = if id == 7 { 32 } else { count };
        let values = &bits[..count];
        let core = values.iter().fold(Writer::default().number(version, 6), |writer, value| {
            writer.number(*value, 2)
        });
        let header = Writer::default().number(3, 6).number(1, 6).number(1, 12).number(0, 1);
        let text = format!("{}~{}", header.fibonacci(id.into()).text(), core.text());
        let gpp = GppString::decode(&text).unwrap();
        let Section::Us(section) = &gpp.sections[0].1 else { panic!("{gpp:?}") };
        let read: Vec<u64> =
            section.fields().flat_map(|(_, values)| values.iter().map(|value| (*value).into())).collect();
        prop_assert_eq!(&read, values);
        let objects = purposes::US_RULES.iter().any(|rule| section.values(rule.field).contains(&1));
        let answers = purposes::of_gpp(&gpp, &Applicable::Untold).unwrap();
        prop_assert_eq!(answers.by_purpose[1].map(|it| it.choice), objects.then_some(Choice::Denied));
        prop_assert!(answers.by_purpose.iter().flatten().all(|it| it.choice == Choice::Denied));
        let elsewhere = Applicable::Only(vec![id + 1]);
        prop_assert!(purposes::of_gpp(&gpp, &elsewhere).unwrap().is_silent());
    }

    /// A bit set behind the last field, a character of another alphabet, a part that is missing: refused.
    #[test]
    fn what_was_changed_on_its_way_is_refused(model in models(), at in any::<proptest::sample::Index>()) {
        let text = written(&model, Coding::Fixed, false);
        let longer = format!("{text}AAAB");
        prop_assert_eq!(TcString::decode(&longer), Err(ConsentError::Trailing));
        let place = at.index(text.len());
        for bad in ["+", "/", "=", " ", "ä", "*"] {
            let changed = format!("{}{bad}{}", &text[..place], &text[place..]);
            prop_assert_eq!(TcString::decode(&changed), Err(ConsentError::Character));
        }
        for bad in [format!("{text}."), format!("{text}.{text}")] {
            prop_assert!(TcString::decode(&bad).is_err(), "{}", bad);
        }
    }
}
