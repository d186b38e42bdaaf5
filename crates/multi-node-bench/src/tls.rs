//! TLS: what handshakes and requests cost a server of the library, beside hyper and tokio-rustls by hand.

mod client;
mod server;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Result;
use clap::ValueEnum;
use tokio::runtime::Runtime;

use self::client::{Client, Task};
use crate::{
    certificate, cpu,
    process::{self, Process},
    table::{self, Row},
    variants::Announcement,
};

/// Arguments of `tls`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which everything is measured once.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Handshakes of each kind in a round.
    #[arg(long, default_value_t = 4000)]
    handshakes: usize,
    /// Requests on kept connections in a round.
    #[arg(long, default_value_t = 40_000)]
    requests: usize,
    /// Clients at a time.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// A server, in one process that answers.
#[derive(clap::Args)]
pub(crate) struct Serve {
    variant: Variant,
    /// Has `cert.pem` and `key.pem`.
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Variant {
    /// The library: one node under a master.
    MultiNode,
    /// hyper and tokio-rustls in one process.
    HandMade,
}

/// What one measurement gave.
struct Sample {
    variant: Variant,
    task: Task,
    per_second: f64,
    cpu_micros: f64,
}

/// Measures all in rounds, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = certificate::write(folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut samples = Vec::new();
    for _ in 0..if options.smoke { 1 } else { options.rounds } {
        for variant in [Variant::MultiNode, Variant::HandMade] {
            let server = Server::start(variant, folder.path())?;
            for task in Task::ALL {
                samples.push(server.measure(task, options, (&runtime, root.clone()))?);
            }
        }
    }
    table::print_rows("one process", &rows(&samples), options.json)
}

/// Serves until it is killed.
pub(crate) fn serve(serve: &Serve) -> Result<()> {
    match serve.variant {
        Variant::MultiNode => server::multi_node(&serve.folder),
        Variant::HandMade => server::hand_made(&serve.folder),
    }
}

impl Options {
    /// How often each client does a task.
    fn times(&self, task: Task) -> usize {
        let all = match (task, self.smoke) {
            (Task::Request, false) => self.requests,
            (_, false) => self.handshakes,
            (Task::Request, true) => 2000,
            (_, true) => 200,
        };
        (all / self.clients).max(1)
    }
}

struct Server {
    variant: Variant,
    announcement: Announcement,
    _process: Process,
}

impl Server {
    fn start(variant: Variant, folder: &Path) -> Result<Server> {
        let args = ["tls-serve".to_owned(), process::argument(&variant), folder.display().to_string()];
        let mut process = Process::start(&args, Stdio::null())?;
        Ok(Server { variant, announcement: process.answer()?, _process: process })
    }

    /// Lets all clients do a task this number of times.
    fn measure(
        &self,
        task: Task,
        options: &Options,
        (runtime, root): (&Runtime, rustls::pki_types::CertificateDer<'static>),
    ) -> Result<Sample> {
        let (times, address) = (options.times(task), self.announcement.address());
        let clients = (0..options.clients).map(|_| Client::new(address, root.clone(), task));
        let clients: Vec<Client> = clients.collect::<Result<_>>()?;
        let clients = runtime.block_on(client::ready(clients))?;
        let before = cpu::used_by(self.announcement.pids())?;
        let took: Duration = runtime.block_on(client::work(clients, times))?;
        let used = cpu::used_by(self.announcement.pids())? - before;
        let count = (times * options.clients) as f64;
        let (per_second, cpu_micros) = (count / took.as_secs_f64(), used.as_secs_f64() * 1e6 / count);
        Ok(Sample { variant: self.variant, task, per_second, cpu_micros })
    }
}

fn rows(samples: &[Sample]) -> Vec<Row> {
    let mut rows = Vec::new();
    for task in Task::ALL {
        let of = |variant| samples.iter().filter(move |sample| (sample.task, sample.variant) == (task, variant));
        for variant in [Variant::MultiNode, Variant::HandMade] {
            let what = format!("{}, {}", task.name(), process::argument(&variant));
            rows.extend(Row::of(what.clone(), "CPU µs", of(variant).map(|sample| sample.cpu_micros)));
            rows.extend(Row::of(what, "per second", of(variant).map(|sample| sample.per_second)));
        }
        // Of the same round, so that other load affects both.
        let rounds = of(Variant::MultiNode).zip(of(Variant::HandMade));
        let ratios = rounds.map(|(library, by_hand)| library.cpu_micros / by_hand.cpu_micros);
        rows.extend(Row::of(format!("{}, CPU to hand-made's", task.name()), "×", ratios));
    }
    rows
}
