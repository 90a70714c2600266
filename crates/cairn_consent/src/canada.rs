//! GPP section 5: TCF of IAB Canada, version 1.
//!
//! Guarantees: as for TC strings. Consent managers wrote vendors with TCF's 16-bit ranges and without
//! restrictions before the specification's Fibonacci coding; both are read, the specified first.

use crate::ConsentError;
use crate::bits::{Bits, NumberSet};
use crate::tcf::{Header, PublisherTc, Restriction, restrictions};
use crate::vendors::{Coding, VendorSet};

/// A decoded section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcfCanada {
    /// What every string of the framework begins with.
    pub header: Header,
    /// Stacks other than the standard's were used.
    pub uses_non_standard_stacks: bool,
    /// Special features with express consent.
    pub special_features: NumberSet,
    /// Purposes with express consent.
    pub express: NumberSet,
    /// Purposes with implied consent: told, and not objected to.
    pub implied: NumberSet,
    /// Vendors with express consent.
    pub vendors_express: VendorSet,
    /// Vendors with implied consent.
    pub vendors_implied: VendorSet,
    /// What the publisher forbids to vendors.
    pub restrictions: Vec<Restriction>,
    /// Vendors that were disclosed; `None` = the segment is not there.
    pub disclosed: Option<VendorSet>,
    /// What was said to the publisher himself (express as consents, implied as interests).
    pub publisher: Option<PublisherTc>,
}

impl TcfCanada {
    /// Reads the section's text.
    pub fn decode(text: &str) -> Result<Self, ConsentError> {
        let mut segments = text.split('.');
        let mut decoded = Self::core(segments.next().unwrap_or(""))?;
        for segment in segments {
            let mut bits = Bits::new(segment)?;
            let is_new = match bits.small(3)? {
                1 => {
                    let vendors = disclosed(&bits)?;
                    decoded.disclosed.replace(vendors).is_none()
                }
                3 => {
                    let publisher = PublisherTc::read(&mut bits)?;
                    bits.end()?;
                    decoded.publisher.replace(publisher).is_none()
                }
                _ => false,
            };
            if !is_new {
                return Err(ConsentError::Segment);
            }
        }
        Ok(decoded)
    }

    fn core(text: &str) -> Result<Self, ConsentError> {
        let mut bits = Bits::new(text)?;
        if bits.small(6)? != 1 {
            return Err(ConsentError::Version);
        }
        let mut decoded = TcfCanada {
            header: Header::read(&mut bits)?,
            uses_non_standard_stacks: bits.bit()?,
            special_features: bits.set(12)?,
            express: bits.set(24)?,
            implied: bits.set(24)?,
            vendors_express: VendorSet::default(),
            vendors_implied: VendorSet::default(),
            restrictions: Vec::new(),
            disclosed: None,
            publisher: None,
        };
        let lists = lists(&bits, Coding::Fibonacci).or_else(|_| lists(&bits, Coding::Fixed))?;
        (decoded.vendors_express, decoded.vendors_implied, decoded.restrictions) = lists;
        Ok(decoded)
    }
}

/// The lists at the end of the core, and nothing behind them.
fn lists(
    bits: &Bits<'_>,
    coding: Coding,
) -> Result<(VendorSet, VendorSet, Vec<Restriction>), ConsentError> {
    let mut bits = bits.clone();
    let express = vendors(&mut bits, coding)?;
    let implied = vendors(&mut bits, coding)?;
    // The field was added with the coding: where nothing is left, there is none.
    let without = bits.clone();
    let restrictions = match restrictions(&mut bits, coding) {
        Err(ConsentError::Truncated) => {
            without.end()?;
            return Ok((express, implied, Vec::new()));
        }
        restrictions => restrictions?,
    };
    bits.end()?;
    Ok((express, implied, restrictions))
}

fn disclosed(bits: &Bits<'_>) -> Result<VendorSet, ConsentError> {
    let read = |coding| {
        let mut bits = bits.clone();
        let set = vendors(&mut bits, coding)?;
        bits.end()?;
        Ok(set)
    };
    read(Coding::Fibonacci).or_else(|_: ConsentError| read(Coding::Fixed))
}

/// Vendors. Ranges must end with the id that they announce: so one coding is told from the other. A
/// bit field is the same in both.
fn vendors(bits: &mut Bits<'_>, coding: Coding) -> Result<VendorSet, ConsentError> {
    let mut ahead = bits.clone();
    ahead.medium(16)?;
    let has_ranges = ahead.bit()?;
    let (set, maximum) = VendorSet::read_with_maximum(bits, coding)?;
    match has_ranges && set.maximum().unwrap_or(0) != maximum {
        true => Err(ConsentError::Range),
        false => Ok(set),
    }
}
