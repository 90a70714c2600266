//! Which law on asking first applies to a country: the class of its row in the table of `cairn_model::jurisdiction`.
//!
//! It knows countries, not people: a visitor abroad has the region of the network he uses. Sub-national
//! rules (California and the like) are opt-out rules and need no class of their own here.

use std::fmt;

use cairn_model::jurisdiction::{EEA, UK};

/// An ISO 3166-1 alpha-2 country code; the default is "unknown" and reads as the empty text.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Takes two ASCII letters in any case; anything else, and the placeholder `ZZ`, is unknown.
    pub fn new(code: &str) -> Self {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                let code = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
                if code == *b"ZZ" { Self::default() } else { Self(code) }
            }
            _ => Self::default(),
        }
    }

    /// The code in upper case, or the empty text when unknown.
    pub fn as_str(&self) -> &str {
        if self.0 == [0, 0] { "" } else { std::str::from_utf8(&self.0).unwrap_or("") }
    }

    /// Whether no country is known.
    pub fn is_unknown(self) -> bool {
        self.0 == [0, 0]
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Country({})", self.as_str())
    }
}

/// What a country means for the consent policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// European Union, Iceland, Liechtenstein, Norway, and the Union's outermost regions.
    Eea,
    /// United Kingdom with Gibraltar and the Crown dependencies, whose law follows it.
    Uk,
    /// Switzerland.
    Switzerland,
    /// A known country that is none of these.
    Other(Country),
    /// No country known: to be treated as the strictest.
    Unknown,
}

/// The consent region of a country. The second argument, the sub-national region, decides nothing
/// today; it is part of the question because some countries will need it.
pub fn region_of(country: Country, _region: &str) -> Region {
    let code = country.as_str();
    if code.is_empty() {
        Region::Unknown
    } else if EEA.contains(&code) {
        Region::Eea
    } else if UK.contains(&code) {
        Region::Uk
    } else if code == "CH" {
        Region::Switzerland
    } else {
        Region::Other(country)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_a_region_says_what_its_row_says() {
        let rows = cairn_model::jurisdiction::rows();
        let codes = rows.flat_map(|row| row.members.iter().chain([&row.code]));
        for code in codes.filter(|code| code.len() == 2) {
            let row = cairn_model::jurisdiction::jurisdiction(code, "");
            let is_open = matches!(region_of(Country::new(code), ""), Region::Other(_));
            assert_eq!(is_open, row.silence == cairn_model::Policy::OptOut, "{code}");
        }
    }

    #[test]
    fn regions_follow_the_table() {
        let of = |code| region_of(Country::new(code), "");
        assert_eq!(of("de"), Region::Eea);
        assert_eq!(of("NO"), Region::Eea);
        assert_eq!(of("RE"), Region::Eea);
        assert_eq!(of("GB"), Region::Uk);
        assert_eq!(of("CH"), Region::Switzerland);
        assert_eq!(of("US"), Region::Other(Country::new("US")));
        for nothing in ["", "ZZ", "X", "12", "USA", "ÄÖ"] {
            assert_eq!(of(nothing), Region::Unknown, "{nothing:?}");
        }
    }
}
