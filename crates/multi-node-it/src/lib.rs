//! Fixtures and harness.
