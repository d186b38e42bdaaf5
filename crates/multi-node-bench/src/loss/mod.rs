//! Lost requests: every client-side error, counted by kind, while a server is deployed, upgraded, recycled and killed.

mod campaign;
mod orders;
mod outcome;
mod program;
mod releases;
mod server;
mod web;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use multi_node_bench::clients::{Kind, Plan};

use outcome::Outcome;

pub(crate) use orders::{Order, run as order};
pub(crate) use server::{Start, serve};

/// Arguments of `loss`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Deploys, one of which is of a program that does not come up.
    #[arg(long, default_value_t = 50)]
    deploys: usize,
    /// Nodes that are recycled.
    #[arg(long, default_value_t = 20)]
    recycles: usize,
    /// Nodes that are killed.
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// Requests that are answered at least; the time between two events is stretched for it.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// The longest pause of pooled clients, in seconds.
    #[arg(long, default_value_t = 60.0)]
    longest_pause: f64,
    /// Processes of each server.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// What the clients' randomness begins with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Servers to be looked at; all, if none is named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Subject>,
    /// A short run: few events, short pauses.
    #[arg(long)]
    quick: bool,
    /// Where logs and results are kept.
    #[arg(long, default_value = "target/loss")]
    results: PathBuf,
    /// Print JSON in place of the tables.
    #[arg(long)]
    json: bool,
}

/// A server whose clients count what is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The library.
    MultiNode,
}

impl Options {
    /// As they are, or those of a short run.
    fn sized(&self) -> Options {
        match self.quick {
            true => Options { deploys: 6, recycles: 4, kills: 6, requests: 10_000, longest_pause: 3.0, ..self.clone() },
            false => self.clone(),
        }
    }

    /// The clients.
    fn plan(&self) -> Plan {
        Plan {
            clients: vec![
                (Kind::KeepAlive, 48),
                (Kind::PerRequest, 8),
                (Kind::Pooled, 256),
                (Kind::Slow, 16),
                (Kind::Large, 4),
                (Kind::WebSocket, 16),
            ],
            longest_pause: Duration::from_secs_f64(self.longest_pause),
            patience: Duration::from_secs(10),
            seed: self.seed,
        }
    }
}

/// Runs everything and prints what was lost.
pub(crate) fn run(options: &Options) -> Result<()> {
    let options = options.sized();
    std::fs::create_dir_all(&options.results)?;
    let subjects = if options.only.is_empty() { Subject::value_variants() } else { &options.only };
    let outcomes: Vec<Outcome> = subjects.iter().map(|subject| subject.run(&options)).collect::<Result<_>>()?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    } else {
        outcomes.iter().for_each(Outcome::print);
    }
    let lost: u64 = outcomes.iter().filter(|outcome| outcome.server == "multi-node").map(Outcome::unexplained).sum();
    ensure!(lost == 0, "multi-node has lost {lost} requests");
    Ok(())
}

impl Subject {
    fn run(self, options: &Options) -> Result<Outcome> {
        match self {
            Subject::MultiNode => campaign::run(options),
        }
    }
}
