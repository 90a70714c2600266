//! Why something did not go out.

/// Why a request or mail was not delivered. No variant holds anything of address, body or credential.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The target may not be asked; asking again changes nothing.
    #[error("the target is refused: {reason}")]
    Refused {
        /// Why.
        reason: &'static str,
    },
    /// The target could not be reached, or broke off.
    #[error("the target is unavailable: {step}")]
    Unavailable {
        /// What did not work.
        step: &'static str,
    },
    /// The answer is larger than what is taken.
    #[error("the answer is larger than {size_bytes_max} bytes")]
    TooLarge {
        /// The bound, bytes.
        size_bytes_max: usize,
    },
    /// The target did not answer in time.
    #[error("the target is too slow")]
    TooSlow,
    /// A mail server said that it will never take this.
    #[error("the mail server refused: {status}")]
    MailRefused {
        /// The code of its answer, as 550.
        status: u16,
    },
}

impl OutgoingError {
    /// Whether the same may work later.
    pub fn is_worth_repeating(&self) -> bool {
        !matches!(self, OutgoingError::Refused { .. } | OutgoingError::MailRefused { .. })
    }
}

pub(crate) fn refused(reason: &'static str) -> OutgoingError {
    OutgoingError::Refused { reason }
}

pub(crate) fn unavailable(step: &'static str) -> OutgoingError {
    OutgoingError::Unavailable { step }
}
