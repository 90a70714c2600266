//! GPP strings: a header that names sections, and the sections.
//!
//! Guarantees: all sections are read or the string is refused; only those of unknown laws are kept
//! unread, and [`Applicable`] says whether they matter. Source: IAB Tech Lab's "Consent String
//! Specification" of the Global Privacy Platform.

use crate::bits::Bits;
use crate::canada::TcfCanada;
use crate::{ConsentError, STRING_SIZE_BYTES_MAX, TcString, UsPrivacy, UsSection};

/// The header's type and version.
const HEADER: (u8, u8) = (3, 1);
/// Most sections of one string; 27 numbers are given out.
const SECTIONS_MAX: usize = 64;

/// The number of the European section.
pub const TCF_EU: u16 = 2;
/// The number of the Canadian section.
pub const TCF_CANADA: u16 = 5;
/// The number of the US Privacy string.
pub const US_PRIVACY: u16 = 6;

/// A section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Section {
    /// 2: a TC string of Europe.
    Europe(Box<TcString>),
    /// 5: the same of Canada.
    Canada(Box<TcfCanada>),
    /// 6: a US Privacy string.
    UsPrivacy(UsPrivacy),
    /// 7 to 27: the United States and their states.
    Us(UsSection),
    /// A law that is not known here.
    Unknown,
}

impl Section {
    /// Reads a section's text.
    pub fn decode(id: u16, text: &str) -> Result<Self, ConsentError> {
        Ok(match id {
            TCF_EU => Section::Europe(Box::new(TcString::decode(text)?)),
            TCF_CANADA => Section::Canada(Box::new(TcfCanada::decode(text)?)),
            US_PRIVACY => Section::UsPrivacy(UsPrivacy::decode_any(text)?),
            id if UsSection::is_known(id) => Section::Us(UsSection::decode(id, text)?),
            _ if text.is_empty() => return Err(ConsentError::Empty),
            _ => Section::Unknown,
        })
    }
}

/// A decoded GPP string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GppString {
    /// The sections with their numbers, ascending.
    pub sections: Vec<(u16, Section)>,
}

impl GppString {
    /// Reads a string.
    pub fn decode(text: &str) -> Result<Self, ConsentError> {
        if text.len() > STRING_SIZE_BYTES_MAX {
            return Err(ConsentError::TooLong);
        }
        let mut parts = text.split('~');
        let ids = section_ids(parts.next().unwrap_or(""))?;
        let texts: Vec<&str> = parts.take(SECTIONS_MAX + 1).collect();
        if ids.len() != texts.len() {
            return Err(ConsentError::Sections);
        }
        let sections =
            ids.into_iter().zip(texts).map(|(id, text)| Ok((id, Section::decode(id, text)?)));
        Ok(GppString { sections: sections.collect::<Result<_, _>>()? })
    }
}

/// Reads a header: the numbers of the sections that follow, ascending.
pub fn section_ids(header: &str) -> Result<Vec<u16>, ConsentError> {
    let mut bits = Bits::new(header)?;
    if (bits.small(6)?, bits.small(6)?) != HEADER {
        return Err(ConsentError::Version);
    }
    let mut ids = Vec::new();
    let mut last = 0;
    for _ in 0..bits.number(12)? {
        let is_range = bits.bit()?;
        let start = after(last, bits.fibonacci()?)?;
        let end = if is_range { after(start, bits.fibonacci()?)? } else { start };
        if usize::from(end - start) >= SECTIONS_MAX || ids.len() >= SECTIONS_MAX {
            return Err(ConsentError::Sections);
        }
        ids.extend(start..=end);
        last = end;
    }
    bits.end()?;
    Ok(ids)
}

fn after(last: u16, distance: u64) -> Result<u16, ConsentError> {
    let id = distance.checked_add(u64::from(last)).ok_or(ConsentError::Range)?;
    u16::try_from(id).map_err(|_| ConsentError::Range)
}

/// Which sections apply (`gpp_sid`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Applicable {
    /// Nobody said: all that are there.
    Untold,
    /// These; none = no law with a section applies.
    Only(Vec<u16>),
}

impl Applicable {
    /// Reads `7`, `2,7` or `2_7`. `-1`: none applies. Empty and `0` (not known yet): nobody said.
    pub fn parse(text: &str) -> Result<Self, ConsentError> {
        match text.trim() {
            "" | "0" => return Ok(Applicable::Untold),
            "-1" => return Ok(Applicable::Only(Vec::new())),
            _ => {}
        }
        let ids: Option<Vec<u16>> = text
            .split([',', '_'])
            .take(SECTIONS_MAX + 1)
            .map(|id| id.trim().parse().ok().filter(|id| *id > 0))
            .collect();
        // What stands behind them may apply too: a list is read whole or not at all.
        let ids = ids.filter(|ids| ids.len() <= SECTIONS_MAX).ok_or(ConsentError::Applicable)?;
        Ok(Applicable::Only(ids))
    }

    /// Whether a section applies.
    pub fn includes(&self, id: u16) -> bool {
        match self {
            Applicable::Untold => true,
            Applicable::Only(ids) => ids.contains(&id),
        }
    }
}
