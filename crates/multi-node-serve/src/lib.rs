//! Internal to multi-node, without semver promises: one process answering; it accepts in turn with its siblings, serves, and drains.
//!
//! Nothing here knows of masters, control channels or the mesh. Where a process stands among others comes in as a
//! [`Place`]: its line of the load table and the wake-up that all share. What a program gives to its handlers is a [`Context`] that
//! nothing here looks into.

// What only several processes need stands by in the single-process build, so that each file is the same on every system; and what only
// HTTP needs without it.
#![cfg_attr(not(all(multi_process, feature = "http")), allow(dead_code, unused_imports))]

#[cfg(multi_process)]
mod accept_control;
#[cfg(multi_process)]
mod acceptor;
mod affinity;
mod boxed;
#[cfg_attr(not(multi_process), path = "no_busy_handoff.rs")]
mod busy_handoff;
mod conn_info;
mod conn_limit;
mod crowd;
mod drain;
#[cfg(unix)]
mod external;
mod gate;
mod handoff_receiver;
#[cfg(feature = "http")]
mod http;
mod idle_conn;
#[cfg(multi_process)]
mod idle_park;
mod lingering_close;
mod listener;
mod load;
mod owners;
#[cfg(multi_process)]
mod resting_conns;
mod server;
mod serving;
mod socket;
mod stream;
mod terminator;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
#[cfg(multi_process)]
mod unread_heads;

#[cfg(multi_process)]
pub use accept_control::{AcceptControl, pulse};
#[cfg(multi_process)]
pub use acceptor::{wake, wake_fd};
pub use affinity::{Affinity, Key, slot_of};
pub use boxed::BoxError;
pub use busy_handoff::BusyHandoff;
#[cfg(multi_process)]
pub use busy_handoff::{ClaimedConn, RuntimeWatch, Seen};
pub use conn_info::ConnInfo;
pub use drain::Drain;
pub use drain::DrainSignal;
#[cfg(unix)]
pub use external::{AcceptedConn, ConnGuard, ConnHandoff, External, ExternalAcceptor, Requests, external};
#[cfg(multi_process)]
pub use handoff_receiver::{HandoffReceiver, Reserved};
#[cfg(feature = "http")]
pub use http::{Http, Http2Executor, HttpBuilder, RequestBody, RequestBodyError, http, http_with};
#[cfg(multi_process)]
pub use idle_conn::IdleConn;
pub use listener::Listener;
pub use load::{Counts, Faults, Line, LoadTable};
pub use owners::{MoveCounts, Mover, Owner, Owners};
#[cfg(multi_process)]
pub use resting_conns::RestingConns;
#[cfg(test)]
pub(crate) use server::Here;
pub use server::{Conn, Context, Raw, Servers, Tcp, raw, tcp, tcp_with};
#[cfg(multi_process)]
pub use serving::DrainReport;
pub use serving::{Place, Serving, start, start_after};
pub use socket::Addr;
pub use socket::Socket;
pub use stream::Stream;
pub use terminator::Terminator;
#[cfg(multi_process)]
pub use unread_heads::{NewConn, key_of};
