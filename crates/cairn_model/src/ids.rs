//! Distinct types for distinct numbers, so that one cannot be handed in for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

number_id!(
    /// A site. The API writes it as a decimal string; drawn at random once, so numbers tell nothing about other tenants.
    SiteId(u32)
);
number_id!(
    /// A pixel's internal number (its public name is the key).
    PixelId(u32)
);
number_id!(
    /// A browser or device on one site: a keyed hash, different on every site.
    VisitorId(u64)
);
