//! Whom an export or an erasure is about, in keyed numbers only.
//!
//! It does not know how the numbers were found, nor any direct identifier.

use serde::{Deserialize, Serialize};

use crate::ids::{SiteId, VisitorId};

/// Browsers and devices of one subject.
pub const SUBJECT_VISITORS_MAX: usize = 1_000;
/// User keys of one subject.
pub const SUBJECT_USERS_MAX: usize = 100;

/// The events of some browsers and of some users on one site.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Subject {
    /// The site.
    pub site_id: SiteId,
    /// Browsers and devices that are theirs alone: every event of these is meant.
    pub visitors: Vec<VisitorId>,
    /// Keyed hashes of their user ids: every event that names one of them is meant, whichever browser sent it.
    pub users: Vec<u64>,
    /// Keyed hashes of user ids that their browsers alone said, unsigned: only what the site keeps of these people goes, as it
    /// was when it was asked for. No event is meant by them, and nobody is blocked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<u64>,
}

impl Subject {
    /// Whether an event of this site, visitor and user (0 = none) is theirs.
    pub fn names(&self, site_id: SiteId, visitor: VisitorId, user_key: u64) -> bool {
        self.site_id == site_id
            && (self.visitors.contains(&visitor)
                || (user_key != 0 && self.users.contains(&user_key)))
    }

    /// Several subjects of one site as one; of none, nobody.
    pub fn union<'a>(subjects: impl IntoIterator<Item = &'a Subject>) -> Subject {
        let mut union = Subject::default();
        for subject in subjects {
            union.site_id = subject.site_id;
            union.visitors.extend(&subject.visitors);
            union.users.extend(&subject.users);
            union.entries.extend(&subject.entries);
        }
        union.visitors.sort_unstable();
        union.visitors.dedup();
        for numbers in [&mut union.users, &mut union.entries] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        union
    }

    /// Nobody.
    pub fn is_empty(&self) -> bool {
        self.visitors.is_empty() && self.users.is_empty() && self.entries.is_empty()
    }

    /// The numbers that are on record from the erasure on, so that nothing new of them is kept.
    pub fn identifiers(&self) -> impl Iterator<Item = u64> {
        let visitors = self.visitors.iter().map(|visitor| visitor.0);
        visitors.chain(self.users.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_theirs_by_browser_or_by_user() {
        let (visitors, users) = (vec![VisitorId(5)], vec![9]);
        let subject = Subject { site_id: SiteId(1), visitors, users, entries: vec![7] };
        assert!(subject.names(SiteId(1), VisitorId(5), 0));
        assert!(subject.names(SiteId(1), VisitorId(6), 9));
        assert!(!subject.names(SiteId(1), VisitorId(6), 0), "no user is nobody");
        assert!(!subject.names(SiteId(2), VisitorId(5), 9), "numbers mean nothing elsewhere");
        assert!(!subject.names(SiteId(1), VisitorId(6), 7), "who was only named owns no event");
        assert!(subject.identifiers().eq([5, 9]), "and is not blocked");
        let other = Subject { visitors: vec![VisitorId(4), VisitorId(5)], ..subject.clone() };
        let both = Subject::union([&subject, &other]);
        assert_eq!(both, Subject { visitors: vec![VisitorId(4), VisitorId(5)], ..subject });
    }
}
