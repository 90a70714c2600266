//! The US Privacy string of IAB (CCPA), deprecated and still sent.

use crate::ConsentError;

/// One of its three letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Letter {
    /// `Y`.
    Yes,
    /// `N`.
    No,
    /// `-`: the law does not apply.
    NotApplicable,
}

/// A decoded string.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UsPrivacy {
    /// The specification's version, 1 to 9.
    pub version: u8,
    /// The visitor was told and could object.
    pub notice: Letter,
    /// The visitor objected to the sale of his data.
    pub opt_out_of_sale: Letter,
    /// It is a transaction under the limited service provider agreement.
    pub limited_agreement: Letter,
}

impl UsPrivacy {
    /// Reads a string of version 1.
    pub fn decode(text: &str) -> Result<Self, ConsentError> {
        let decoded = Self::decode_any(text)?;
        if decoded.version == 1 { Ok(decoded) } else { Err(ConsentError::Version) }
    }

    /// Reads a string of any version that has the form of version 1.
    pub fn decode_any(text: &str) -> Result<Self, ConsentError> {
        let bytes = text.as_bytes();
        let [version @ b'1'..=b'9', letters @ ..] = bytes else {
            return Err(if bytes.is_empty() { ConsentError::Empty } else { ConsentError::Version });
        };
        let [notice, sale, agreement] = letters else {
            let is_short = letters.len() < 3;
            return Err(if is_short { ConsentError::Truncated } else { ConsentError::Trailing });
        };
        let letter = |byte: &u8| match byte {
            b'Y' => Ok(Letter::Yes),
            b'N' => Ok(Letter::No),
            b'-' => Ok(Letter::NotApplicable),
            _ => Err(ConsentError::Value),
        };
        Ok(UsPrivacy {
            version: version - b'0',
            notice: letter(notice)?,
            opt_out_of_sale: letter(sale)?,
            limited_agreement: letter(agreement)?,
        })
    }
}
