//! The rights of visitors: who is meant by an identifier, and what is kept of him.

pub mod find;

#[cfg(test)]
mod tests;
