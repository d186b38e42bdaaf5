//! Internal to multi-node, without semver promises: the gateway that joins the topics of several machines over NATS.
//!
//! ```text
//! run         the gateway's loop: what happens → what the rules say → done
//! connection  the client of NATS            join     which servers, and what is allowed        machine   who this is
//! server      an address of one             name     of machines and clusters
//! gateway     the rules, pure: who wants what, what is passed on, which numbers were reached, which machines there are
//! requests    questions to processes of other machines, and what this machine answers
//! store       sessions and leases, in JetStream's key-value buckets
//! frame       the bytes between machines        subject   under which names        trouble   what does not work
//! ```
//!
//! Without the feature `client` there are the settings and the questions of processes, and no gateway: that is another program then.
//!
//! A gateway (`run`) is one more process of the bus (`multi_node_bus::Bus`). At NATS it subscribes to a topic while a process of its machine does. It
//! subscribes at the processes of its machine to a topic while another machine wants it. So each message crosses the network once for
//! each machine that wants it, and not at all where none does.
//!
//! Nobody relies on NATS for completeness: it drops messages for slow clients and at each reconnection. Every message has the number that
//! its publisher gave it, and gateways repeat the numbers that were reached (places). The process where messages arrive
//! compares them (`multi_node_bus::Sequences`), so a loss shows as `Lagged` wherever it happened, that of a killed gateway too.

#[cfg(feature = "client")]
mod connection;
#[cfg(feature = "client")]
mod frame;
#[cfg(feature = "client")]
mod gateway;
mod join;
#[cfg(feature = "client")]
mod machine;
mod name;
#[cfg(feature = "client")]
mod requests;
#[cfg(feature = "client")]
mod run;
mod server;
mod store;
#[cfg(feature = "client")]
mod subject;
#[cfg(feature = "client")]
mod trouble;

pub use join::{Join, JoinError};
#[cfg(feature = "client")]
pub use machine::Machine;
#[cfg(feature = "client")]
pub use run::{FromMaster, Seen, run};
pub use store::{Asked, LEASES, LeaseAnswer, LeaseAsk, LeaseAsked, SESSIONS, SessionAnswer, SessionAsk};
