//! Tests with programs that have to be fetched: `make test-foreign` runs what has `foreign_programs::` in its name, `make test` the rest.

mod chat;
mod conformance;
mod gateways;
mod joined;
mod machines;
mod machines_chaos;
mod presence;
mod proxied;
mod remote_reload;
