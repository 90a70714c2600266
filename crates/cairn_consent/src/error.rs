//! Why a string is refused. A refused string counts as *no*.

use std::fmt;

/// Why a string is refused. No variant holds any of the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConsentError {
    /// Nothing where a string or one of its segments should be.
    Empty,
    /// Longer than [`crate::STRING_SIZE_BYTES_MAX`].
    TooLong,
    /// A character that is not of base64url.
    Character,
    /// A version or type that is not understood.
    Version,
    /// It ends before its fields do.
    Truncated,
    /// Something stands behind its fields.
    Trailing,
    /// A segment of an unknown kind, or one that is there twice.
    Segment,
    /// A list of ids that runs backwards, over its end or holds the id 0.
    Range,
    /// A field holds what it cannot hold.
    Value,
    /// The header names other sections than there are.
    Sections,
    /// A section that applies is of a law that is not known here.
    UnknownSection,
    /// The list of sections that apply cannot be read.
    Applicable,
    /// A TC string of global scope, which ended on 2021-09-01 (TCF Policies).
    GlobalScope,
    /// A TC string since 2026-02-28 without its DisclosedVendors (TCF 2.3).
    NoDisclosedVendors,
    /// European law applies, it is said, and no choice came along.
    Missing,
}

impl ConsentError {
    /// The same in words, for whoever sent the string.
    pub fn message(self) -> &'static str {
        match self {
            ConsentError::Empty => "a consent string or a part of it is empty; it counts as no",
            ConsentError::TooLong => "a consent string is longer than 8 KiB; it counts as no",
            ConsentError::Character => {
                "a consent string has a character outside of base64url; it counts as no"
            }
            ConsentError::Version => {
                "a consent string is of a version or type that is not understood; it counts as no"
            }
            ConsentError::Truncated => "a consent string is cut off; it counts as no",
            ConsentError::Trailing => {
                "a consent string goes on behind its last field; it counts as no"
            }
            ConsentError::Segment => {
                "a consent string has an unknown or a repeated segment; it counts as no"
            }
            ConsentError::Range => {
                "a consent string has an impossible list of ids; it counts as no"
            }
            ConsentError::Value => "a consent string has an impossible value; it counts as no",
            ConsentError::Sections => {
                "a GPP string has not the sections that its header names; it counts as no"
            }
            ConsentError::UnknownSection => {
                "a GPP section that applies is not known; it counts as no"
            }
            ConsentError::Applicable => {
                "gpp_sid is not a list of section numbers; the GPP string counts as no"
            }
            ConsentError::GlobalScope => {
                "a TC string is not specific to a service; it counts as no"
            }
            ConsentError::NoDisclosedVendors => {
                "a TC string since 2026-02-28 does not name the vendors disclosed; it counts as no"
            }
            ConsentError::Missing => {
                "consent is needed and no consent string came along; it counts as no"
            }
        }
    }
}

impl fmt::Display for ConsentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for ConsentError {}
