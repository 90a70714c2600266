//! TC strings of the IAB Europe Transparency and Consent Framework, versions 2.0 to 2.3.
//!
//! Guarantees: all segments are read to their last bit or the string is refused. Source: "Consent
//! string and vendor list formats v2" of 2026-02-26.

use crate::bits::{Bits, NumberSet};
use crate::vendors::{Coding, VendorSet};
use crate::{ConsentError, STRING_SIZE_BYTES_MAX};

/// The version field that all of 2.0 to 2.3 have.
const VERSION: u8 = 2;
/// Since when DisclosedVendors must be there: 2026-02-28T00:00:00Z, Unix milliseconds (TCF 2.3).
const DISCLOSED_SINCE_MS: i64 = 1_772_236_800_000;

/// A decoded TC string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcString {
    /// What every string of the framework begins with.
    pub header: Header,
    /// It concerns one service or group of services.
    pub is_service_specific: bool,
    /// Texts other than the standard's were shown.
    pub uses_non_standard_texts: bool,
    /// Special features that were agreed to.
    pub special_features: NumberSet,
    /// Purposes that were consented to.
    pub purpose_consents: NumberSet,
    /// Purposes where a legitimate interest was disclosed and not objected to.
    pub purpose_interests: NumberSet,
    /// Purpose 1 was not disclosed at all, as the publisher's country treats it otherwise.
    pub purpose_one_untold: bool,
    /// The publisher's country, as two capital letters.
    pub publisher_country: [u8; 2],
    /// Vendors that were consented to.
    pub vendor_consents: VendorSet,
    /// `MaxVendorId` of the consents.
    pub vendor_consents_maximum: u16,
    /// Vendors whose legitimate interest was disclosed and not objected to.
    pub vendor_interests: VendorSet,
    /// What the publisher forbids to vendors.
    pub restrictions: Vec<Restriction>,
    /// Vendors that were disclosed; `None` = the segment is not there.
    pub disclosed: Option<VendorSet>,
    /// Vendors that a global consent manager allowed (deprecated); `None` = not there.
    pub allowed: Option<VendorSet>,
    /// What was said to the publisher himself; `None` = the segment is not there.
    pub publisher: Option<PublisherTc>,
}

/// What a TC string begins with, in Europe and in Canada.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// When it was first made, Unix milliseconds; a whole day in UTC.
    pub created_at_ms: i64,
    /// When it was last changed, Unix milliseconds; a whole day in UTC.
    pub updated_at_ms: i64,
    /// The consent manager's number.
    pub cmp_id: u16,
    /// Its version.
    pub cmp_version: u16,
    /// The screen on which was chosen, in its own numbering.
    pub consent_screen: u8,
    /// The language it was shown in, as two capital letters.
    pub language: [u8; 2],
    /// The version of the list of vendors.
    pub vendor_list_version: u16,
    /// The version of the policies.
    pub policy_version: u8,
}

impl Header {
    pub(crate) fn read(bits: &mut Bits<'_>) -> Result<Self, ConsentError> {
        Ok(Header {
            created_at_ms: moment(bits)?,
            updated_at_ms: moment(bits)?,
            cmp_id: bits.medium(12)?,
            cmp_version: bits.medium(12)?,
            consent_screen: bits.small(6)?,
            language: bits.letters()?,
            vendor_list_version: bits.medium(12)?,
            policy_version: bits.small(6)?,
        })
    }
}

/// What the publisher forbids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restriction {
    /// The purpose.
    pub purpose: u8,
    /// 0 not allowed, 1 needs consent, 2 needs a legitimate interest, 3 undefined.
    pub kind: u8,
    /// To whom.
    pub vendors: VendorSet,
}

/// The segment of what was said to the publisher himself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PublisherTc {
    /// Purposes that were consented to.
    pub consents: NumberSet,
    /// Purposes where a legitimate interest was disclosed and not objected to.
    pub interests: NumberSet,
    /// The publisher's own purposes that were consented to, by their place.
    pub custom_consents: Vec<bool>,
    /// The publisher's own purposes with a legitimate interest, by their place.
    pub custom_interests: Vec<bool>,
}

impl PublisherTc {
    /// Whether anything stands in it. Encoders write the segment with all bits 0 where a consent
    /// manager knows no publisher's consents, also for visitors who agreed to everything.
    pub fn says_something(&self) -> bool {
        !self.consents.is_empty()
            || !self.interests.is_empty()
            || !self.custom_consents.is_empty()
            || !self.custom_interests.is_empty()
    }

    pub(crate) fn read(bits: &mut Bits<'_>) -> Result<Self, ConsentError> {
        let (consents, interests) = (bits.set(24)?, bits.set(24)?);
        let count = usize::from(bits.small(6)?);
        Ok(PublisherTc {
            consents,
            interests,
            custom_consents: bits.flags(count)?,
            custom_interests: bits.flags(count)?,
        })
    }
}

impl TcString {
    /// Reads a string.
    pub fn decode(text: &str) -> Result<Self, ConsentError> {
        if text.len() > STRING_SIZE_BYTES_MAX {
            return Err(ConsentError::TooLong);
        }
        let mut segments = text.split('.');
        let mut decoded = Self::core(segments.next().unwrap_or(""))?;
        for segment in segments {
            let mut bits = Bits::new(segment)?;
            let is_new = match bits.small(3)? {
                1 => {
                    decoded.disclosed.replace(VendorSet::read(&mut bits, Coding::Fixed)?).is_none()
                }
                2 => decoded.allowed.replace(VendorSet::read(&mut bits, Coding::Fixed)?).is_none(),
                3 => decoded.publisher.replace(PublisherTc::read(&mut bits)?).is_none(),
                _ => false,
            };
            if !is_new {
                return Err(ConsentError::Segment);
            }
            bits.end()?;
        }
        Ok(decoded)
    }

    fn core(text: &str) -> Result<Self, ConsentError> {
        let mut bits = Bits::new(text)?;
        if bits.small(6)? != VERSION {
            return Err(ConsentError::Version);
        }
        let mut decoded = TcString {
            header: Header::read(&mut bits)?,
            is_service_specific: bits.bit()?,
            uses_non_standard_texts: bits.bit()?,
            special_features: bits.set(12)?,
            purpose_consents: bits.set(24)?,
            purpose_interests: bits.set(24)?,
            purpose_one_untold: bits.bit()?,
            publisher_country: bits.letters()?,
            vendor_consents: VendorSet::default(),
            vendor_consents_maximum: 0,
            vendor_interests: VendorSet::default(),
            restrictions: Vec::new(),
            disclosed: None,
            allowed: None,
            publisher: None,
        };
        (decoded.vendor_consents, decoded.vendor_consents_maximum) =
            VendorSet::read_with_maximum(&mut bits, Coding::Fixed)?;
        decoded.vendor_interests = VendorSet::read(&mut bits, Coding::Fixed)?;
        decoded.restrictions = restrictions(&mut bits, Coding::Fixed)?;
        bits.end()?;
        Ok(decoded)
    }

    /// Whether the framework lets anybody rely on it.
    pub fn check_valid(&self) -> Result<(), ConsentError> {
        if !self.is_service_specific {
            return Err(ConsentError::GlobalScope);
        }
        if self.header.created_at_ms >= DISCLOSED_SINCE_MS && self.disclosed.is_none() {
            return Err(ConsentError::NoDisclosedVendors);
        }
        Ok(())
    }
}

/// Deciseconds since 1970 in 36 bits, as Unix milliseconds.
fn moment(bits: &mut Bits<'_>) -> Result<i64, ConsentError> {
    i64::try_from(bits.number(36)? * 100).map_err(|_| ConsentError::Value)
}

/// `NumPubRestrictions` (12) and that many of purpose (6), kind (2) and vendors.
pub(crate) fn restrictions(
    bits: &mut Bits<'_>,
    coding: Coding,
) -> Result<Vec<Restriction>, ConsentError> {
    let count = bits.number(12)?;
    (0..count)
        .map(|_| {
            let (purpose, kind) = (bits.small(6)?, bits.small(2)?);
            let vendors = match coding {
                Coding::Fixed => VendorSet::read_ranges(bits, coding)?,
                Coding::Fibonacci => VendorSet::read(bits, coding)?,
            };
            Ok(Restriction { purpose, kind, vendors })
        })
        .collect()
}
