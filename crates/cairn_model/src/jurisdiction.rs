//! Which law a visitor's place is under, and what follows where he said nothing: the one table behind the policy
//! `regional`, with its sources.
//!
//! Guarantees: every place falls under exactly one row, the first that names it; a place that is not known falls under the
//! strictest. It is our reading of the laws in force in November 2026, not legal advice: it knows neither whether a law
//! reaches this site (many have thresholds) nor what a visitor's citizenship adds.

use serde::{Deserialize, Serialize};

use crate::site::Policy;

/// Rules of one site.
pub const PLACE_RULES_MAX: usize = 100;

/// One row: a place with a law of its own on asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jurisdiction {
    /// ISO 3166 code of a country or of a part of it, or the name of a group.
    pub code: &'static str,
    /// Its name in English; databases of places may name a part of a country so.
    pub name: &'static str,
    /// Countries of a group; empty where the code is that of a country or of a part.
    pub members: &'static [&'static str],
    /// What the policy `regional` does here where nothing was said.
    pub silence: Policy,
    /// What its law asks for as we read it; the owner may choose it by a rule of his own.
    pub advised: Policy,
    /// The law gives Global Privacy Control force.
    pub gpc: bool,
    /// In force since, as `YYYY-MM-DD`; empty for rows that stand for no law.
    pub since: &'static str,
    /// The law, with the article that decides.
    pub law: &'static str,
    /// Where it is published.
    pub source: &'static str,
}

/// The Union's members, the EEA's other three, territory of the Union with codes of its own (Åland, French Guiana,
/// Guadeloupe, Martinique, Mayotte, Réunion, Saint Martin), and the code `EU`.
pub const EEA: [&str; 38] = [
    "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV",
    "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "IS", "LI", "NO", "AX", "GF",
    "GP", "MQ", "YT", "RE", "MF", "EU",
];
/// With Gibraltar and the Crown dependencies, whose law follows the United Kingdom's.
pub const UK: [&str; 6] = ["GB", "UK", "GI", "GG", "JE", "IM"];

/// A row of an American state: silence is no refusal, and its law names the right to opt out of sale and of targeted
/// advertising.
const fn state(
    code: &'static str,
    name: &'static str,
    gpc: bool,
    since: &'static str,
    law: &'static str,
    source: &'static str,
) -> Jurisdiction {
    let policy = Policy::OptOut;
    Jurisdiction {
        code,
        name,
        members: &[],
        silence: policy,
        advised: policy,
        gpc,
        since,
        law,
        source,
    }
}

/// A row of a place for which the contract's `regional` waits for a no, whatever its law advises.
const fn elsewhere(
    code: &'static str,
    name: &'static str,
    advised: Policy,
    since: &'static str,
    law: &'static str,
    source: &'static str,
) -> Jurisdiction {
    let (silence, gpc) = (Policy::OptOut, false);
    Jurisdiction { code, name, members: &[], silence, advised, gpc, since, law, source }
}

/// The table. Parts of countries come before countries, countries before groups.
pub static JURISDICTIONS: &[Jurisdiction] = &[
    state(
        "US-CA",
        "California",
        true,
        "2020-01-01",
        "California Consumer Privacy Act, Civ. Code § 1798.120, § 1798.135; 11 CCR § 7025 (signals), § 7026 (opt-out)",
        "https://leginfo.legislature.ca.gov/faces/codes_displaySection.xhtml?lawCode=CIV&sectionNum=1798.135",
    ),
    state(
        "US-CO",
        "Colorado",
        true,
        "2023-07-01",
        "Colorado Privacy Act, C.R.S. § 6-1-1306(1)(a), § 6-1-1313 (signals)",
        "https://leg.colorado.gov/bills/sb21-190",
    ),
    state(
        "US-CT",
        "Connecticut",
        true,
        "2023-07-01",
        "Connecticut Data Privacy Act, Conn. Gen. Stat. § 42-518(a)(5), § 42-520(e) (signals)",
        "https://www.cga.ct.gov/current/pub/chap_743jj.htm",
    ),
    state(
        "US-DE",
        "Delaware",
        true,
        "2025-01-01",
        "Delaware Personal Data Privacy Act, 6 Del. C. § 12D-104(a)(6), § 12D-106(e) (signals)",
        "https://delcode.delaware.gov/title6/c012d/index.html",
    ),
    state(
        "US-FL",
        "Florida",
        false,
        "2024-07-01",
        "Florida Digital Bill of Rights, Fla. Stat. § 501.705 (large platforms only)",
        "https://www.flsenate.gov/Laws/Statutes/2024/501.705",
    ),
    state(
        "US-IN",
        "Indiana",
        false,
        "2026-01-01",
        "Indiana Consumer Data Protection Act, Ind. Code 24-15-3-1",
        "https://iga.in.gov/laws/2025/ic/titles/24#24-15-3",
    ),
    state(
        "US-IA",
        "Iowa",
        false,
        "2025-01-01",
        "Iowa Consumer Data Protection Act, Iowa Code § 715D.3, § 715D.4",
        "https://www.legis.iowa.gov/docs/code/715D.pdf",
    ),
    state(
        "US-KY",
        "Kentucky",
        false,
        "2026-01-01",
        "Kentucky Consumer Data Protection Act, KRS 367.3615",
        "https://apps.legislature.ky.gov/law/statutes/chapter.aspx?id=39092",
    ),
    state(
        "US-MD",
        "Maryland",
        true,
        "2025-10-01",
        "Maryland Online Data Privacy Act, Com. Law § 14-4705, § 14-4707",
        "https://mgaleg.maryland.gov/mgawebsite/Legislation/Details/sb0541?ys=2024RS",
    ),
    state(
        "US-MN",
        "Minnesota",
        true,
        "2025-07-31",
        "Minnesota Consumer Data Privacy Act, Minn. Stat. § 325M.14",
        "https://www.revisor.mn.gov/statutes/cite/325M.14",
    ),
    state(
        "US-MT",
        "Montana",
        true,
        "2024-10-01",
        "Montana Consumer Data Privacy Act, Mont. Code § 30-14-2808, § 30-14-2809 (signals)",
        "https://archive.legmt.gov/bills/mca/title_0300/chapter_0140/part_0280/sections_index.html",
    ),
    state(
        "US-NE",
        "Nebraska",
        true,
        "2025-01-01",
        "Nebraska Data Privacy Act, Neb. Rev. Stat. § 87-1107",
        "https://nebraskalegislature.gov/laws/statutes.php?statute=87-1107",
    ),
    state(
        "US-NH",
        "New Hampshire",
        true,
        "2025-01-01",
        "New Hampshire Privacy Act, RSA 507-H:4, 507-H:6",
        "https://gc.nh.gov/rsa/html/LII/507-H/507-H-mrg.htm",
    ),
    state(
        "US-NJ",
        "New Jersey",
        true,
        "2025-01-15",
        "New Jersey Data Privacy Act, P.L. 2023, c. 266 (N.J.S.A. 56:8-166.4 and following)",
        "https://pub.njleg.state.nj.us/Bills/2022/PL23/266_.HTM",
    ),
    state(
        "US-OR",
        "Oregon",
        true,
        "2024-07-01",
        "Oregon Consumer Privacy Act, ORS 646A.574, 646A.578",
        "https://www.oregonlegislature.gov/bills_laws/ors/ors646A.html",
    ),
    state(
        "US-RI",
        "Rhode Island",
        false,
        "2026-01-01",
        "Rhode Island Data Transparency and Privacy Protection Act, R.I. Gen. Laws § 6-48.1-5",
        "https://webserver.rilegislature.gov/Statutes/TITLE6/6-48.1/INDEX.htm",
    ),
    state(
        "US-TN",
        "Tennessee",
        false,
        "2025-07-01",
        "Tennessee Information Protection Act, Tenn. Code § 47-18-3301 and following",
        "https://publications.tnsosfiles.com/acts/113/pub/pc0408.pdf",
    ),
    state(
        "US-TX",
        "Texas",
        true,
        "2024-07-01",
        "Texas Data Privacy and Security Act, Bus. & Com. Code § 541.051, § 541.055 (signals)",
        "https://statutes.capitol.texas.gov/Docs/BC/htm/BC.541.htm",
    ),
    state(
        "US-UT",
        "Utah",
        false,
        "2023-12-31",
        "Utah Consumer Privacy Act, Utah Code § 13-61-201",
        "https://le.utah.gov/xcode/Title13/Chapter61/13-61.html",
    ),
    state(
        "US-VA",
        "Virginia",
        false,
        "2023-01-01",
        "Virginia Consumer Data Protection Act, Va. Code § 59.1-577(A)(5)",
        "https://law.lis.virginia.gov/vacode/title59.1/chapter53/section59.1-577/",
    ),
    elsewhere(
        "US",
        "United States, other states",
        Policy::OptOut,
        "",
        "No comprehensive law in force",
        "",
    ),
    elsewhere(
        "CA-QC",
        "Quebec",
        Policy::OptIn,
        "2023-09-22",
        "Act respecting the protection of personal information in the private sector, s. 8.1 (functions that identify, locate or profile are off until the person turns them on), s. 9.1, s. 14",
        "https://www.legisquebec.gouv.qc.ca/en/document/cs/P-39.1",
    ),
    elsewhere(
        "CA",
        "Canada, other provinces",
        Policy::OptOut,
        "2001-01-01",
        "Personal Information Protection and Electronic Documents Act, s. 6.1 and Schedule 1, 4.3 (implied consent for what is not sensitive)",
        "https://laws-lois.justice.gc.ca/eng/acts/P-8.6/",
    ),
    elsewhere(
        "BR",
        "Brazil",
        Policy::OptIn,
        "2020-09-18",
        "Lei Geral de Proteção de Dados (13.709/2018), art. 7 I, art. 8; the authority's guide on cookies (2022)",
        "https://www.planalto.gov.br/ccivil_03/_ato2015-2018/2018/lei/l13709.htm",
    ),
    elsewhere(
        "AU",
        "Australia",
        Policy::OptOut,
        "2014-03-12",
        "Privacy Act 1988, Schedule 1, Australian Privacy Principles 3, 5 and 7",
        "https://www.legislation.gov.au/C2004A03712/latest/text",
    ),
    elsewhere(
        "CN",
        "China",
        Policy::OptIn,
        "2021-11-01",
        "Personal Information Protection Law, art. 13, art. 14, art. 24",
        "http://www.npc.gov.cn/npc/c2/c30834/202108/t20210820_313088.html",
    ),
    elsewhere(
        "JP",
        "Japan",
        Policy::OptOut,
        "2023-06-16",
        "Telecommunications Business Act, art. 27-12 (inform of what is sent elsewhere); Act on the Protection of Personal Information, art. 31",
        "https://laws.e-gov.go.jp/law/359AC0000000086",
    ),
    elsewhere(
        "KR",
        "South Korea",
        Policy::OptIn,
        "2020-08-05",
        "Personal Information Protection Act, art. 15, art. 22",
        "https://www.law.go.kr/LSW/eng/engLsSc.do?menuId=2&query=PERSONAL%20INFORMATION%20PROTECTION%20ACT",
    ),
    elsewhere(
        "TR",
        "Türkiye",
        Policy::OptIn,
        "2016-04-07",
        "Law 6698 on the Protection of Personal Data, art. 5; the authority's guideline on cookies (2022)",
        "https://www.kvkk.gov.tr/Icerik/6649/Personal-Data-Protection-Law",
    ),
    elsewhere(
        "ZA",
        "South Africa",
        Policy::OptOut,
        "2021-07-01",
        "Protection of Personal Information Act, s. 11 (with the right to object), s. 69",
        "https://www.gov.za/documents/protection-personal-information-act",
    ),
    Jurisdiction {
        code: "DE",
        name: "Germany",
        members: &[],
        silence: Policy::OptIn,
        advised: Policy::OptInStrict,
        gpc: false,
        since: "2021-12-01",
        law: "Telekommunikation-Digitale-Dienste-Datenschutz-Gesetz, § 25: no exception for measuring an audience, so that even anonymous counting after a refusal is unsafe",
        source: "https://www.gesetze-im-internet.de/ttdsg/__25.html",
    },
    Jurisdiction {
        code: "CH",
        name: "Switzerland",
        members: &[],
        silence: Policy::OptIn,
        advised: Policy::OptIn,
        gpc: false,
        since: "2023-09-01",
        law: "Federal Act on Data Protection, art. 6, art. 30, art. 31; Telecommunications Act, art. 45c",
        source: "https://www.fedlex.admin.ch/eli/cc/2022/491/en",
    },
    Jurisdiction {
        code: "UK",
        name: "United Kingdom, Gibraltar, Crown dependencies",
        members: &UK,
        silence: Policy::OptIn,
        advised: Policy::OptIn,
        gpc: false,
        since: "2003-12-11",
        law: "Privacy and Electronic Communications Regulations 2003, reg. 6 and Schedule A1; UK GDPR, art. 6, art. 7",
        source: "https://www.legislation.gov.uk/uksi/2003/2426/regulation/6",
    },
    Jurisdiction {
        code: "EEA",
        name: "European Economic Area",
        members: &EEA,
        silence: Policy::OptIn,
        advised: Policy::OptIn,
        gpc: false,
        since: "2018-05-25",
        law: "Directive 2002/58/EC, art. 5(3), in each state's law; Regulation (EU) 2016/679, art. 6, art. 7, art. 21(5)",
        source: "https://eur-lex.europa.eu/eli/dir/2002/58/oj",
    },
];

/// The row of every known place that the table does not name.
pub static ELSEWHERE: Jurisdiction =
    elsewhere("other", "Any other country", Policy::OptOut, "", "Not read", "");
/// The row of visitors whose place is not known.
pub static UNKNOWN: Jurisdiction = Jurisdiction {
    code: "unknown",
    name: "Place not known",
    members: &[],
    silence: Policy::OptIn,
    advised: Policy::OptIn,
    gpc: false,
    since: "",
    law: "The strictest default",
    source: "",
};

/// The row of a place. `country`: two letters, empty = unknown; `part`: code or English name of the part of it that its
/// database gives, empty = unknown.
pub fn jurisdiction(country: &str, part: &str) -> &'static Jurisdiction {
    if country.is_empty() {
        return &UNKNOWN;
    }
    JURISDICTIONS.iter().find(|row| row.holds(country, part)).unwrap_or(&ELSEWHERE)
}

/// Every row, those that stand for no law included.
pub fn rows() -> impl Iterator<Item = &'static Jurisdiction> {
    JURISDICTIONS.iter().chain([&ELSEWHERE, &UNKNOWN])
}

impl Jurisdiction {
    fn holds(&self, country: &str, part: &str) -> bool {
        if !self.members.is_empty() {
            return self.members.contains(&country);
        }
        match self.code.split_once('-') {
            Some((of, code)) => of == country && is_part(part, code, self.name),
            None => self.code == country,
        }
    }
}

/// Databases give `CA`, `US-CA` or `California`.
fn is_part(part: &str, code: &str, name: &str) -> bool {
    let short = part.rsplit_once('-').map_or(part, |(_, short)| short);
    short.eq_ignore_ascii_case(code) || part.eq_ignore_ascii_case(name)
}

/// An owner's rule: what holds in one place instead of the site's policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlaceRule {
    /// Code of a row, of a country, or of a part of one, as [`place_code`] writes it.
    pub code: String,
    /// What holds there.
    pub policy: Policy,
}

/// A place's code as rules have it; `None` where it names none: two letters, a part of a country behind a dash, or the
/// code of a row.
pub fn place_code(text: &str) -> Option<String> {
    let named = rows().find(|row| row.code.eq_ignore_ascii_case(text));
    if let Some(row) = named {
        return Some(row.code.to_owned());
    }
    let (country, part) = text.split_once('-').unwrap_or((text, "A"));
    let is_country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_part =
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_country && is_part).then(|| text.to_ascii_uppercase())
}

/// What the owner's rules say of a place; `None` = nothing. The narrowest counts: a part, a country, a group.
pub fn ruled(rules: &[PlaceRule], country: &str, part: &str) -> Option<Policy> {
    if rules.is_empty() {
        return None;
    }
    let of = |matches: &dyn Fn(&str) -> bool| {
        rules.iter().find(|rule| matches(&rule.code)).map(|rule| rule.policy)
    };
    if country.is_empty() {
        return of(&|code| code == UNKNOWN.code);
    }
    let is_part_of = |code: &str| {
        let Some((of, short)) = code.split_once('-') else { return false };
        let name = JURISDICTIONS.iter().find(|row| row.code == code).map_or("", |row| row.name);
        !part.is_empty() && of == country && is_part(part, short, name)
    };
    let group = JURISDICTIONS.iter().find(|row| row.members.contains(&country));
    of(&is_part_of)
        .or_else(|| of(&|code| code == country))
        .or_else(|| of(&|code| group.is_some_and(|group| group.code == code)))
        .or_else(|| {
            let is_elsewhere = jurisdiction(country, part) == &ELSEWHERE;
            of(&|code| is_elsewhere && code == ELSEWHERE.code)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_falls_under_the_narrowest_row() {
        for (country, part, code) in [
            ("US", "CA", "US-CA"),
            ("US", "California", "US-CA"),
            ("US", "us-tx", "US-TX"),
            ("US", "WY", "US"),
            ("US", "", "US"),
            ("CA", "QC", "CA-QC"),
            ("CA", "Quebec", "CA-QC"),
            ("CA", "ON", "CA"),
            ("DE", "BE", "DE"),
            ("FR", "", "EEA"),
            ("RE", "", "EEA"),
            ("GI", "", "UK"),
            ("CH", "", "CH"),
            ("BR", "SP", "BR"),
            ("NZ", "", "other"),
            ("", "CA", "unknown"),
        ] {
            assert_eq!(jurisdiction(country, part).code, code, "{country} {part}");
        }
    }

    #[test]
    fn silence_is_a_no_where_the_contract_says_so_and_nowhere_else() {
        for country in EEA.iter().chain(&UK).chain(&["CH", ""]) {
            assert_eq!(jurisdiction(country, "").silence, Policy::OptIn, "{country}");
        }
        let others = rows().filter(|row| row.silence == Policy::OptOut);
        let open: Vec<_> = others.map(|row| row.code).collect();
        for code in ["US", "US-CA", "CA", "CA-QC", "BR", "other"] {
            assert!(open.contains(&code), "{code}");
        }
    }

    #[test]
    fn every_row_of_a_law_names_it_its_day_and_its_source() {
        for row in JURISDICTIONS.iter().filter(|row| row.code != "US") {
            assert!(row.law.contains(|letter: char| letter.is_ascii_digit()), "{}", row.code);
            assert!(row.source.starts_with("http"), "{}", row.code);
            let day: Vec<_> = row.since.split('-').map(str::len).collect();
            assert_eq!(day, [4, 2, 2], "{}", row.code);
            assert!(row.since < "2026-11-23", "{} is not in force", row.code);
            assert_eq!(place_code(row.code).as_deref(), Some(row.code));
        }
        let codes: std::collections::BTreeSet<_> = rows().map(|row| row.code).collect();
        assert_eq!(codes.len(), rows().count(), "each once");
    }

    #[test]
    fn the_narrowest_rule_of_the_owner_counts() {
        let rule = |code: &str, policy| PlaceRule { code: code.to_owned(), policy };
        let rules = [
            rule("EEA", Policy::OptIn),
            rule("DE", Policy::OptInStrict),
            rule("DE-BY", Policy::Anonymous),
            rule("US-CA", Policy::OptIn),
            rule("other", Policy::OptIn),
            rule("unknown", Policy::Anonymous),
        ];
        for (country, part, policy) in [
            ("DE", "BY", Some(Policy::Anonymous)),
            ("DE", "", Some(Policy::OptInStrict)),
            ("FR", "", Some(Policy::OptIn)),
            ("US", "California", Some(Policy::OptIn)),
            ("US", "TX", None),
            ("GB", "", None),
            ("NZ", "", Some(Policy::OptIn)),
            ("", "", Some(Policy::Anonymous)),
        ] {
            assert_eq!(ruled(&rules, country, part), policy, "{country} {part}");
        }
        assert_eq!(ruled(&[], "DE", ""), None);
    }

    #[test]
    fn codes_are_read_in_any_case_and_nothing_else_is_a_place() {
        for (text, code) in [
            ("de", "DE"),
            ("us-ca", "US-CA"),
            ("eea", "EEA"),
            ("Unknown", "unknown"),
            ("fr-75c", "FR-75C"),
        ] {
            assert_eq!(place_code(text).as_deref(), Some(code));
        }
        for text in ["", "D", "DEU", "Germany", "US_CA", "US-", "US-CALI", "1A", "*"] {
            assert_eq!(place_code(text), None, "{text}");
        }
    }
}
