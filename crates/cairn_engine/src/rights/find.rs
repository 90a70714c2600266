//! From an identifier to a subject: whose events, memory and names are meant, and by what each was found.
//!
//! Guarantees: a person is found with the browsers that are his alone; of a browser that names somebody else as well only the
//! events that name him are meant. A browser is found without the persons whom it names: an `identify` that nobody signed
//! gives no power over somebody, and an e-mail address that only a browser told means nobody. Only the people's entries that it alone made go with it. It does not know who may ask.

use cairn_catalog::{
    Catalog, CatalogError, ErasureReason, MemoryHolder, NewErasure, SubjectCounts,
};
use cairn_model::subject::{SUBJECT_USERS_MAX, SUBJECT_VISITORS_MAX};
use cairn_model::{SiteId, Subject, VisitorId};
use cairn_store::{EventStore, StoreError, SubjectSummary};

use crate::ingest::visitor::{CookieId, IdentityKeys};

/// What somebody may be asked for by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identifier {
    /// The owner's id of a person.
    UserId(String),
    /// An e-mail address: as the site itself told it of a person, or as a user id.
    Email(String),
    /// The value of a browser's cookie `cairn_id`.
    CairnId(CookieId),
    /// A visitor's number, as the API prints it.
    Visitor(VisitorId),
    /// An id that a sender made for a browser or device, or an import's own name of a visitor.
    AnonymousId(String),
    /// An order.
    OrderId(String),
}

/// How something was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lead {
    /// The identifier names it.
    Named,
    /// The site itself said that the e-mail address is the person's.
    ProvenEmail,
    /// Events that name the person came from the browser, and it names nobody else.
    BrowserOfPerson,
    /// The order's events name it.
    Order,
}

impl Lead {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Lead::Named => "named",
            Lead::ProvenEmail => "proven_email",
            Lead::BrowserOfPerson => "browser_of_person",
            Lead::Order => "order",
        }
    }
}

/// Somebody, as far as he was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// Whose events, visits, people's entries and mail choices.
    pub subject: Subject,
    /// By what each of the subject's visitors was found, in their order.
    pub visitor_leads: Vec<Lead>,
    /// By what each of the subject's users was found, in their order.
    pub user_leads: Vec<Lead>,
    /// Whose memory.
    pub holders: Vec<MemoryHolder>,
    /// Direct identifiers, by which kept answers are found.
    pub names: Vec<String>,
    /// Browsers that name others as well: of them only the events that name the subject's users are meant.
    pub shared: Vec<VisitorId>,
    /// User ids that claimed the e-mail address with nobody's word for it but a browser's: not the subject's, unless whoever
    /// looks asks for them by name.
    pub candidates: Vec<String>,
    /// There are more browsers or users than one look may have. An erasure of a person reaches all of his browsers nevertheless.
    pub is_cut: bool,
}

/// What is kept of a subject.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Kept {
    /// In the store.
    pub summary: SubjectSummary,
    /// In the catalog.
    pub counts: SubjectCounts,
}

/// Why nobody can be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What finding needs.
#[derive(Clone, Copy)]
pub struct Finder<'a> {
    /// The event store.
    pub store: &'a dyn EventStore,
    /// The catalog.
    pub catalog: &'a Catalog,
    /// The keys of the numbers.
    pub keys: &'a IdentityKeys,
    /// The site.
    pub site_id: SiteId,
}

impl Found {
    /// The erasure of all of it.
    pub fn erasure(&self, reason: ErasureReason, request_id: Option<i64>) -> NewErasure {
        NewErasure {
            subject: self.subject.clone(),
            holders: self.holders.clone(),
            reason,
            request_id,
            names: self.names.clone(),
        }
    }

    fn add_visitor(&mut self, visitor: VisitorId, lead: Lead) {
        if self.subject.visitors.contains(&visitor) {
            return;
        }
        if self.subject.visitors.len() == SUBJECT_VISITORS_MAX {
            self.is_cut = true;
            return;
        }
        self.subject.visitors.push(visitor);
        self.visitor_leads.push(lead);
    }

    fn add_user(&mut self, user_key: u64, lead: Lead) {
        if self.subject.users.contains(&user_key) {
            return;
        }
        if self.subject.users.len() == SUBJECT_USERS_MAX {
            self.is_cut = true;
            return;
        }
        self.subject.users.push(user_key);
        self.user_leads.push(lead);
    }

    fn add_entry(&mut self, user_key: u64) {
        if self.subject.entries.contains(&user_key) {
            return;
        }
        if self.subject.entries.len() == SUBJECT_USERS_MAX {
            self.is_cut = true;
            return;
        }
        self.subject.entries.push(user_key);
    }
}

impl Finder<'_> {
    /// Finds whom an identifier means; somebody of whom nothing is kept is found, too: an erasure keeps it so.
    pub fn find(&self, identifier: &Identifier) -> Result<Found, FindError> {
        let Finder { store, catalog, keys, site_id } = *self;
        let mut found =
            Found { subject: Subject { site_id, ..Subject::default() }, ..Found::default() };
        match identifier {
            Identifier::UserId(user_id) => {
                found.add_user(keys.of_user(site_id, user_id), Lead::Named);
                self.add_names(&mut found, user_id);
            }
            Identifier::Email(email) => {
                found.add_user(keys.of_user(site_id, email), Lead::Named);
                self.add_names(&mut found, email);
                for (user_key, _) in catalog.people_by_email(site_id, email)? {
                    found.add_user(user_key, Lead::ProvenEmail);
                }
                let claiming = catalog.people_claiming_email(site_id, email)?;
                found.candidates = claiming.into_iter().map(|(_, user_id)| user_id).collect();
            }
            Identifier::CairnId(cookie) => {
                self.add_browser(&mut found, keys.of_cookie(site_id, cookie), Lead::Named)?;
            }
            Identifier::Visitor(visitor) => self.add_browser(&mut found, *visitor, Lead::Named)?,
            Identifier::AnonymousId(name) => {
                let named = [keys.of_sender(site_id, name), keys.of_named_visitor(site_id, name)];
                for visitor in named {
                    self.add_browser(&mut found, visitor, Lead::Named)?;
                }
                found.names.push(name.clone());
            }
            Identifier::OrderId(order_id) => {
                let people = store.people_of_order(site_id, order_id, SUBJECT_VISITORS_MAX)?;
                for (visitor, user_key) in people {
                    match user_key {
                        0 => self.add_browser(&mut found, visitor, Lead::Order)?,
                        user_key => found.add_user(user_key, Lead::Order),
                    }
                }
                found.names.push(order_id.clone());
            }
        }
        let Subject { users, entries, .. } = &mut found.subject;
        entries.retain(|user_key| !users.contains(user_key));
        self.add_browsers_of_users(&mut found)?;
        self.add_people(&mut found)?;
        Ok(found)
    }

    /// What is kept of a subject now.
    pub fn kept(&self, found: &Found) -> Result<Kept, FindError> {
        Ok(Kept {
            summary: self.store.subject_summary(&found.subject)?,
            counts: self.catalog.subject_counts(&found.subject, &found.holders)?,
        })
    }

    /// A browser, and the people's entries that nothing else made.
    fn add_browser(
        &self,
        found: &mut Found,
        visitor: VisitorId,
        lead: Lead,
    ) -> Result<(), FindError> {
        found.add_visitor(visitor, lead);
        let most = SUBJECT_USERS_MAX + 1;
        let users = self.store.users_of_visitor(self.site_id, visitor, most)?;
        found.is_cut |= users.len() == most;
        for user_key in users.into_iter().take(SUBJECT_USERS_MAX) {
            let visitors = self.store.visitors_of_user(self.site_id, user_key, 2)?;
            let recipient = self.catalog.mail_recipient(self.site_id, user_key)?;
            if visitors == [visitor] && recipient.choices == Default::default() {
                found.add_entry(user_key);
            }
        }
        Ok(())
    }

    /// The browsers that name the found users and nobody else.
    fn add_browsers_of_users(&self, found: &mut Found) -> Result<(), FindError> {
        let most = SUBJECT_VISITORS_MAX + 1;
        let browsers = self.store.browsers_of_users(&found.subject, most)?;
        for visitor in browsers.alone {
            found.add_visitor(visitor, Lead::BrowserOfPerson);
        }
        found.is_cut |= browsers.shared.len() == most;
        found.shared = browsers.shared;
        found.shared.truncate(SUBJECT_VISITORS_MAX);
        Ok(())
    }

    /// The names and the memory of the found users, as far as they are known.
    fn add_people(&self, found: &mut Found) -> Result<(), FindError> {
        for user_key in found.subject.users.clone() {
            let person = self.catalog.person(self.site_id, user_key)?;
            let Some((user_id, _)) = person else { continue };
            found.names.push(self.catalog.proven_email(self.site_id, user_key)?);
            self.add_names(found, &user_id);
        }
        found.names.retain(|name| !name.is_empty());
        found.names.sort_unstable();
        found.names.dedup();
        Ok(())
    }

    fn add_names(&self, found: &mut Found, user_id: &str) {
        found.names.push(user_id.to_owned());
        let holder = MemoryHolder::Person(self.keys.of_remembered(self.site_id, user_id));
        if !found.holders.contains(&holder) {
            found.holders.push(holder);
        }
    }
}
