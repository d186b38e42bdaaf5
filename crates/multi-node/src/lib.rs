//! One server program, run as several processes that serve one address.
//!
//! [`listen`] makes the process that called it the *master*, which binds the addresses and starts *nodes* (worker processes):
//! this same program again, which serves once it reaches `listen` itself. The master replaces nodes that crash or hang. A
//! reload replaces all, one by one, and their idle HTTP/1 connections continue in the new ones. Every process has a stream to
//! every other.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use multi_node::{Error, Handle, Options, http_with, listen};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Error> {
//!     // Code before `listen` runs in every process. The closure runs only in processes that serve.
//!     let app = |node: Handle| async move {
//!         Ok::<_, Error>(Router::new().route("/", get(async move || format!("hello from {}\n", node.id()))))
//!     };
//!     let nodes = listen(Options::new().port(8080).nodes(4), http_with(app)).await?;
//!     nodes.closed().await // until the last request has been answered
//! }
//! ```
//!
//! | you want to | see |
//! |---|---|
//! | say where, by how many nodes, and within which limits | [`Options`] |
//! | serve HTTP, bytes, or by a server that accepts connections itself; several at once | [`http()`], [`tcp`], [`raw`], [`servers`] |
//! | make pools and the like in processes that serve only | [`http_with`], [`tcp_with`] |
//! | know this process, see all of them, give commands | [`Handle`], [`status`], [`commands`] |
//! | send messages to the other processes | [`Handle::topic`], [`Handle::request`], [`bus`]; below them [`mesh`] |
//! | limit and count for all processes together | [`Handle::limit`], [`Handle::counter`], [`limits`] |
//! | do a job in one process only | [`Handle::leader`], [`lease`] |
//! | serve HTTPS | [`tls`] |
//! | share sessions | [`sessions`] |
//! | end well | [`Nodes`], [`Handle::closed`], [`Handle::draining`] |
//! | tell master from node before `listen` | [`role`] |
//! | steer a program from another one | [`admin`] |
//! | deploy, share state, end long connections, and test well | [`guide`] |
//!
//! # Features
//!
//! `http`, on by default: [`http()`] and all that goes with it, by hyper. Without it programs serve by [`tcp`] and [`raw`].
//!
//! `admin`, on by default: the control socket ([`Options::control`]), and [`Options::metrics`]. It needs `http`. Without it no socket is
//! opened under the program's name, so the command `multi-node` cannot reach the program, and signals steer it.
//!
//! `upgrade`, on by default: [`Handle::upgrade`]. Without it that fails, and the program is smaller.
//!
//! `axum`: [`Listener`] implements axum's listener, and each request has axum's `ConnectInfo<SocketAddr>`. An axum `Router` is served
//! without it too.
//!
//! `metrics`: the master exports what the program measures by the `metrics` facade, see [`Options::metrics`] and
//! [`Options::aggregate_gauge`].
//!
//! `embed`: for bindings to other languages, see [`embed`].
//!
//! `tls`: HTTPS by the program itself, see [`tls`]. All nodes resume each other's sessions, and certificates are replaced without a
//! restart.
//!
//! `nats`: topics, requests, sessions and leases across machines, see [`Options::join`]. `join` is the same without the gateway, for programs whose
//! gateway is another program.
//!
//! # Systems
//!
//! Nodes need Linux 5.10 or later with `/proc`. Elsewhere, with [`Options::nodes`]`(0)`, or with `MULTI_NODE=off` in the environment, the
//! calling process serves alone, by the same API. In tests `listen` would start the test program again: there it serves alone if one
//! of these asks for it, starts another program if [`Options::program`] names one, and is [`Error::InTest`] otherwise.
//!
//! Logs go through `tracing`, with [`Handle::span`] for the program's own. Without a subscriber the master writes its lines to standard
//! error, see [`Options::log_to_stderr`].

// What only nodes need stands by in the single-process build, so that each file is the same on every system; and what only a feature needs
// without it.
#![cfg_attr(
    not(all(multi_process, feature = "admin", feature = "embed")),
    allow(dead_code, unreachable_pub, unused_imports)
)]

#[cfg(feature = "admin")]
pub mod admin;
mod before_listen;
pub mod bus;
mod bus_bounds;
pub mod commands;
#[cfg(all(unix, feature = "embed"))]
pub mod embed;
#[cfg_attr(not(feature = "admin"), path = "no_endpoints.rs")]
mod endpoints;
#[cfg(all(multi_process, feature = "nats"))]
mod gateway;
#[cfg(multi_process)]
#[cfg_attr(not(feature = "join"), path = "no_gateway_plan.rs")]
mod gateway_plan;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(multi_process)]
mod handoff;
mod heartbeat;
#[cfg(multi_process)]
mod identity;
#[cfg_attr(not(feature = "join"), path = "no_join.rs")]
mod join;
#[cfg(multi_process)]
mod lead;
pub mod lease;
pub mod limits;
mod listen;
#[cfg(multi_process)]
#[doc(hidden)]
pub mod lock;
pub mod mesh;
#[cfg(feature = "admin")]
mod monitoring;
#[cfg(multi_process)]
mod node;
mod nodes;
pub mod options;
mod plan;
#[cfg(all(multi_process, feature = "join"))]
mod questions;
#[cfg(multi_process)]
mod remote_reload;
pub mod servers;
#[cfg(feature = "sessions")]
pub mod sessions;
mod single;
pub mod status;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod wiring;
#[cfg(multi_process)]
#[doc(hidden)]
pub mod workload;

use multi_node_fleet::{command, id, leases, machines};
use multi_node_metrics as metrics;
use multi_node_process::{
    bind, environment, error, exits, log_buffer, metrics_sink, process_links, shared_secret, signals, tls_state,
};
#[cfg(multi_process)]
use multi_node_process::{control, descriptors, family, lease_files, run_directory, runtime_directory, systemd};
use multi_node_serve as serve;
#[cfg(multi_process)]
use multi_node_sys as sys;
use multi_node_sys::log;

/// Why a program does not serve, or no longer: what failed, the value, the system's cause, and what to do.
///
/// ```no_run
/// use multi_node::{Error, Options, http, listen};
///
/// # async fn f(app: axum::Router) {
/// match listen(Options::new().port(80), http(app)).await {
///     Err(Error::Bind { address, remedy, .. }) => eprintln!("{address} cannot be bound: {remedy}"),
///     Err(error) => eprintln!("{error}"),
///     Ok(nodes) => drop(nodes.closed().await),
/// }
/// # }
/// ```
#[doc(inline)]
pub use error::Error;
use heartbeat::Heartbeat;
pub use listen::{Role, listen, role};
/// All slots of the program, as [`Handle::status`] gives them.
///
/// ```no_run
/// # fn f(node: multi_node::Handle) {
/// let status = node.status();
/// println!("{} of {} slots, ready: {}", status.slots.len(), status.wanted, status.is_ready());
/// # }
/// ```
#[doc(inline)]
pub use multi_node_fleet::status::Status;
pub use nodes::{Handle, Nodes};
#[doc(inline)]
pub use options::Options;
/// ```
/// use multi_node::{Affinity, Options};
///
/// let options = Options::new().affinity(Affinity::query("sid"));
/// # let _ = options;
/// ```
#[doc(inline)]
pub use serve::Affinity;
/// Any error: that of a factory, or of a server that accepts connections itself.
///
/// ```
/// use multi_node::{BoxError, Handle};
///
/// async fn app(_: Handle) -> Result<axum::Router, BoxError> {
///     let name = std::fs::read_to_string("/etc/hostname")?;
///     Ok(axum::Router::new().route("/", axum::routing::get(async || name)))
/// }
/// # let _ = multi_node::http_with(app);
/// ```
#[doc(inline)]
pub use serve::BoxError;
/// Where connections come from, for a server that accepts them itself: see [`raw`].
///
/// ```no_run
/// use multi_node::{Handle, Listener};
///
/// async fn serve(mut listener: Listener, _: Handle) -> std::io::Result<()> {
///     let drain = listener.drain_signal();
///     loop {
///         tokio::select! {
///             accepted = listener.accept() => println!("{} has come", accepted?.1),
///             () = drain.draining() => return Ok(()),
///         }
///     }
/// }
/// # let _ = multi_node::raw(serve);
/// ```
#[doc(inline)]
pub use serve::Listener;
#[doc(inline)]
pub use servers::{Conn, raw, tcp, tcp_with};
#[cfg(feature = "http")]
#[doc(inline)]
pub use servers::{http, http_with};

// The examples of the documents are tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/library.md")]
    struct Library;
    #[doc = include_str!("../../../docs/messages.md")]
    struct Messages;
    #[doc = include_str!("../../../docs/operations.md")]
    struct Operations;
}
