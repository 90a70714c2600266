//! Why an event was not taken, said so that its sender can mend it.
//!
//! Guarantees: every rejection carries one documented [`Outcome`]. The texts name fields and limits,
//! never a value that was sent.

use std::borrow::Cow;

use cairn_model::Outcome;

/// Bytes of a sender's own field name that are repeated to him.
const FIELD_NAME_SHOWN_BYTES_MAX: usize = 64;

/// One refused event, or one refused request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {message}", .outcome.name())]
pub struct Rejection {
    /// The outcome that is counted.
    pub outcome: Outcome,
    /// The field at fault, as the sender wrote it; empty = none in particular.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub message: Cow<'static, str>,
}

impl Rejection {
    /// A rejection that concerns the request as a whole.
    pub fn new(outcome: Outcome, message: impl Into<Cow<'static, str>>) -> Self {
        Rejection { outcome, field: Cow::Borrowed(""), message: message.into() }
    }

    /// The field cannot be read or makes no sense.
    pub fn malformed(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Rejection {
            outcome: Outcome::RejectedMalformed,
            field: Cow::Borrowed(field),
            message: message.into(),
        }
    }

    /// The field is over its limit.
    pub fn too_large(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Rejection {
            outcome: Outcome::RejectedTooLarge,
            field: Cow::Borrowed(field),
            message: message.into(),
        }
    }

    /// No such field exists.
    pub fn unknown_field(name: &str) -> Self {
        Rejection {
            outcome: Outcome::RejectedUnknownField,
            field: Cow::Owned(shown(name)),
            message: Cow::Borrowed("no such field; put your own in props"),
        }
    }

    /// The same with the name that the sender calls the field by.
    pub fn named(mut self, name: &str) -> Self {
        self.field = Cow::Owned(shown(name));
        self
    }

    /// The same with the sender's own name for the field (`props.plan`, `items.price`).
    pub fn at(mut self, list: &str, name: &str) -> Self {
        self.field = Cow::Owned(format!("{list}.{}", shown(name)));
        self
    }
}

fn shown(name: &str) -> String {
    super::text::cut(name, FIELD_NAME_SHOWN_BYTES_MAX).to_owned()
}
