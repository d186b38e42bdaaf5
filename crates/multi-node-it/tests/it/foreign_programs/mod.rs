//! Tests with programs that have to be fetched: `make test-foreign` runs what has `foreign_programs::` in its name, `make test` the rest.

mod chat;
mod clustered;
mod conformance;
mod gateways;
mod joined;
mod jwt;
mod machines;
mod machines_chaos;
mod machines_costs;
mod permitted;
mod presence;
mod proxied;
mod remote_reload;
mod secured;
mod streams;
