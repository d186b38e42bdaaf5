//! multi-node and its peers, side by side in one run.

mod affinity;
mod bus;
mod certificate;
mod cleanup;
mod costs;
mod cpu;
mod flood;
mod growth;
mod http;
mod limits;
mod load;
mod loss;
mod memory;
mod mesh;
mod open_loop;
mod process;
mod programs;
mod redis;
mod rounds;
mod sessions;
mod start;
mod table;
mod tail;
mod tls;
mod variants;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// HTTP servers: requests per second, and what a request costs the server in CPU time.
    Http(http::Options),
    /// What a request costs a server in instructions and system calls: counted, so that a busy machine changes nothing.
    Costs(costs::Options),
    /// Two processes and one stream: bytes, round trips and typed messages.
    Mesh(mesh::Options),
    /// Starting: until all nodes serve, until a killed one is replaced, and what a node weighs.
    Start(start::Options),
    /// Lost requests over deploys of our servers and others, and over our upgrades: one table.
    Loss(loss::Options),
    /// Messages of one process to seven, beside bare sockets, Redis, NATS and node:cluster.
    Bus(bus::Options),
    /// Limits that all processes share: what a check costs.
    Limits(limits::Options),
    /// Sessions that all processes share, beside Redis and a map: reads and writes.
    Sessions(sessions::Options),
    /// Affinity: what a request costs more, and how long one takes whose connection moves.
    Affinity(affinity::Options),
    /// A flood on a topic beside a reload: lost connections, and how long requests take.
    Flood(flood::Options),
    /// TLS: what handshakes and requests cost, beside hyper and tokio-rustls by hand.
    Tls(tls::Options),
    /// How long clients wait while a few requests burn processor time, beside axum and hand-made prefork.
    Tail(tail::Options),
    /// What more nodes, more kept connections and more processes to start cost, beside hand-made prefork.
    Growth(growth::Options),
    /// Clients for any HTTP server; prints a report as JSON.
    Load(load::Options),
    /// One of the servers that `http` compares.
    #[command(hide = true)]
    Serve {
        variant: variants::Variant,
        #[command(flatten)]
        start: variants::Start,
    },
    /// The server of `affinity`.
    #[command(hide = true)]
    AffinityServe(affinity::Serve),
    /// The server of `flood`.
    #[command(hide = true)]
    FloodServe,
    /// One of the servers of `tls`.
    #[command(hide = true)]
    TlsServe(tls::Serve),
    /// The server of `loss` that links the library.
    #[command(hide = true)]
    LossServer(loss::Start),
    /// The program whose nodes `start` kills.
    #[command(hide = true)]
    KilledNodes { kills: usize },
    /// The processes of the library, for `bus`.
    #[command(hide = true)]
    BusFleet(bus::Work),
    /// A process that subscribes, for `bus`.
    #[command(hide = true)]
    BusSubscriber(bus::Subscriber),
    /// A process that checks, for `limits`.
    #[command(hide = true)]
    LimitsWork(limits::Work),
    /// A process that reads and writes, for `sessions`.
    #[command(hide = true)]
    SessionsWork(sessions::Work),
    /// Both ends of a `mesh` measurement, as master and node.
    #[command(hide = true)]
    MeshFleet { task: mesh::Task, seconds: f64 },
    /// The other end of a `mesh` measurement, with the stream on standard input.
    #[command(hide = true)]
    MeshPeer { task: mesh::Task },
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Args::parse().command;
    if command.is_bench() {
        if !cleanup::is_inside() {
            return cleanup::run_inside();
        }
        process::die_with_parent()?;
    }
    command.run().map(|()| ExitCode::SUCCESS)
}

impl Command {
    /// Whether it starts servers or clients, and is none itself.
    fn is_bench(&self) -> bool {
        matches!(
            self,
            Command::Http(_)
                | Command::Costs(_)
                | Command::Mesh(_)
                | Command::Start(_)
                | Command::Bus(_)
                | Command::Limits(_)
                | Command::Sessions(_)
                | Command::Affinity(_)
                | Command::Flood(_)
                | Command::Tls(_)
                | Command::Tail(_)
                | Command::Growth(_)
                | Command::Loss(_)
        )
    }

    fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Http(options) => http::run(&options),
            Command::Costs(options) => costs::run(&options),
            Command::Mesh(options) => mesh::run(&options),
            Command::Start(options) => start::run(&options),
            Command::Loss(options) => loss::run(&options),
            Command::Bus(options) => bus::run(&options),
            Command::BusFleet(work) => bus::fleet(&work),
            Command::BusSubscriber(subscriber) => bus::subscribe(&subscriber),
            Command::Limits(options) => limits::run(&options),
            Command::LimitsWork(work) => limits::work(&work),
            Command::Sessions(options) => sessions::run(&options),
            Command::SessionsWork(work) => sessions::work(&work),
            Command::Affinity(options) => affinity::run(&options),
            Command::AffinityServe(serve) => affinity::serve(&serve),
            Command::Flood(options) => flood::run(&options),
            Command::FloodServe => flood::serve(),
            Command::Tls(options) => tls::run(&options),
            Command::Tail(options) => tail::run(&options),
            Command::Growth(options) => growth::run(&options),
            Command::TlsServe(serve) => tls::serve(&serve),
            Command::LossServer(start) => loss::serve(&start),
            Command::KilledNodes { kills } => start::killed_nodes(kills),
            Command::Load(options) => load::run(&options),
            Command::Serve { variant, start } => variant.serve(&start),
            Command::MeshFleet { task, seconds } => mesh::fleet::run(task, seconds),
            Command::MeshPeer { task } => mesh::peer::run(task),
        }
    }
}
