//! How long clients wait while a few requests burn processor time. Requests come at set times, whatever has been answered (an open
//! loop), and each wait is counted from the time at which the request was due.

mod clients;

use std::{process::Stdio, time::Duration};

use anyhow::Result;
use serde::Serialize;
use tokio::runtime::Runtime;

use self::clients::{Arrival, Pace, Waits};
use crate::{
    rounds::{cores, in_turn},
    table::{self, Spread},
    variants::{Server, Start, Variant},
};

/// Arguments of `tail`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every server is measured once with each kind of client.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that one measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Requests a second, each on a connection of its own.
    #[arg(long, default_value_t = 1000)]
    new: u32,
    /// Requests a second on kept connections.
    #[arg(long, default_value_t = 1500)]
    kept: u32,
    /// How many connections are kept.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Milliseconds of processor time that a slow request burns.
    #[arg(long, default_value_t = 20)]
    burn: u64,
    /// One request of this many is a slow one.
    #[arg(long, default_value_t = 100)]
    every: u32,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the tables.
    #[arg(long)]
    json: bool,
}

/// A server, and how many processes and threads it has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    variant: Variant,
    nodes: usize,
    threads: usize,
}

/// What one server made its clients wait in one round.
struct Sample {
    shape: Shape,
    arrival: Arrival,
    waits: Waits,
}

/// What it made them wait in all rounds, in milliseconds.
#[derive(Serialize)]
struct Row {
    clients: &'static str,
    server: String,
    percentiles: Vec<Percentile>,
    failed: u64,
}

#[derive(Serialize)]
struct Percentile {
    percentile: f64,
    #[serde(flatten)]
    spread: Spread,
}

/// Those that are shown.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// Runs all rounds and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (shapes, rounds) = (shapes(cores()), if options.smoke { 1 } else { options.rounds });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut samples = Vec::new();
    for round in 0..rounds {
        for arrival in [Arrival::New, Arrival::Kept] {
            for shape in in_turn(&shapes, round) {
                samples.push(measure(options, *shape, arrival, &runtime)?);
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    print(options, &rows(&samples, &shapes), options.json)
}

/// The library in its default shape and in others, and what a program may be instead.
fn shapes(cores: usize) -> Vec<Shape> {
    let shape = |variant, nodes, threads| Shape { variant, nodes, threads };
    vec![
        shape(Variant::MultiNode, cores, 1),
        shape(Variant::MultiNode, 2 * cores, 1),
        shape(Variant::MultiNode, cores, 2),
        shape(Variant::MultiNode, 1, cores),
        shape(Variant::Axum, cores, 1),
        shape(Variant::Axum, 2 * cores, 1),
        shape(Variant::Reuseport, cores, 1),
    ]
}

impl Shape {
    fn name(self) -> String {
        let Shape { variant, nodes, threads } = self;
        let counted = |one, more| if nodes == 1 { format!("1 {one}") } else { format!("{nodes} {more}") };
        let parts = match variant {
            // One process, which has as many threads as the others have processes.
            Variant::Axum => counted("thread", "threads"),
            _ if threads == 1 => counted("process", "processes"),
            _ => format!("{} × {threads} threads", counted("process", "processes")),
        };
        format!("{}, {parts}", variant.name())
    }
}

impl Options {
    fn pace(&self, arrival: Arrival) -> Pace {
        let rate = match arrival {
            Arrival::New => self.new,
            Arrival::Kept => self.kept,
        };
        let seconds = if self.smoke { 0.5 } else { self.seconds };
        Pace {
            arrival,
            every: Duration::from_secs(1) / rate.max(1),
            count: (f64::from(rate) * seconds) as u32,
            connections: self.connections,
            burn: Duration::from_millis(self.burn),
            slow_every: self.every.max(1),
        }
    }
}

fn measure(options: &Options, shape: Shape, arrival: Arrival, runtime: &Runtime) -> Result<Sample> {
    let start = Start::on_free_port(shape.nodes).with_threads(shape.threads);
    let server = Server::start(shape.variant, &start, Stdio::null())?;
    let waits = clients::run(server.address(), &options.pace(arrival), runtime)?;
    Ok(Sample { shape, arrival, waits })
}

fn rows(samples: &[Sample], shapes: &[Shape]) -> Vec<Row> {
    let mut rows = Vec::new();
    for arrival in [Arrival::New, Arrival::Kept] {
        for shape in shapes {
            let found = || samples.iter().filter(|sample| (sample.arrival, sample.shape) == (arrival, *shape));
            let percentile = |percentile| {
                let spread = Spread::of(found().map(|sample| sample.waits.percentile(percentile)))?;
                Some(Percentile { percentile, spread })
            };
            rows.push(Row {
                clients: arrival.name(),
                server: shape.name(),
                percentiles: PERCENTILES.into_iter().filter_map(percentile).collect(),
                failed: found().map(|sample| sample.waits.failed()).sum(),
            });
        }
    }
    rows
}

fn print(options: &Options, rows: &[Row], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    for arrival in [Arrival::New, Arrival::Kept] {
        let rate = 1.0 / options.pace(arrival).every.as_secs_f64();
        println!(
            "\n{}, {rate:.0} requests/s, of which one in {} burns {} ms: milliseconds that the others wait",
            arrival.name(),
            options.every,
            options.burn
        );
        let of_it = rows.iter().filter(|row| row.clients == arrival.name());
        table::print(&["server", "p50", "p90", "p99", "p99.9", "failed"], &of_it.map(cells).collect::<Vec<_>>());
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let percentiles = row.percentiles.iter().map(|percentile| percentile.spread.show(1));
    std::iter::once(row.server.clone()).chain(percentiles).chain([row.failed.to_string()]).collect()
}
