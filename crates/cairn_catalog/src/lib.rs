//! Transactional state in SQLite: settings, accounts, people, outcomes of refused hits.
