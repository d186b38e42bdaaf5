//! One process answering.
