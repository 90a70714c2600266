//! What became of a hit: exactly one of these, counted, named, and shown.

/// The final verdict of one event of one hit. The one documented list (docs/outcomes.md).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// Stored; acknowledged after it was on disk.
    Accepted,
    /// A repetition of an event that is already stored.
    Duplicate,
    /// The visitor opted out of pixels, or was erased.
    DroppedOptedOut,
    /// The site's policy keeps nothing here (refusal or silence under `opt_in_strict`).
    DroppedPolicy,
    /// No pixel has this key.
    RejectedUnknownKey,
    /// The origin may not use this pixel.
    RejectedOrigin,
    /// It could not be read.
    RejectedMalformed,
    /// It has a top-level field that does not exist.
    RejectedUnknownField,
    /// The body, an id or a list is over its limit.
    RejectedTooLarge,
    /// The timestamp is more than seven days old.
    RejectedTooOld,
    /// The timestamp is more than five minutes ahead.
    RejectedInFuture,
    /// Too many hits from one place.
    RejectedRateLimited,
    /// The log is full or failing; nothing was kept.
    UnavailableLogFull,
    /// Too many requests at once; nothing was kept.
    UnavailableOverloaded,
    /// It told a choice and no event: its receipt is stored, if it is one to be proven, and nothing else.
    Consent,
}

impl Outcome {
    /// Every outcome, in order of its number.
    pub const ALL: [Outcome; 15] = [
        Outcome::Accepted,
        Outcome::Duplicate,
        Outcome::DroppedOptedOut,
        Outcome::DroppedPolicy,
        Outcome::RejectedUnknownKey,
        Outcome::RejectedOrigin,
        Outcome::RejectedMalformed,
        Outcome::RejectedUnknownField,
        Outcome::RejectedTooLarge,
        Outcome::RejectedTooOld,
        Outcome::RejectedInFuture,
        Outcome::RejectedRateLimited,
        Outcome::UnavailableLogFull,
        Outcome::UnavailableOverloaded,
        Outcome::Consent,
    ];

    /// The stable name: header `Cairn-Outcome`, counters, reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Duplicate => "duplicate",
            Outcome::DroppedOptedOut => "dropped:opted_out",
            Outcome::DroppedPolicy => "dropped:policy",
            Outcome::RejectedUnknownKey => "rejected:unknown_key",
            Outcome::RejectedOrigin => "rejected:origin",
            Outcome::RejectedMalformed => "rejected:malformed",
            Outcome::RejectedUnknownField => "rejected:unknown_field",
            Outcome::RejectedTooLarge => "rejected:too_large",
            Outcome::RejectedTooOld => "rejected:too_old",
            Outcome::RejectedInFuture => "rejected:in_future",
            Outcome::RejectedRateLimited => "rejected:rate_limited",
            Outcome::UnavailableLogFull => "unavailable:log_full",
            Outcome::UnavailableOverloaded => "unavailable:overloaded",
            Outcome::Consent => "consent",
        }
    }

    /// What it means, in one sentence for whoever sends hits.
    pub fn meaning(self) -> &'static str {
        match self {
            Outcome::Accepted => "The event is stored; it was acknowledged after it was on disk.",
            Outcome::Duplicate => "An event with this event_id is stored already.",
            Outcome::DroppedOptedOut => "The visitor opted out, or was erased; nothing was kept.",
            Outcome::DroppedPolicy => {
                "The site keeps nothing without consent, and there is none; nothing was kept."
            }
            Outcome::RejectedUnknownKey => "No pixel has this key.",
            Outcome::RejectedOrigin => {
                "The key may not be used from there, as a server's key in a browser or address."
            }
            Outcome::RejectedMalformed => "The event or the request could not be read.",
            Outcome::RejectedUnknownField => "The event has a field that does not exist.",
            Outcome::RejectedTooLarge => "The body, the head, an id or a list is over its limit.",
            Outcome::RejectedTooOld => "The event's timestamp is more than seven days old.",
            Outcome::RejectedInFuture => {
                "The event's timestamp is more than five minutes in the future."
            }
            Outcome::RejectedRateLimited => {
                "Too many hits came from one place with this key; send fewer, later."
            }
            Outcome::UnavailableLogFull => {
                "The disk is full or failing; nothing was kept, so send the event again later."
            }
            Outcome::UnavailableOverloaded => {
                "Too much came at once; nothing was kept, so send the event again later."
            }
            Outcome::Consent => {
                "The body told a choice and no event; the browser keeps it, and its receipt is stored."
            }
        }
    }

    /// The outcome of that name.
    pub fn from_name(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}
