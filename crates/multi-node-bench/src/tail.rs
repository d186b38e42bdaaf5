//! How long clients wait while a few requests are slow: they burn processor time, or wait for something else.

mod servers;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::servers::{Places, Subject};
use crate::{
    open_loop::{self, Arrival, Pace, Waits},
    rounds::{cores, in_turn},
    table::{self, Spread},
    variants::Slow,
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
    /// Per cent of what the slowest of the servers answers, in place of these rates, so that all get the same: `50,70,90`. It is measured
    /// first, with the same requests.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100))]
    load: Vec<u32>,
    /// How many connections are kept.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// More connections, each idle after its first request.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// WebSockets, each idle after its handshake.
    #[arg(long, default_value_t = 0)]
    websockets: usize,
    /// Milliseconds of processor time that a slow request burns.
    #[arg(long, default_value_t = 20)]
    burn: u64,
    /// Milliseconds that a slow request waits, as for a database, in place of burning anything.
    #[arg(long, conflicts_with = "burn")]
    wait: Option<u64>,
    /// One request of this many is a slow one.
    #[arg(long, default_value_t = 100)]
    every: u32,
    /// Only servers whose names have this part; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    #[command(flatten)]
    places: Places,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the tables.
    #[arg(long)]
    json: bool,
}

/// How requests come, and how many.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
struct Case {
    clients: Arrival,
    requests_per_second: u32,
    /// What that is of what the slowest server answers, in per cent.
    load: Option<u32>,
}

/// What one server made its clients wait in one round.
struct Sample {
    server: usize,
    case: Case,
    waits: Waits,
}

/// What it made them wait in all rounds, in milliseconds.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    case: Case,
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
    let subjects = Subject::all(cores(), &options.places, &options.only);
    ensure!(!subjects.is_empty(), "no server has such a name");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cases = cases(options, &subjects, &runtime)?;
    let rounds = if options.smoke { 1 } else { options.rounds };
    let servers: Vec<usize> = (0..subjects.len()).collect();
    let mut samples = Vec::new();
    for round in 0..rounds {
        for case in &cases {
            for &server in in_turn(&servers, round) {
                let running = subjects[server].start(cores())?;
                let waits = open_loop::run(running.address(), &options.pace(*case), &runtime)?;
                samples.push(Sample { server, case: *case, waits });
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    print(options, &cases, &rows(&samples, &cases, &subjects))
}

/// Both kinds of clients, each at its rate, or at every share of the capacity of the slowest server.
fn cases(options: &Options, subjects: &[Subject], runtime: &Runtime) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for clients in [Arrival::New, Arrival::Kept] {
        let rate = if clients == Arrival::New { options.new } else { options.kept };
        let fixed = Case { clients, requests_per_second: rate, load: None };
        if options.load.is_empty() {
            cases.push(fixed);
            continue;
        }
        let mut least = f64::INFINITY;
        for subject in subjects {
            let running = subject.start(cores())?;
            let answers = open_loop::capacity(running.address(), &options.pace(fixed), options.time(), runtime)?;
            eprintln!("{}, {}: {answers:.0} requests/s", clients.name(), subject.name(cores()));
            least = least.min(answers);
        }
        cases.extend(options.load.iter().map(|&load| share(clients, load, least)));
    }
    Ok(cases)
}

fn share(clients: Arrival, load: u32, capacity: f64) -> Case {
    Case { clients, requests_per_second: (capacity * f64::from(load) / 100.0) as u32, load: Some(load) }
}

impl Options {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(if self.smoke { 0.5 } else { self.seconds })
    }

    fn slow(&self) -> Slow {
        let burn = Slow::Burn(Duration::from_millis(self.burn));
        self.wait.map_or(burn, |ms| Slow::Wait(Duration::from_millis(ms)))
    }

    fn pace(&self, case: Case) -> Pace {
        let rate = case.requests_per_second.max(1);
        Pace {
            arrival: case.clients,
            every: Duration::from_secs(1) / rate,
            count: (f64::from(rate) * self.time().as_secs_f64()) as u32,
            connections: self.connections,
            idle: self.idle,
            websockets: self.websockets,
            slow: self.slow(),
            slow_every: self.every.max(1),
        }
    }
}

fn rows(samples: &[Sample], cases: &[Case], subjects: &[Subject]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &case in cases {
        for (server, subject) in subjects.iter().enumerate() {
            let found = || samples.iter().filter(|sample| (sample.case, sample.server) == (case, server));
            let percentile = |percentile| {
                let spread = Spread::of(found().map(|sample| sample.waits.percentile(percentile)))?;
                Some(Percentile { percentile, spread })
            };
            rows.push(Row {
                case,
                server: subject.name(cores()),
                percentiles: PERCENTILES.into_iter().filter_map(percentile).collect(),
                failed: found().map(|sample| sample.waits.failed()).sum(),
            });
        }
    }
    rows
}

fn print(options: &Options, cases: &[Case], rows: &[Row]) -> Result<()> {
    if options.json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    for case in cases {
        println!("\n{}: milliseconds that the others wait", options.describe(*case));
        let of_it = rows.iter().filter(|row| row.case == *case);
        table::print(&["server", "p50", "p90", "p99", "p99.9", "failed"], &of_it.map(cells).collect::<Vec<_>>());
    }
    Ok(())
}

impl Options {
    fn describe(&self, case: Case) -> String {
        let Case { clients, requests_per_second, load } = case;
        let load = load.map(|load| format!(" ({load} % of the slowest server's)")).unwrap_or_default();
        let slow = match self.slow() {
            Slow::Burn(time) => format!("burns {} ms", time.as_millis()),
            Slow::Wait(time) => format!("waits {} ms", time.as_millis()),
        };
        let name = clients.name();
        let beside = self.beside();
        format!("{name}{beside}, {requests_per_second} requests/s{load}, of which one in {} {slow}", self.every)
    }

    /// What else is open while the load runs.
    fn beside(&self) -> String {
        let counts = [(self.idle, "idle connections"), (self.websockets, "idle WebSockets")];
        let open = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let open: Vec<_> = open.collect();
        if open.is_empty() { String::new() } else { format!(" beside {}", open.join(" and ")) }
    }
}

fn cells(row: &Row) -> Vec<String> {
    let percentiles = row.percentiles.iter().map(|percentile| percentile.spread.show(1));
    std::iter::once(row.server.clone()).chain(percentiles).chain([row.failed.to_string()]).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        options: Options,
    }

    fn options(args: &str) -> Options {
        Args::parse_from(format!("tail {args}").split_whitespace()).options
    }

    #[test]
    fn a_case_is_described_in_its_title() {
        let fixed = Case { clients: Arrival::New, requests_per_second: 1000, load: None };
        let title = options("").describe(fixed);
        assert_eq!(title, "new connections, 1000 requests/s, of which one in 100 burns 20 ms");
        let title = options("--burn 50 --websockets 500").describe(fixed);
        assert_eq!(
            title,
            "new connections beside 500 idle WebSockets, 1000 requests/s, of which one in 100 burns 50 ms"
        );
        let title = options("--wait 100 --idle 500 --websockets 7").describe(share(Arrival::Kept, 90, 8001.0));
        assert_eq!(
            title,
            "kept connections beside 500 idle connections and 7 idle WebSockets, 7200 requests/s (90 % of the slowest server's), of which one in 100 waits 100 ms"
        );
    }

    #[test]
    fn requests_are_spread_over_the_time() {
        let pace = options("--seconds 2 --every 0 --websockets 500").pace(share(Arrival::Kept, 50, 1000.0));
        assert_eq!((pace.every, pace.count, pace.slow_every), (Duration::from_millis(2), 1000, 1));
        assert_eq!((pace.connections, pace.idle, pace.websockets), (64, 0, 500));
    }
}
