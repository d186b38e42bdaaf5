//! The base of the real-process tests: a server program that misbehaves on command ([`plan`], `src/bin/fixture.rs`), and
//! a harness that starts it, talks to it and watches what it leaves behind ([`Program`]); for pages a headless Chromium
//! ([`browser`]).

#![allow(missing_docs, missing_debug_implementations, clippy::missing_panics_doc)]

pub mod audit;
pub mod browser;
pub mod bus;
pub mod client;
pub mod example;
pub mod execution_log;
pub mod flood;
pub mod frames;
pub mod held;
pub mod hostile;
pub mod in_flight;
pub mod joined;
pub mod leads;
pub mod limits;
pub mod load;
pub mod machine;
pub mod nats;
pub mod needs;
pub mod old_node;
pub mod plan;
pub mod port;
pub mod presence;
pub mod procfs;
pub mod program;
pub mod proxy;
pub mod routes;
pub mod streams;

pub use client::{Answer, Client, get};
pub use example::Example;
pub use flood::Flood;
pub use load::Load;
pub use plan::{Fault, HttpPlan, Plan, Streams};
pub use program::{Program, from_env, send, send_with_group, within};
