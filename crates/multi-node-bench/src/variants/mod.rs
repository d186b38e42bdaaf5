//! The servers that are compared. Each answers `hello` to every request and is a process tree of this program.

mod axum;
mod hyper;
pub(crate) mod multi_node;
mod reuseport;
mod shape;
mod shared;
mod websocket;
mod work;

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(crate) use self::{shape::Shape, websocket::WEBSOCKET, work::Slow};
use crate::process::{self, Process};

/// What every server answers, to whatever path.
pub(crate) const HELLO: &str = "hello\n";
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// A server to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// The library: nodes of one current-thread runtime each, under a master.
    MultiNode,
    /// The library with axum's router, as an axum program uses it.
    MultiNodeAxum,
    /// Hand-made prefork: hyper on one current-thread runtime a process, each with a listener of its own (SO_REUSEPORT).
    Reuseport,
    /// Hand-made prefork: the same, on one listener that all processes share, with tokio's own accept.
    Shared,
    /// axum in one process, on tokio's multi-thread runtime.
    Axum,
}

/// How a server is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Start {
    /// Processes, or threads where the variant is one process.
    #[arg(long)]
    nodes: usize,
    /// Threads of each node of the library.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// 0 for a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Serve on the listener that is standard input.
    #[arg(long)]
    inherited: bool,
    /// Every process of the library asks for a stream to each other one, and has it before the server is announced.
    #[arg(long)]
    streams: bool,
}

/// What a server says, on one line, once it serves.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Announcement {
    port: u16,
    pids: Vec<u32>,
}

impl Announcement {
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The processes that answer.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.pids
    }
}

impl Variant {
    /// Serves until the process is killed.
    pub(crate) fn serve(self, start: &Start) -> Result<()> {
        process::die_with_parent()?;
        match self {
            Variant::MultiNode => multi_node::serve(start),
            Variant::MultiNodeAxum => multi_node::serve_router(start),
            Variant::Reuseport => reuseport::serve(start),
            Variant::Shared => shared::serve(start),
            Variant::Axum => axum::serve(start),
        }
    }

    /// Whether it is the library.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Variant::MultiNode | Variant::MultiNodeAxum)
    }

    /// As it is typed and printed.
    pub(crate) fn name(self) -> String {
        process::argument(&self)
    }
}

impl Start {
    pub(crate) fn on_free_port(nodes: usize) -> Start {
        Start { nodes, threads: 1, port: 0, inherited: false, streams: false }
    }

    pub(crate) fn with_streams(self, streams: bool) -> Start {
        Start { streams, ..self }
    }

    pub(crate) fn with_threads(self, threads: usize) -> Start {
        Start { threads, ..self }
    }

    /// The arguments by which this program is such a server.
    pub(crate) fn args(&self, variant: Variant) -> Vec<String> {
        let mut args = vec!["serve".to_owned(), variant.name()];
        let counts = [("nodes", self.nodes), ("threads", self.threads), ("port", self.port.into())];
        args.extend(counts.map(|(name, count)| format!("--{name}={count}")));
        args.extend(self.inherited.then(|| "--inherited".to_owned()));
        args.extend(self.streams.then(|| "--streams".to_owned()));
        args
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

/// A server with all its processes, which are killed when this is dropped.
pub(crate) struct Server {
    announcement: Announcement,
    /// Ends last: while it lives, no other process gets the pids of those that it started.
    _process: Process,
}

impl Server {
    /// Starts a server and waits until all of it serves.
    pub(crate) fn start(variant: Variant, start: &Start, stdin: Stdio) -> Result<Server> {
        Server::start_as(&start.args(variant), stdin)
    }

    /// The same by these arguments of this program.
    pub(crate) fn start_as(args: &[String], stdin: Stdio) -> Result<Server> {
        let mut process = Process::start(args, stdin)?;
        let announcement = process.answer()?;
        Ok(Server { announcement, _process: process })
    }

    /// Starts a server of this many nodes on a free port.
    pub(crate) fn on_free_port(variant: Variant, nodes: usize) -> Result<Server> {
        Server::start(variant, &Start::on_free_port(nodes), Stdio::null())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.announcement.address()
    }

    /// Of all processes that serve.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.announcement.pids
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.announcement.pids.iter().copied().for_each(process::kill);
    }
}

/// Reports to the parent process that this server serves, together with the servers it started itself.
fn announce(port: u16, others: &[Server]) -> Result<()> {
    announce_pids(port, others.iter().flat_map(|server| server.pids().iter().copied()))
}

/// The same, where the pids of what it started are known.
pub(crate) fn announce_pids(port: u16, others: impl Iterator<Item = u32>) -> Result<()> {
    let announcement = Announcement { port, pids: std::iter::once(std::process::id()).chain(others).collect() };
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string(&announcement)?)?;
    Ok(out.flush()?)
}
