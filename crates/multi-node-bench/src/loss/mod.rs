//! Lost requests: every client-side error, counted by kind, while a server is deployed, upgraded, recycled and killed.

mod campaign;
mod generators;
mod orders;
mod outcome;
mod peers;
mod program;
mod releases;
mod server;
mod web;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use multi_node_bench::requests;
use multi_node_probe::{Kind, Plan};

use outcome::Outcome;

pub(crate) use orders::{Order, run as order};
pub(crate) use server::{Start, serve};

/// Arguments of `loss`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Deploys, one of which is of a program that does not come up.
    #[arg(long, default_value_t = 50)]
    deploys: usize,
    /// Upgrades in place, each to a new release.
    #[arg(long, default_value_t = 20)]
    upgrades: usize,
    /// Nodes that are recycled.
    #[arg(long, default_value_t = 20)]
    recycles: usize,
    /// Nodes that are killed.
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// Deploys of each other server.
    #[arg(long, default_value_t = 10)]
    peer_deploys: usize,
    /// Requests that are answered at least in deploys and upgrades and between them; the time between two events is stretched
    /// for it.
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
    /// How long each load generator runs, in seconds.
    #[arg(long, default_value_t = 15)]
    generator_seconds: u64,
    /// What to look at; all, if nothing is named. Results of what is not named stand in the table as they were.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Subject>,
    /// A short run: few events, short pauses.
    #[arg(long)]
    quick: bool,
    /// Where scripts/install-peers.sh has put other servers.
    #[arg(long, default_value = "target/peers")]
    peers: PathBuf,
    /// Where logs and results are kept.
    #[arg(long, default_value = "target/loss")]
    results: PathBuf,
    /// Print JSON in place of the tables.
    #[arg(long)]
    json: bool,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The library.
    MultiNode,
    /// The library, under load generators of others.
    Generators,
    /// nginx, as a proxy.
    Nginx,
    /// gunicorn.
    Gunicorn,
    /// A primary of node:cluster.
    NodeCluster,
    /// PM2.
    Pm2,
}

impl Options {
    /// As they are, or those of a short run.
    fn sized(&self) -> Options {
        match self.quick {
            true => Options {
                deploys: 6,
                upgrades: 6,
                recycles: 4,
                kills: 6,
                peer_deploys: 2,
                generator_seconds: 3,
                requests: 10_000,
                longest_pause: 3.0,
                ..self.clone()
            },
            false => self.clone(),
        }
    }

    /// The clients of a server.
    fn plan(&self, address: SocketAddr) -> Plan {
        let clients = [
            (Kind::Kept, 48),
            (Kind::New, 8),
            (Kind::Pooled, 256),
            (Kind::SlowAnswer, 16),
            (Kind::Large, 4),
            (Kind::WebSocket, 16),
        ];
        let longest_pause = Duration::from_secs_f64(self.longest_pause);
        requests::plan(address, &clients, longest_pause, Duration::from_secs(10), self.seed)
    }
}

/// Runs everything and prints what was lost.
pub(crate) fn run(options: &Options) -> Result<()> {
    let options = options.sized();
    ensure!(options.deploys > 0, "--deploys: at least 1, which is of a program that does not come up");
    std::fs::create_dir_all(&options.results)?;
    let subjects = if options.only.is_empty() { Subject::value_variants() } else { &options.only };
    for subject in subjects {
        if let Some(outcome) = subject.run(&options)? {
            outcome.keep(&options.results.join(format!("{}.json", subject.name())))?;
        }
    }
    let kept = |subject: &Subject| Outcome::kept(&options.results.join(format!("{}.json", subject.name())));
    let outcomes: Vec<Outcome> = Subject::value_variants().iter().filter_map(kept).collect();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    } else {
        outcome::print(&outcomes);
    }
    let lost: u64 = outcomes.iter().filter(|outcome| outcome.is_ours()).map(Outcome::unexplained).sum();
    ensure!(lost == 0, "multi-node has lost {lost} requests");
    Ok(())
}

impl Subject {
    fn run(self, options: &Options) -> Result<Option<Outcome>> {
        eprintln!("{}…", self.name());
        match self {
            Subject::MultiNode => campaign::run(options).map(Some),
            Subject::Generators => generators::run(options),
            peer => peers::run(peer, options),
        }
    }

    /// As it is typed and printed.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
