//! What more nodes, more kept connections and more processes to start cost, beside hand-made prefork.

use std::time::Duration;

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::{
    cpu, memory,
    open_loop::{Arrival, Clients, Pace},
    process,
    rounds::{cores, in_turn},
    start,
    table::{self, Spread},
    variants::{Server, Slow, Variant},
};

/// Each size is measured with both.
const VARIANTS: [Variant; 2] = [Variant::MultiNode, Variant::Reuseport];
/// Kept connections while the nodes grow.
const CONNECTIONS: usize = 128;
/// Open files of the clients without their connections.
const OTHER_FILES: usize = 100;
/// The whole run takes no longer, whatever happens.
const LONGEST: Duration = Duration::from_secs(900);

/// Arguments of `growth`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which everything is measured once.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that the load of one measurement takes.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Requests a second on kept connections, which come at set times.
    #[arg(long, default_value_t = 4000)]
    rate: u32,
    /// Nodes under the same load.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16, 32, 64])]
    nodes: Vec<usize>,
    /// Kept connections under the same load, at most 28,000, by the system's ports; one node for each core.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 3000, 10_000, 18_000])]
    connections: Vec<usize>,
    /// Nodes that are started at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256])]
    starts: Vec<usize>,
    /// One short round of small sizes.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the tables: what scripts/growth-picture.mjs draws.
    #[arg(long)]
    json: bool,
}

/// What is measured: a variant at one size.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Nodes(usize),
    Connections(usize),
    Starts(usize),
}

/// What one measurement gave.
struct Sample {
    round: usize,
    case: Case,
    variant: Variant,
    found: Found,
}

enum Found {
    Load(Load),
    /// Milliseconds until all serve.
    Start(f64),
}

struct Load {
    cpu_micros: f64,
    p99_ms: f64,
    connection_kib: f64,
    failed: u64,
}

/// All figures.
#[derive(Serialize)]
struct Report {
    nodes: Vec<LoadRow>,
    connections: Vec<LoadRow>,
    starts: Vec<StartRow>,
}

/// A server of some nodes, or with some connections, under load.
#[derive(Serialize)]
struct LoadRow {
    server: String,
    size: usize,
    cpu_micros_per_request: Spread,
    p99_ms: Spread,
    /// Memory of no file that each kept connection takes while nothing is asked on it.
    kib_per_idle_connection: Spread,
    failed: u64,
}

/// The start of some nodes.
#[derive(Serialize)]
struct StartRow {
    server: String,
    size: usize,
    ms: Spread,
    /// What the library takes longer than hand-made prefork, for each pair of nodes.
    micros_per_pair: Option<Spread>,
}

/// Runs all rounds and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    process::end_after(LONGEST);
    let open_files = raise_open_files()?;
    let cases: Vec<Case> = options.cases().into_iter().filter(|case| case.has_room(open_files)).collect();
    let rounds = if options.smoke { 1 } else { options.rounds };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut samples = Vec::new();
    for round in 0..rounds {
        for &case in &cases {
            for &variant in in_turn(&VARIANTS, round) {
                let found = options.measure(case, variant, &runtime)?;
                samples.push(Sample { round, case, variant, found });
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    print(&Report::of(&cases, &samples), options.json)
}

/// Gives this process, and what it starts, as many open files as it may have; how many that are.
fn raise_open_files() -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX))
}

impl Case {
    /// Whether the clients may open this number of connections; that they may not is said.
    fn has_room(&self, open_files: usize) -> bool {
        let Case::Connections(count) = *self else { return true };
        let has_room = count + OTHER_FILES <= open_files;
        if !has_room {
            eprintln!("skipped: {count} connections, with a limit of {open_files} open files (`ulimit -n`)");
        }
        has_room
    }
}

impl Options {
    fn cases(&self) -> Vec<Case> {
        if self.smoke {
            return vec![Case::Nodes(4), Case::Connections(200), Case::Starts(8)];
        }
        let nodes = self.nodes.iter().copied().map(Case::Nodes);
        let connections = self.connections.iter().copied().map(Case::Connections);
        nodes.chain(connections).chain(self.starts.iter().copied().map(Case::Starts)).collect()
    }

    fn measure(&self, case: Case, variant: Variant, runtime: &Runtime) -> Result<Found> {
        match case {
            Case::Nodes(nodes) => self.load(variant, nodes, CONNECTIONS, runtime),
            Case::Connections(connections) => self.load(variant, cores(), connections, runtime),
            Case::Starts(nodes) => start::start(variant, nodes).map(Found::Start),
        }
    }

    fn load(&self, variant: Variant, nodes: usize, connections: usize, runtime: &Runtime) -> Result<Found> {
        let server = Server::on_free_port(variant, nodes)?;
        let pace = self.pace(connections);
        let alone = memory::own_kib(server.pids())?;
        let clients = Clients::open(server.address(), &pace, runtime)?;
        let connection_kib = (memory::own_kib(server.pids())? - alone) / connections as f64;
        let before = cpu::used_by(server.pids())?;
        let waits = clients.send(&pace, runtime)?;
        let used = cpu::used_by(server.pids())?.saturating_sub(before);
        let cpu_micros = used.as_secs_f64() * 1e6 / f64::from(pace.count);
        Ok(Found::Load(Load { cpu_micros, p99_ms: waits.percentile(99.0), connection_kib, failed: waits.failed() }))
    }

    fn pace(&self, connections: usize) -> Pace {
        let rate = self.rate.max(1);
        let seconds = if self.smoke { 0.3 } else { self.seconds };
        Pace {
            arrival: Arrival::Kept,
            every: Duration::from_secs(1) / rate,
            count: ((f64::from(rate) * seconds) as u32).max(1),
            connections,
            idle: 0,
            websockets: 0,
            // None of them is.
            slow: Slow::Burn(Duration::ZERO),
            slow_every: u32::MAX,
        }
    }
}

impl Report {
    fn of(cases: &[Case], samples: &[Sample]) -> Report {
        let mut report = Report { nodes: Vec::new(), connections: Vec::new(), starts: Vec::new() };
        for (case, variant) in cases.iter().flat_map(|case| VARIANTS.map(|variant| (*case, variant))) {
            match case {
                Case::Nodes(size) => report.nodes.extend(load_row(samples, case, variant, size)),
                Case::Connections(size) => report.connections.extend(load_row(samples, case, variant, size)),
                Case::Starts(size) => report.starts.extend(start_row(samples, case, variant, size)),
            }
        }
        report
    }
}

impl Sample {
    fn load(&self) -> Option<&Load> {
        match &self.found {
            Found::Load(load) => Some(load),
            Found::Start(_) => None,
        }
    }

    /// In which round, and how long it took.
    fn start(&self) -> Option<(usize, f64)> {
        match self.found {
            Found::Load(_) => None,
            Found::Start(ms) => Some((self.round, ms)),
        }
    }
}

fn of(samples: &[Sample], case: Case, variant: Variant) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |sample| (sample.case, sample.variant) == (case, variant))
}

fn load_row(samples: &[Sample], case: Case, variant: Variant, size: usize) -> Option<LoadRow> {
    let loads = || of(samples, case, variant).filter_map(Sample::load);
    let spread = |figure: fn(&Load) -> f64| Spread::of(loads().map(figure));
    Some(LoadRow {
        server: variant.name(),
        size,
        cpu_micros_per_request: spread(|load| load.cpu_micros)?,
        p99_ms: spread(|load| load.p99_ms)?,
        kib_per_idle_connection: spread(|load| load.connection_kib)?,
        failed: loads().map(|load| load.failed).sum(),
    })
}

fn start_row(samples: &[Sample], case: Case, variant: Variant, size: usize) -> Option<StartRow> {
    let times = |variant| of(samples, case, variant).filter_map(Sample::start);
    let by_hand = |round| times(Variant::Reuseport).find(|&(other, _)| other == round).map(|(_, ms)| ms);
    let longer = times(variant).filter_map(|(round, ms)| Some(micros_per_pair(ms - by_hand(round)?, size)));
    let is_joined = variant.is_ours() && size > 1;
    let micros_per_pair = if is_joined { Spread::of(longer) } else { None };
    Some(StartRow { server: variant.name(), size, ms: Spread::of(times(variant).map(|(_, ms)| ms))?, micros_per_pair })
}

fn micros_per_pair(ms: f64, nodes: usize) -> f64 {
    ms * 1000.0 / (nodes * (nodes - 1) / 2) as f64
}

fn print(report: &Report, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    let load = |row: &LoadRow| {
        let LoadRow { server, size, cpu_micros_per_request, p99_ms, failed, .. } = row;
        let figures = [cpu_micros_per_request.show(1), p99_ms.show(2), failed.to_string()];
        [server.clone(), size.to_string()].into_iter().chain(figures).collect::<Vec<_>>()
    };
    let idle = |row: &LoadRow| load(row).into_iter().chain([row.kib_per_idle_connection.show(1)]).collect();
    let head = ["server", "nodes", "CPU µs/request", "p99 ms", "failed"];
    table::print(&head, &report.nodes.iter().map(load).collect::<Vec<_>>());
    println!();
    let head = ["server", "connections", "CPU µs/request", "p99 ms", "failed", "KiB per idle connection"];
    table::print(&head, &report.connections.iter().map(idle).collect::<Vec<_>>());
    println!();
    let start = |row: &StartRow| {
        let longer = row.micros_per_pair.map_or_else(|| "–".to_owned(), |spread| spread.show(1));
        vec![row.server.clone(), row.size.to_string(), row.ms.show(1), longer]
    };
    let head = ["server", "nodes", "all serve after ms", "µs per pair beyond reuseport"];
    table::print(&head, &report.starts.iter().map(start).collect::<Vec<_>>());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(round: usize, variant: Variant, ms: f64) -> Sample {
        Sample { round, case: Case::Starts(4), variant, found: Found::Start(ms) }
    }

    #[test]
    fn what_a_pair_costs_is_formed_within_a_round() {
        let samples = [
            started(0, Variant::MultiNode, 7.0),
            started(0, Variant::Reuseport, 4.0),
            started(1, Variant::Reuseport, 10.0),
            started(1, Variant::MultiNode, 16.0),
        ];
        let report = Report::of(&[Case::Starts(4)], &samples);
        let [ours, by_hand] = &report.starts[..] else { panic!("a row of each") };
        let longer = ours.micros_per_pair.expect("beside the other");
        // Four nodes are six pairs.
        assert_eq!((longer.min, longer.max, ours.ms.median), (500.0, 1000.0, 11.5));
        assert!(by_hand.micros_per_pair.is_none() && report.nodes.is_empty());
    }

    #[test]
    fn connections_that_no_process_may_open_are_left_out() {
        assert!(Case::Connections(900).has_room(1024) && !Case::Connections(1000).has_room(1024));
        assert!(Case::Starts(5000).has_room(1024));
    }
}
