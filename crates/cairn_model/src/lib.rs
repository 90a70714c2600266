//! The vocabulary: ids, event, consent, outcome, question, answer, limits. No I/O, no clock, no randomness.
