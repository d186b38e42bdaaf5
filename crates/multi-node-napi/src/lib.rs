//! The Node.js package `multi-node`: what its JavaScript (`js/`) needs of the library.
//!
//! No logic of serving or supervising is here. The library runs in a thread of its own, with its own runtime ([`thread`]);
//! JavaScript asks, on its own thread, for what there is: connections of a [`multi_node::embed::ExternalAcceptor`] and [`event`]s. Both are polled
//! as futures are, and their waker calls JavaScript ([`wake`]); for connections the event loop waits itself ([`event_loop`]). So nothing queues up beyond the library's own bounded queues,
//! a blocked event loop gets no connections, and no byte of a stream passes through here.
//!
//! A descriptor has one owner at any time: an `OwnedFd` here, until [`descriptor`] gives it to JavaScript, which closes it.

// Node-API is C. The macros make unsafe code, and so do `descriptor`, `event_loop` and `service`, which say why that is sound.
#![allow(unsafe_code)]
// The macros use these types in ways that the lints do not see; fields have the names that `index.d.ts` explains.
#![allow(missing_docs, missing_debug_implementations)]

mod batch;
mod calls;
pub mod certificate;
mod descriptor;
mod event;
mod event_loop;
mod failure;
mod handshaker;
mod joined_sessions;
mod leader;
mod limits;
mod machines;
mod measure;
mod options;
mod remote;
mod resting;
mod service;
pub mod session;
mod status;
mod thread;
mod tls;
mod topics;
mod wake;

use napi_derive::napi;

/// Determines what this process is, and takes standard input over in a node, before any JavaScript reads it.
#[napi]
pub fn claim_role() -> napi::Result<bool> {
    let role = multi_node::embed::claim_role().map_err(|error| napi::Error::from_reason(error.to_string()))?;
    Ok(role == multi_node::Role::Node)
}
