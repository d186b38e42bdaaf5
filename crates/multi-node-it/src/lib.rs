//! Fixtures and harness.

pub mod browser;
