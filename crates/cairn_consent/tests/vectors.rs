//! Published strings with their decoded meaning: all must decode equally, malformed ones be refused.

// Counts are what these tests print; helpers outside of test functions unwrap.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use cairn_consent::bits::NumberSet;
use cairn_consent::canada::TcfCanada;
use cairn_consent::gpp::section_ids;
use cairn_consent::mode::ModeSignal;
use cairn_consent::tcf::{PublisherTc, Restriction};
use cairn_consent::us_privacy::Letter;
use cairn_consent::{ConsentError, ConsentMode, GppString, Section, TcString, UsPrivacy};
use cairn_consent::{UsSection, VendorSet, purposes};
use cairn_model::Choice;
use serde_json::{Value, json};

fn shared(test: &str, path: &str) -> Option<String> {
    let root = std::env::var_os("CAIRN_SHARED_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let path = root.join(path);
    let read = std::fs::read_to_string(&path);
    if read.is_err() {
        eprintln!("NOT RUN: {test}: {} is missing", path.display());
    }
    read.ok()
}

fn vectors(test: &str, name: &str) -> Option<Value> {
    let text = shared(test, &format!("../vectors/{name}"))?;
    Some(serde_json::from_str(&text).unwrap())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap()
}

fn rows<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap()
}

/// `2026-03-02T00:00:00.000Z`; all vectors are whole days.
fn moment(at_ms: i64) -> String {
    let (mut days, mut year) = (at_ms / 86_400_000, 1970);
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let left = at_ms % 86_400_000;
    let (hour, minute) = (left / 3_600_000, left / 60_000 % 60);
    let second = left / 1000 % 60;
    let milli = left % 1000;
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", days + 1)
}

fn letters(letters: [u8; 2]) -> Value {
    String::from_utf8(letters.to_vec()).unwrap().into()
}

fn numbers(set: NumberSet) -> Vec<u8> {
    set.iter().collect()
}

fn vendors(set: &VendorSet) -> Vec<u16> {
    set.iter().collect()
}

fn places(flags: &[bool]) -> Vec<usize> {
    flags.iter().enumerate().filter(|(_, flag)| **flag).map(|(at, _)| at + 1).collect()
}

fn flags(set: NumberSet, count: u8) -> Vec<bool> {
    (1..=count).map(|number| set.contains(number)).collect()
}

/// A TC string in the words of `tcf.json`.
fn tcf_as_told(tcf: &TcString) -> Value {
    let publisher = tcf.publisher.clone().unwrap_or_default();
    let restriction = |restriction: &Restriction| {
        json!({"purposeId": restriction.purpose, "restrictionType": restriction.kind,
               "vendors": vendors(&restriction.vendors)})
    };
    json!({
        "version": 2,
        "created": moment(tcf.header.created_at_ms),
        "lastUpdated": moment(tcf.header.updated_at_ms),
        "createdDeciseconds": tcf.header.created_at_ms / 100,
        "cmpId": tcf.header.cmp_id,
        "cmpVersion": tcf.header.cmp_version,
        "consentScreen": tcf.header.consent_screen,
        "consentLanguage": letters(tcf.header.language),
        "vendorListVersion": tcf.header.vendor_list_version,
        "tcfPolicyVersion": tcf.header.policy_version,
        "isServiceSpecific": tcf.is_service_specific,
        "useNonStandardTexts": tcf.uses_non_standard_texts,
        "specialFeatureOptins": numbers(tcf.special_features),
        "purposeConsents": numbers(tcf.purpose_consents),
        "purposeLegitimateInterests": numbers(tcf.purpose_interests),
        "purposeOneTreatment": tcf.purpose_one_untold,
        "publisherCountryCode": letters(tcf.publisher_country),
        "vendorConsents": vendors(&tcf.vendor_consents),
        "vendorConsentsMaxId": tcf.vendor_consents_maximum,
        "vendorLegitimateInterests": vendors(&tcf.vendor_interests),
        "vendorsDisclosed": vendors(&tcf.disclosed.clone().unwrap_or_default()),
        "publisherConsents": numbers(publisher.consents),
        "publisherLegitimateInterests": numbers(publisher.interests),
        "numCustomPurposes": publisher.custom_consents.len(),
        "publisherCustomConsents": places(&publisher.custom_consents),
        "publisherCustomLegitimateInterests": places(&publisher.custom_interests),
        "publisherRestrictions": tcf.restrictions.iter().map(restriction).collect::<Vec<_>>(),
    })
}

/// Long lists stand as `{"count": …, "ranges": [[1, 1200]]}`.
fn spelled_out(value: &Value) -> Value {
    let Some(ranges) = value.get("ranges").and_then(Value::as_array) else { return value.clone() };
    let end = |range: &Value, at: usize| range[at].as_u64().unwrap();
    let ids: Vec<_> = ranges.iter().flat_map(|range| end(range, 0)..=end(range, 1)).collect();
    assert_eq!(Some(ids.len()), value["count"].as_u64().map(|count| count.try_into().unwrap()));
    json!(ids)
}

/// A TC string in the words of `gpp.json` and of IAB's own cases.
fn europe_as_told(tcf: &TcString) -> Value {
    let publisher = tcf.publisher.clone().unwrap_or_default();
    json!({
        "Version": 2,
        "Created": moment(tcf.header.created_at_ms),
        "LastUpdated": moment(tcf.header.updated_at_ms),
        "CmpId": tcf.header.cmp_id,
        "CmpVersion": tcf.header.cmp_version,
        "ConsentScreen": tcf.header.consent_screen,
        "ConsentLanguage": letters(tcf.header.language),
        "VendorListVersion": tcf.header.vendor_list_version,
        "PolicyVersion": tcf.header.policy_version,
        "IsServiceSpecific": tcf.is_service_specific,
        "UseNonStandardTexts": tcf.uses_non_standard_texts,
        "UseNonStandardStacks": tcf.uses_non_standard_texts,
        "SpecialFeatureOptins": flags(tcf.special_features, 12),
        "PurposeConsents": flags(tcf.purpose_consents, 24),
        "PurposeLegitimateInterests": flags(tcf.purpose_interests, 24),
        "PurposeOneTreatment": tcf.purpose_one_untold,
        "PublisherCountryCode": letters(tcf.publisher_country),
        "VendorConsents": vendors(&tcf.vendor_consents),
        "VendorLegitimateInterests": vendors(&tcf.vendor_interests),
        "PublisherRestrictions": tcf.restrictions.iter().map(|one| one.purpose).collect::<Vec<_>>(),
        "PublisherPurposesSegmentType": 3,
        "PublisherConsents": flags(publisher.consents, 24),
        "PublisherLegitimateInterests": flags(publisher.interests, 24),
        "NumCustomPurposes": publisher.custom_consents.len(),
        "PublisherCustomConsents": publisher.custom_consents,
        "PublisherCustomLegitimateInterests": publisher.custom_interests,
        "VendorsAllowedSegmentType": 2,
        "VendorsAllowed": vendors(&tcf.allowed.clone().unwrap_or_default()),
        "VendorsDisclosedSegmentType": 1,
        "VendorsDisclosed": vendors(&tcf.disclosed.clone().unwrap_or_default()),
    })
}

fn canada_as_told(tcf: &TcfCanada) -> Value {
    let publisher: PublisherTc = tcf.publisher.clone().unwrap_or_default();
    json!({
        "CMP_ID": tcf.header.cmp_id,
        "CMP_VERSION": tcf.header.cmp_version,
        "VENDOR_LIST_VERSION": tcf.header.vendor_list_version,
        "USE_NON_STANDARD_STACKS": tcf.uses_non_standard_stacks,
        "SPECIAL_FEATURE_EXPRESS_CONSENT": flags(tcf.special_features, 12),
        "PURPOSES_EXPRESS_CONSENT": flags(tcf.express, 24),
        "PURPOSES_IMPLIED_CONSENT": flags(tcf.implied, 24),
        "VENDOR_EXPRESS_CONSENT": vendors(&tcf.vendors_express),
        "VENDOR_IMPLIED_CONSENT": vendors(&tcf.vendors_implied),
        "PUB_PURPOSES_EXPRESS_CONSENT": flags(publisher.consents, 24),
        "PUB_PURPOSES_IMPLIED_CONSENT": flags(publisher.interests, 24),
        "NUM_CUSTOM_PURPOSES": publisher.custom_consents.len(),
        "CUSTOM_PURPOSES_EXPRESS_CONSENT": publisher.custom_consents,
        "CUSTOM_PURPOSES_IMPLIED_CONSENT": publisher.custom_interests,
        "CREATED": moment(tcf.header.created_at_ms),
        "LAST_UPDATED": moment(tcf.header.updated_at_ms),
        "CONSENT_LANGUAGE": letters(tcf.header.language),
        "PUB_PURPOSES_SEGMENT_TYPE": 3,
    })
}

fn us_privacy_as_told(string: &UsPrivacy) -> Value {
    let letter = |letter| match letter {
        Letter::Yes => "Y",
        Letter::No => "N",
        Letter::NotApplicable => "-",
    };
    json!({"Version": string.version, "Notice": letter(string.notice),
           "OptOutSale": letter(string.opt_out_of_sale),
           "LspaCovered": letter(string.limited_agreement)})
}

/// Compares what the vector tells; fields of one value are plain numbers there.
fn assert_us(section: &UsSection, wanted: &serde_json::Map<String, Value>, about: &str) {
    let mut compared = 0;
    for (field, values) in section.fields() {
        let Some(told) = wanted.get(field.name()) else {
            panic!("{about}: {} is not told", field.name())
        };
        let told: Vec<u8> = match told {
            Value::Array(told) => {
                told.iter().map(|one| u8::try_from(one.as_u64().unwrap()).unwrap()).collect()
            }
            one => vec![u8::try_from(one.as_u64().unwrap()).unwrap()],
        };
        assert_eq!(values, told, "{about}: {}", field.name());
        compared += 1;
    }
    let version = wanted.get("Version").or_else(|| wanted.get("MspaVersion")).unwrap();
    assert_eq!(version.as_u64(), Some(section.version.into()), "{about}");
    compared += 1;
    if let Some(gpc) = wanted.get("Gpc") {
        assert_eq!(gpc.as_bool(), Some(section.gpc.unwrap_or(false)), "{about}");
        compared += 2;
    }
    assert_eq!(compared, wanted.len(), "{about}: the vector tells more");
}

#[test]
fn every_tc_string_decodes_equally() {
    let Some(file) = vectors("every_tc_string_decodes_equally", "tcf.json") else { return };
    let mut count = 0;
    for vector in rows(&file, "vectors") {
        let decoded = TcString::decode(text(vector, "tc_string")).unwrap();
        let wanted = &vector["decoded"];
        let mut told = tcf_as_told(&decoded);
        for (name, value) in wanted.as_object().unwrap() {
            assert!(told[name] == spelled_out(value), "{}: {name}", text(vector, "id"));
        }
        told.as_object_mut().unwrap().retain(|name, _| wanted.get(name).is_none());
        assert_eq!(told, json!({}), "{}: all is compared", text(vector, "id"));
        if let Some(legacy) = vector.get("tc_string_legacy_v22").and_then(Value::as_str) {
            let legacy = TcString::decode(legacy).unwrap();
            let without = TcString { disclosed: None, ..decoded.clone() };
            assert_eq!(legacy, without, "{}", text(vector, "id"));
            assert_eq!(legacy.check_valid(), Err(ConsentError::NoDisclosedVendors));
            count += 1;
        }
        let refused = vector.get("expect").is_some();
        assert_eq!(decoded.check_valid().is_err(), refused, "{}", text(vector, "id"));
        assert_eq!(purposes::of_tcf(&decoded).is_err(), refused, "{}", text(vector, "id"));
        count += 1;
    }
    for vector in rows(&file, "malformed") {
        let error = TcString::decode(text(vector, "tc_string")).unwrap_err();
        println!("{}: {error:?}", text(vector, "id"));
        count += 1;
    }
    println!("{count} TC strings");
    assert_eq!(count, 13 + 10 + 6);
}

#[test]
fn every_gpp_string_decodes_equally() {
    let Some(file) = vectors("every_gpp_string_decodes_equally", "gpp.json") else { return };
    for vector in rows(&file, "vectors").iter().chain(rows(&file, "vectors_usnat_v1")) {
        let about = text(vector, "id");
        let decoded = GppString::decode(text(vector, "gpp_string")).unwrap();
        let wanted = vector["decoded"].as_object().unwrap();
        assert_eq!(decoded.sections.len(), wanted.len(), "{about}");
        if let Some(ids) = vector.get("gpp_sid") {
            let found: Vec<_> = decoded.sections.iter().map(|(id, _)| *id).collect();
            assert_eq!(json!(found), *ids, "{about}");
        }
        for (_, section) in &decoded.sections {
            match section {
                Section::Us(section) => {
                    assert_us(section, wanted[section.name].as_object().unwrap(), about);
                }
                Section::Europe(tcf) => {
                    let told = europe_as_told(tcf);
                    for (name, value) in wanted["tcfeuv2"].as_object().unwrap() {
                        assert_eq!(&told[name], value, "{about}: {name}");
                    }
                }
                Section::UsPrivacy(string) => {
                    assert_eq!(us_privacy_as_told(string), wanted["uspv1"], "{about}");
                }
                other => panic!("{about}: {other:?}"),
            }
        }
    }
    for header in rows(&file, "spec_headers") {
        let ids = section_ids(text(header, "header")).unwrap();
        assert_eq!(json!(ids), header["section_ids"]);
    }
    for vector in rows(&file, "malformed") {
        let error = GppString::decode(text(vector, "gpp_string")).unwrap_err();
        println!("{:?}: {error:?}", text(vector, "gpp_string"));
    }
    for example in rows(&file["usprivacy"], "examples") {
        let string = UsPrivacy::decode(text(example, "usp")).unwrap();
        let ads = purposes::of_us_privacy(&string).by_purpose[1].map(|answer| answer.choice);
        let opted_out = example["opt_out"].as_bool().unwrap();
        assert_eq!(ads == Some(Choice::Denied), opted_out, "{example}");
        assert_ne!(ads, Some(Choice::Granted));
    }
    for invalid in rows(&file["usprivacy"], "invalid") {
        assert!(UsPrivacy::decode(invalid.as_str().unwrap()).is_err(), "{invalid}");
    }
}

#[test]
fn every_section_has_the_layout_that_was_published() {
    let test = "every_section_has_the_layout_that_was_published";
    let Some(file) = vectors(test, "gpp.json") else { return };
    let layouts = file["section_layouts"].as_object().unwrap();
    assert_eq!(layouts.len(), 21);
    for (name, segments) in layouts {
        let id = u16::try_from(file["section_versions"][name]["id"].as_u64().unwrap()).unwrap();
        let core = &segments[0];
        let bits = usize::try_from(core["total_bits"].as_u64().unwrap()).unwrap();
        // The version, then 1 in every field: 01 01 …, and zeros up to whole characters.
        let version = file["section_versions"][name]["version"].as_u64().unwrap();
        let mut written = format!("{version:06b}");
        written.push_str(&"01".repeat((bits - 6) / 2));
        let section = UsSection::decode(id, &base64(&written)).unwrap();
        let fields: Vec<_> = core["fields"].as_array().unwrap().iter().skip(1).collect();
        let found: Vec<_> = section.fields().collect();
        assert_eq!(found.len(), fields.len(), "{name}");
        for ((field, values), wanted) in found.iter().zip(fields) {
            assert_eq!(field.name(), text(wanted, "field"), "{name}");
            let wanted_bits = usize::try_from(wanted["bits"].as_u64().unwrap()).unwrap();
            assert_eq!(values.len() * 2, wanted_bits, "{name} {}", field.name());
            assert!(values.iter().all(|value| *value == 1), "{name} {}", field.name());
        }
        let cut = base64(&written[..bits - 18]);
        assert!(UsSection::decode(id, &cut).is_err(), "{name}: a shorter one");
        let second = segments.as_array().unwrap().get(1).map(|second| text(second, "segment"));
        let with_gpc = UsSection::decode(id, &format!("{}.YA", base64(&written)));
        match second {
            Some(second) if second.ends_with("GpcSegment") => {
                assert_eq!(with_gpc.unwrap().gpc, Some(true), "{name}");
            }
            Some(_) => {
                let told = UsSection::decode(id, &format!("{}.kkk", base64(&written))).unwrap();
                assert_eq!(told.fields().last().unwrap().1, [2, 1, 0, 2, 1, 0, 2, 1], "{name}");
            }
            None => assert_eq!(with_gpc, Err(ConsentError::Segment), "{name}"),
        }
    }
}

fn base64(bits: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = |bits: &[u8]| {
        let bits = bits.iter().chain([b'0'; 6].iter()).take(6);
        bits.fold(0, |value, bit| value << 1 | usize::from(*bit == b'1'))
    };
    bits.as_bytes().chunks(6).map(|bits| char::from(ALPHABET[value(bits)])).collect()
}

fn section_id(name: &str) -> u16 {
    const NAMES: [(&str, u16); 25] = [
        ("TcfEuV2", 2),
        ("TcfCaV1", 5),
        ("UspV1", 6),
        ("UsNat", 7),
        ("UsCa", 8),
        ("UspCaV1", 8),
        ("UsVa", 9),
        ("UsCo", 10),
        ("UsUt", 11),
        ("UsCt", 12),
        ("UspCtV1", 12),
        ("UsFl", 13),
        ("UsMt", 14),
        ("UsOr", 15),
        ("UsTx", 16),
        ("UsDe", 17),
        ("UsIa", 18),
        ("UsNe", 19),
        ("UsNh", 20),
        ("UsNj", 21),
        ("UsTn", 22),
        ("UsMn", 23),
        ("UsMd", 24),
        ("UsIn", 25),
        ("UsKy", 26),
    ];
    if name == "UsRi" {
        return 27;
    }
    NAMES.iter().find(|(known, _)| *known == name).unwrap().1
}

/// `SensitiveDataProcessing` as IAB's cases write it.
fn shouted(name: &str) -> String {
    let mut shouted = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !shouted.is_empty() {
            shouted.push('_');
        }
        shouted.push(character.to_ascii_uppercase());
    }
    shouted
}

#[test]
fn every_case_of_iab_is_met() {
    let path = "consent/iab_section_tests.jsonl";
    let Some(cases) = shared("every_case_of_iab_is_met", path) else { return };
    let mut count = 0;
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (string, section) = (text(&case, "string"), text(&case, "section"));
        let about = format!("{section}: {}", text(&case, "test"));
        let is_good = text(&case, "expect") == "ok";
        count += 1;
        if text(&case, "kind") == "gpp" {
            assert_eq!(GppString::decode(string).is_ok(), is_good, "{about}");
            continue;
        }
        if section == "HeaderV1" {
            assert_eq!(
                json!(section_ids(string).unwrap()),
                case["fields"]["SectionIds"],
                "{about}"
            );
            continue;
        }
        let decoded = Section::decode(section_id(section), string);
        assert_eq!(decoded.is_ok(), is_good, "{about}: {decoded:?}");
        let Ok(decoded) = decoded else { continue };
        let told = match &decoded {
            Section::Europe(tcf) => europe_as_told(tcf),
            Section::Canada(tcf) => canada_as_told(tcf),
            Section::UsPrivacy(string) => us_privacy_as_told(string),
            Section::Us(section) => section
                .fields()
                .map(|(field, values)| {
                    let value = if let [one] = values { json!(one) } else { json!(values) };
                    (shouted(field.name()), value)
                })
                .collect(),
            Section::Unknown => panic!("{about}"),
        };
        for (name, value) in case["fields"].as_object().unwrap() {
            assert_eq!(&told[name], value, "{about}: {name}");
        }
    }
    println!("{count} cases");
    assert_eq!(count, 53);
}

#[test]
fn every_setting_of_consent_mode_decodes_equally() {
    let test = "every_setting_of_consent_mode_decodes_equally";
    let Some(file) = vectors(test, "consent_mode.json") else { return };
    for case in rows(&file, "cases") {
        let mode = ConsentMode::of_gcd(text(case, "gcd")).unwrap();
        for signal in &ModeSignal::ALL[..4] {
            let letter = text(&case["signals"], signal.name()).as_bytes()[0];
            let wanted = cairn_consent::mode::Setting::of_letter(letter).unwrap();
            assert_eq!(mode.setting(*signal), Some(wanted), "{case}");
        }
        assert_eq!(mode.gcs(), text(case, "gcs"), "{case}");
        assert!(ConsentMode::of_gcs(text(case, "gcs")).is_ok(), "{case}");
        let longer = format!("{}l1", text(case, "gcd"));
        assert_eq!(ConsentMode::of_gcd(&longer), Ok(mode), "newer captures go on");
    }
    for bad in ["", "1", "11", "11p", "11p1p1p", "12p1p1p1p5", "11p1p1p1x5", "11p4p1p1p5", "G100"] {
        assert!(ConsentMode::of_gcd(bad).is_err(), "{bad}");
    }
    for bad in ["", "G1", "G10", "G2--", "G1000", "G1xx"] {
        assert!(ConsentMode::of_gcs(bad).is_err(), "{bad}");
    }
}
