//! GPP sections 7 to 27: the United States, as a whole and by state.
//!
//! Guarantees: each section is read by its layout, the table [`LAYOUTS`]; a value is the number that
//! stands there, whatever it means. Source: the sections' specifications in IAB Tech Lab's
//! Global-Privacy-Platform of 2025-12-17.

use crate::ConsentError;
use crate::bits::Bits;

/// A field; all but the version are two bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Field {
    /// The visitor was told of the processing.
    ProcessingNotice,
    /// The visitor was told of the sharing.
    SharingNotice,
    /// He was told how to object to the sale.
    SaleOptOutNotice,
    /// He was told how to object to the sharing.
    SharingOptOutNotice,
    /// He was told how to object to targeted advertising.
    TargetedAdvertisingOptOutNotice,
    /// He was told how to object to the processing of sensitive data.
    SensitiveDataProcessingOptOutNotice,
    /// The same as Iowa names it.
    SensitiveDataOptOutNotice,
    /// He was told how to limit the use of sensitive data.
    SensitiveDataLimitUseNotice,
    /// He objected to the sale of his data.
    SaleOptOut,
    /// He objected to the sharing of his data.
    SharingOptOut,
    /// He objected to targeted advertising.
    TargetedAdvertisingOptOut,
    /// By category of sensitive data.
    SensitiveDataProcessing,
    /// By age group or purpose: consent for a child that is known to be one.
    KnownChildSensitiveDataConsents,
    /// Consent to uses that do not fit the purposes told.
    PersonalDataConsents,
    /// The same as the states name it.
    AdditionalDataProcessingConsent,
    /// It is a transaction under IAB's Multi-State Privacy Agreement.
    MspaCoveredTransaction,
    /// That agreement's opt-out option mode.
    MspaOptOutOptionMode,
    /// That agreement's service provider mode.
    MspaServiceProviderMode,
    /// The two modes as one field.
    MspaMode,
}

impl Field {
    /// The specification's name.
    pub fn name(self) -> &'static str {
        match self {
            Field::ProcessingNotice => "ProcessingNotice",
            Field::SharingNotice => "SharingNotice",
            Field::SaleOptOutNotice => "SaleOptOutNotice",
            Field::SharingOptOutNotice => "SharingOptOutNotice",
            Field::TargetedAdvertisingOptOutNotice => "TargetedAdvertisingOptOutNotice",
            Field::SensitiveDataProcessingOptOutNotice => "SensitiveDataProcessingOptOutNotice",
            Field::SensitiveDataOptOutNotice => "SensitiveDataOptOutNotice",
            Field::SensitiveDataLimitUseNotice => "SensitiveDataLimitUseNotice",
            Field::SaleOptOut => "SaleOptOut",
            Field::SharingOptOut => "SharingOptOut",
            Field::TargetedAdvertisingOptOut => "TargetedAdvertisingOptOut",
            Field::SensitiveDataProcessing => "SensitiveDataProcessing",
            Field::KnownChildSensitiveDataConsents => "KnownChildSensitiveDataConsents",
            Field::PersonalDataConsents => "PersonalDataConsents",
            Field::AdditionalDataProcessingConsent => "AdditionalDataProcessingConsent",
            Field::MspaCoveredTransaction => "MspaCoveredTransaction",
            Field::MspaOptOutOptionMode => "MspaOptOutOptionMode",
            Field::MspaServiceProviderMode => "MspaServiceProviderMode",
            Field::MspaMode => "MspaMode",
        }
    }
}

/// What stands behind the core, after a dot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Second {
    /// Nothing.
    None,
    /// Whether the browser showed Global Privacy Control.
    Gpc,
    /// Eight categories of sensitive data.
    Sensitive,
}

/// Fields of a core in their order: agreement, notices, objections, sensitive data, children, other
/// consent, agreement.
#[derive(Debug)]
struct Layout {
    id: u16,
    name: &'static str,
    versions: std::ops::RangeInclusive<u8>,
    before: &'static [Field],
    notices: &'static [Field],
    objections: &'static [Field],
    /// Categories of sensitive data in the core.
    sensitive: u8,
    /// Groups of known children.
    children: u8,
    after: &'static [Field],
    second: Second,
}

const NAT_NOTICES: &[Field] = &[
    Field::SharingNotice,
    Field::SaleOptOutNotice,
    Field::SharingOptOutNotice,
    Field::TargetedAdvertisingOptOutNotice,
    Field::SensitiveDataProcessingOptOutNotice,
    Field::SensitiveDataLimitUseNotice,
];
const CA_NOTICES: &[Field] =
    &[Field::SaleOptOutNotice, Field::SharingOptOutNotice, Field::SensitiveDataLimitUseNotice];
const SHARING: &[Field] =
    &[Field::SharingNotice, Field::SaleOptOutNotice, Field::TargetedAdvertisingOptOutNotice];
const PROCESSING: &[Field] =
    &[Field::ProcessingNotice, Field::SaleOptOutNotice, Field::TargetedAdvertisingOptOutNotice];
const UT_NOTICES: &[Field] = &[
    Field::SharingNotice,
    Field::SaleOptOutNotice,
    Field::TargetedAdvertisingOptOutNotice,
    Field::SensitiveDataProcessingOptOutNotice,
];
const IA_NOTICES: &[Field] = &[
    Field::ProcessingNotice,
    Field::SaleOptOutNotice,
    Field::TargetedAdvertisingOptOutNotice,
    Field::SensitiveDataOptOutNotice,
];
const NAT_OBJECTIONS: &[Field] =
    &[Field::SaleOptOut, Field::SharingOptOut, Field::TargetedAdvertisingOptOut];
const CA_OBJECTIONS: &[Field] = &[Field::SaleOptOut, Field::SharingOptOut];
const OBJECTIONS: &[Field] = &[Field::SaleOptOut, Field::TargetedAdvertisingOptOut];
const MSPA: &[Field] =
    &[Field::MspaCoveredTransaction, Field::MspaOptOutOptionMode, Field::MspaServiceProviderMode];
const NAT_AFTER: &[Field] = &[
    Field::PersonalDataConsents,
    Field::MspaCoveredTransaction,
    Field::MspaOptOutOptionMode,
    Field::MspaServiceProviderMode,
];
const OTHER_AND_MSPA: &[Field] = &[
    Field::AdditionalDataProcessingConsent,
    Field::MspaCoveredTransaction,
    Field::MspaOptOutOptionMode,
    Field::MspaServiceProviderMode,
];
const MSPA_FIRST: &[Field] = &[Field::MspaCoveredTransaction, Field::MspaMode];
const OTHER: &[Field] = &[Field::AdditionalDataProcessingConsent];

/// A state's section of the common form.
const fn state(
    id: u16,
    name: &'static str,
    notices: &'static [Field],
    (sensitive, children): (u8, u8),
    after: &'static [Field],
    second: Second,
) -> Layout {
    let (before, objections): (&[Field], _) = (&[], OBJECTIONS);
    let versions = 1..=1;
    Layout { id, name, versions, before, notices, objections, sensitive, children, after, second }
}

/// A section of the form since 2025, which begins with the agreement.
const fn mspa_first(id: u16, name: &'static str, children: u8, second: Second) -> Layout {
    let layout = state(id, name, PROCESSING, (0, children), OTHER, second);
    Layout { before: MSPA_FIRST, ..layout }
}

/// The sections by their number. California's and the national one have objections of their own.
const LAYOUTS: [Layout; 21] = [
    Layout {
        versions: 1..=2,
        objections: NAT_OBJECTIONS,
        ..state(7, "usnat", NAT_NOTICES, (16, 3), NAT_AFTER, Second::Gpc)
    },
    Layout {
        objections: CA_OBJECTIONS,
        ..state(8, "usca", CA_NOTICES, (9, 2), NAT_AFTER, Second::Gpc)
    },
    state(9, "usva", SHARING, (8, 1), MSPA, Second::None),
    state(10, "usco", SHARING, (7, 1), MSPA, Second::Gpc),
    state(11, "usut", UT_NOTICES, (8, 1), MSPA, Second::None),
    state(12, "usct", SHARING, (8, 3), MSPA, Second::Gpc),
    state(13, "usfl", PROCESSING, (8, 3), OTHER_AND_MSPA, Second::None),
    state(14, "usmt", SHARING, (8, 3), OTHER_AND_MSPA, Second::Gpc),
    state(15, "usor", PROCESSING, (11, 3), OTHER_AND_MSPA, Second::Gpc),
    state(16, "ustx", PROCESSING, (8, 1), OTHER_AND_MSPA, Second::Gpc),
    state(17, "usde", PROCESSING, (9, 5), OTHER_AND_MSPA, Second::Gpc),
    state(18, "usia", IA_NOTICES, (8, 1), MSPA, Second::Gpc),
    state(19, "usne", PROCESSING, (8, 1), OTHER_AND_MSPA, Second::Gpc),
    state(20, "usnh", PROCESSING, (8, 3), OTHER_AND_MSPA, Second::Gpc),
    state(21, "usnj", PROCESSING, (10, 5), OTHER_AND_MSPA, Second::Gpc),
    state(22, "ustn", PROCESSING, (8, 1), OTHER_AND_MSPA, Second::Gpc),
    state(23, "usmn", PROCESSING, (8, 1), OTHER_AND_MSPA, Second::Gpc),
    mspa_first(24, "usmd", 0, Second::Gpc),
    mspa_first(25, "usin", 1, Second::Sensitive),
    mspa_first(26, "usky", 1, Second::Sensitive),
    mspa_first(27, "usri", 1, Second::Sensitive),
];

/// Bits of the version, the first field.
const VERSION_BITS: usize = 6;
/// Bits of all other fields.
const FIELD_BITS: usize = 2;
/// Categories of sensitive data and groups of children of the national section before 2024.
const NAT_BEFORE_2024: (u8, u8) = (12, 2);
/// Bits of the national section's core since then.
const NAT_BITS: usize = 70;

/// Fields of the largest section.
const FIELDS_MAX: usize = 16;
/// Values of the largest section.
const VALUES_MAX: usize = 32;

/// A decoded section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsSection {
    /// Its number in GPP.
    pub id: u16,
    /// Its name in GPP.
    pub name: &'static str,
    /// Its version, or that of the agreement where the section begins with it.
    pub version: u8,
    /// Whether the browser showed Global Privacy Control; `None` = not told.
    pub gpc: Option<bool>,
    /// The fields in their order, with the number of their values.
    fields: Vec<(Field, u8)>,
    values: Vec<u8>,
}

impl UsSection {
    /// Whether a section of this number is one of the United States.
    pub fn is_known(id: u16) -> bool {
        LAYOUTS.iter().any(|layout| layout.id == id)
    }

    /// Reads a section's text.
    pub fn decode(id: u16, text: &str) -> Result<Self, ConsentError> {
        let layout = LAYOUTS.iter().find(|layout| layout.id == id);
        let layout = layout.ok_or(ConsentError::UnknownSection)?;
        let mut segments = text.split('.');
        let mut section = layout.core(segments.next().unwrap_or(""))?;
        if let Some(second) = segments.next() {
            layout.second(second, &mut section)?;
        }
        match segments.next() {
            None => Ok(section),
            Some(_) => Err(ConsentError::Segment),
        }
    }

    /// A field's values: one, or one for each category or group; none = the section has it not.
    pub fn values(&self, field: Field) -> &[u8] {
        self.fields().find(|(known, _)| *known == field).map_or(&[], |(_, values)| values)
    }

    /// All fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (Field, &[u8])> {
        let mut rest = self.values.as_slice();
        self.fields.iter().map(move |(field, count)| {
            let (values, behind) = rest.split_at(usize::from(*count));
            rest = behind;
            (*field, values)
        })
    }

    fn read(&mut self, field: Field, count: u8, bits: &mut Bits<'_>) -> Result<(), ConsentError> {
        for _ in 0..count {
            self.values.push(bits.small(FIELD_BITS)?);
        }
        self.fields.push((field, count));
        Ok(())
    }
}

impl Layout {
    fn core(&self, text: &str) -> Result<UsSection, ConsentError> {
        let mut bits = Bits::new(text)?;
        let version = bits.small(VERSION_BITS)?;
        if !self.versions.contains(&version) {
            return Err(ConsentError::Version);
        }
        // Both forms are sent with both versions; their sizes never meet.
        let (sensitive, children) = match self.name {
            "usnat" if bits.size() < NAT_BITS => NAT_BEFORE_2024,
            _ => (self.sensitive, self.children),
        };
        let one = |fields: &'static [Field]| fields.iter().map(|field| (*field, 1));
        let fields = one(self.before)
            .chain(one(self.notices))
            .chain(one(self.objections))
            .chain([(Field::SensitiveDataProcessing, sensitive)])
            .chain([(Field::KnownChildSensitiveDataConsents, children)])
            .chain(one(self.after));
        let (id, name, gpc) = (self.id, self.name, None);
        let (named, values) = (Vec::with_capacity(FIELDS_MAX), Vec::with_capacity(VALUES_MAX));
        let mut section = UsSection { id, name, version, gpc, fields: named, values };
        for (field, count) in fields.filter(|(_, count)| *count > 0) {
            section.read(field, count, &mut bits)?;
        }
        bits.end()?;
        Ok(section)
    }

    fn second(&self, text: &str, section: &mut UsSection) -> Result<(), ConsentError> {
        let mut bits = Bits::new(text)?;
        match self.second {
            Second::None => return Err(ConsentError::Segment),
            Second::Gpc => {
                if bits.small(2)? != 1 {
                    return Err(ConsentError::Segment);
                }
                section.gpc = Some(bits.bit()?);
            }
            Second::Sensitive => {
                section.read(Field::SensitiveDataProcessing, 8, &mut bits)?;
            }
        }
        bits.end()
    }
}
