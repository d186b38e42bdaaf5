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
//! | serve HTTP, bytes, or by a server that accepts connections itself; several at once | [`http()`], [`tcp`], [`raw`], [`Servers::and`] |
//! | make pools and the like in processes that serve only | [`http_with`], [`tcp_with`] |
//! | know this process, see all of them, give commands | [`Handle`], [`Status`] |
//! | limit and count for all processes together | [`Handle::limit`], [`RateLimitLayer`], [`Handle::counter`], [`Handle::gauge`] |
//! | do a job in one process only | [`Handle::leader`] |
//! | talk to the other processes | [`Nodes::next_peer`], [`Peer`], [`Framed`] |
//! | serve by a program that does not link this crate | [`program`] |
//! | end well | [`Nodes`], [`Handle::closed`], [`Handle::draining`] |
//! | tell master from node before `listen` | [`role`] |
//!
//! # Features
//!
//! `http`, on by default: [`http()`] and all that goes with it, by hyper. Without it programs serve by [`tcp`] and [`raw`].
//!
//! `admin`, on by default: the control socket ([`Options::control`]), and [`Options::metrics`]. It needs `http`. Without it no socket is
//! opened under the program's name, so the command `multi-node` cannot reach the program, and signals steer it.
//!
//! `axum`: [`Listener`] implements axum's listener, and each request has axum's `ConnectInfo<SocketAddr>`. An axum `Router` is served
//! without it too.
//!
//! `metrics`: the master exports what the program measures by the `metrics` facade, see [`Options::metrics`] and
//! [`Options::aggregate_gauge`].
//!
//! `embed`: for bindings to other languages, see [`embed`].
//!
//! `tls`: HTTPS by the program itself, see [`Http::tls`]. All nodes resume each other's sessions, and certificates are replaced without a
//! restart.
//!
//! # Systems
//!
//! Nodes need Linux 5.10 or later with `/proc`. Elsewhere, with [`Options::nodes`]`(0)`, or with `MULTI_NODE=off` in the environment, the
//! calling process serves alone, by the same API. In tests `listen` would start the test program again: there it serves alone if one
//! of these asks for it, starts another program if [`Options::program`] names one, and is [`Error::InTest`] otherwise.
//!
//! Logs go through `tracing`, with [`Handle::span`] for the program's own; a program without a subscriber sees none.

// What only nodes need stands by in the single-process build, so that each file is the same on every system; and what only a feature needs
// without it.
#![cfg_attr(
    not(all(multi_process, feature = "admin", feature = "embed")),
    allow(dead_code, unreachable_pub, unused_imports)
)]

#[cfg(feature = "admin")]
pub mod admin;
mod before_listen;
#[cfg_attr(not(feature = "admin"), path = "no_endpoints.rs")]
mod endpoints;
#[cfg(multi_process)]
mod exec_shim;
#[cfg(multi_process)]
mod handoff;
mod heartbeat;
#[cfg(multi_process)]
mod identity;
#[cfg(multi_process)]
mod lead;
mod lease;
mod limits;
mod listen;
#[cfg(feature = "admin")]
mod monitoring;
#[cfg(multi_process)]
mod node;
mod nodes;
mod options;
mod plan;
#[cfg(multi_process)]
pub mod program;
mod servers;
#[cfg(feature = "sessions")]
pub mod sessions;
mod single;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod wiring;

use multi_node_fleet::{command, id, leases, status};
use multi_node_metrics as metrics;
use multi_node_process::{
    bind, environment, error, exits, log_buffer, mesh, metrics_sink, process_links, shared_secret, signals, tls_state,
};
#[cfg(multi_process)]
use multi_node_process::{control, descriptors, family, lease_files, run_directory, runtime_directory, systemd};
use multi_node_serve as serve;
#[cfg(multi_process)]
use multi_node_sys as sys;
use multi_node_sys::log;

/// Internal: the files of leases, for the command.
#[cfg(multi_process)]
#[doc(hidden)]
pub mod lock {
    pub use crate::lease_files::{LeaseDirectory, LeaseFile};
    pub use crate::leases::check_lease_name;
}
pub use before_listen::BeforeListen;
#[doc(inline)]
pub use command::{
    AppliedBy, CanaryReport, CommandError, NotApplied, ReloadReport, Replacement, RequestCounts, ScaleReport, Serving,
};
/// Messages between the processes of a program: what [`Handle::topic`], [`Handle::request`] and their kin give and take.
pub mod bus {
    #[doc(inline)]
    pub use multi_node_bus::{
        BusCounts, Call, CallAll, ContentType, DecodeError, EncodeError, Encoding, Event, Payload, PublishError,
        Published, RawTopic, Request, RequestError, RespondError, Subscribing, Subscription, Target, Topic, TopicError,
        TypedCall, TypedCallAll, TypedEvent, TypedSubscribing, TypedSubscription,
    };
}
#[doc(inline)]
pub use error::Error;
#[doc(inline)]
pub use exits::{NodeExit, NodeExits};
use heartbeat::Heartbeat;
#[doc(inline)]
pub use id::{Generation, NodeId, Slot};
pub use lease::{Leadership, Lease, LeaseRefused};
pub use limits::{Allowed, Counter, Denied, Gauge, Limit, Quota, QuotaError, TooManyCounters, TooManyGauges};
#[cfg(feature = "http")]
pub use limits::{RateLimit, RateLimitFuture, RateLimitLayer, RateLimitParts};
pub use listen::{Role, listen, role};
#[doc(inline)]
pub use mesh::{
    DEFAULT_FRAME_LIMIT, Format, FrameError, Framed, FramedRead, FramedWrite, Json, JsonFramed, MessagePack, Peer,
    PeerInfo, PeerReader, PeerWriter,
};
#[doc(inline)]
pub use metrics::{GaugeAggregation, Metric, MetricError};
#[cfg(feature = "tls")]
#[doc(hidden)]
pub use multi_node_tls::Pair;
#[cfg(feature = "tls")]
#[doc(inline)]
pub use multi_node_tls::{Certificates, ClientCertificates, ClientIdentity, TlsInfo, TlsVersion};
pub use nodes::{Handle, Nodes, StatusWatch};
pub use options::{
    CanaryLimits, ControlName, OptionGroup, OptionInForce, OptionInfo, OptionKind, OptionValue, Options, Origin,
};
#[doc(inline)]
pub use serve::{Addr, BoxError, ConnInfo, DrainSignal, Listener, Stream};
#[cfg(feature = "http")]
#[doc(inline)]
pub use serve::{Http2Executor, HttpBuilder, RequestBody, RequestBodyError};
pub use servers::{Conn, Raw, Servers, Tcp, raw, tcp, tcp_with};
#[cfg(feature = "http")]
pub use servers::{Http, http, http_with};
#[doc(inline)]
pub use shared_secret::SharedSecret;
#[doc(inline)]
pub use status::{CertificateStatus, Exit, ProgramStatus, ReadyBy, SlotStatus, State, Status, Waiting};

/// For bindings to other languages, with the feature `embed`: an event loop that is not tokio's serves the connections.
#[cfg(all(unix, feature = "embed"))]
pub mod embed {
    #[cfg(all(multi_process, feature = "admin"))]
    #[doc(hidden)]
    pub use crate::admin::{NotDone, carry_out};
    pub use crate::heartbeat::Heartbeat;
    pub use crate::listen::claim_role;
    #[doc(inline)]
    pub use crate::serve::{AcceptedConn, ConnGuard, ConnHandoff, ExternalAcceptor, Requests};
    pub use crate::servers::{External, external};
}

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
