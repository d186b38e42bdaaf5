//! Messages from one process to seven others: topics, beside bare sockets, Redis, NATS and node:cluster.

mod bare;
mod carrier;
mod fleet;
mod nats;
mod redis;
mod subscriber;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::table::{self, Row};
use carrier::Carrier;
pub(crate) use fleet::run as fleet;
pub(crate) use subscriber::run as subscribe;

/// Processes that subscribe.
const SUBSCRIBERS: usize = 7;

/// The bytes of a message.
const BYTES: usize = 64;

/// Messages of a measurement at rest. All their times fit into one line that a pipe takes at once (pipe(7)).
const AT_REST: u64 = 300;

const ROUND_TRIPS: u64 = 4000;

/// Arguments of `bus`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every measurement runs once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where scripts/install-servers.sh has put programs of others.
    #[arg(long, default_value = "target/servers")]
    servers: PathBuf,
    /// The Node.js package, built by `node build.mjs --release`.
    #[arg(long, default_value = "crates/multi-node-napi")]
    package: PathBuf,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// What the processes of one measurement do.
#[derive(clap::Args, Clone)]
pub(crate) struct Work {
    task: Task,
    /// Messages.
    count: u64,
    /// A socket.
    place: PathBuf,
}

/// A process that subscribes by a carrier of others.
#[derive(clap::Args, Clone)]
pub(crate) struct Subscriber {
    carrier: subscriber::Kind,
    /// Messages.
    count: u64,
    /// A socket or an address.
    place: PathBuf,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// As many messages as the carrier takes.
    Broadcast,
    /// One message each 2 ms.
    AtRest,
    /// Requests of one process to another, each after the answer to the one before; and bare round trips beside them.
    Requests,
}

/// What one process found.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Finding {
    /// From the first message's sending to the last one's arrival.
    seconds: f64,
    missed: u64,
    /// How long each message that says when it was sent has taken.
    micros: Vec<f64>,
}

/// Runs all measurements, interleaved, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let rounds = if options.smoke { 1 } else { options.rounds };
    let share = if options.smoke { 20 } else { 1 };
    let folder = tempfile::tempdir()?;
    let carriers = Carrier::all(folder.path(), &options.servers, &options.package)?;
    let mut measured = vec![Measured::default(); carriers.len()];
    for _ in 0..rounds {
        for (carrier, measured) in carriers.iter().zip(&mut measured) {
            let count = carrier.messages() / share;
            measured.broadcast(count, &carrier.measure(Task::Broadcast, count)?);
            measured.at_rest(&carrier.measure(Task::AtRest, AT_REST)?);
            if carrier.answers_requests() {
                measured.requests(&carrier.measure(Task::Requests, ROUND_TRIPS / share)?);
            }
        }
    }
    let rows = carriers.iter().zip(&measured).flat_map(|(carrier, measured)| measured.rows(carrier.name()));
    table::print_rows("1 process to 7, 64 bytes", &rows.collect::<Vec<_>>(), options.json)
}

/// The figures of one carrier, one of each round.
#[derive(Clone, Default)]
struct Measured {
    thousands_per_second: Vec<f64>,
    missed: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    request_us: Vec<f64>,
    round_trip_us: Vec<f64>,
}

impl Measured {
    fn broadcast(&mut self, count: u64, findings: &[Finding]) {
        let seconds = findings.iter().map(|finding| finding.seconds).fold(0.0, f64::max);
        self.thousands_per_second.push(count as f64 / seconds / 1e3);
        self.missed.push(findings.iter().map(|finding| finding.missed).sum::<u64>() as f64);
    }

    /// A message has arrived when the last process has it.
    fn at_rest(&mut self, findings: &[Finding]) {
        let count = findings.iter().map(|finding| finding.micros.len()).min().unwrap_or_default();
        let last = |at: usize| findings.iter().map(|finding| finding.micros[at]).fold(0.0, f64::max);
        let times: Vec<f64> = (0..count).map(last).collect();
        self.p50_us.extend(quantile(&times, 0.5));
        self.p99_us.extend(quantile(&times, 0.99));
    }

    /// The first finding is of requests, the second of bare round trips.
    fn requests(&mut self, findings: &[Finding]) {
        let median = |at: usize| findings.get(at).and_then(|finding: &Finding| quantile(&finding.micros, 0.5));
        self.request_us.extend(median(0));
        self.round_trip_us.extend(median(1));
    }

    fn rows(&self, name: &str) -> Vec<Row> {
        let row =
            |what: &str, unit, values: &Vec<f64>| Row::of(format!("{name}: {what}"), unit, values.iter().copied());
        let rows = [
            row("broadcast", "thousand/s", &self.thousands_per_second),
            row("broadcast, missed", "messages", &self.missed),
            row("at rest, until all have it, p50", "µs", &self.p50_us),
            row("at rest, until all have it, p99", "µs", &self.p99_us),
            row("request, p50", "µs", &self.request_us),
            row("bare round trip beside it, p50", "µs", &self.round_trip_us),
        ];
        rows.into_iter().flatten().collect()
    }
}

fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len().saturating_sub(1) as f64 * share) as usize).copied()
}

/// The time by the clock that all processes of a machine share.
fn nanoseconds() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// A message: when it is sent, or 0, and zeros.
fn message(sent: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&sent.to_le_bytes());
    bytes
}

/// The messages of a task: the first of a broadcast says when it was sent, and each of those at rest.
fn stamp(task: Task, number: u64) -> [u8; BYTES] {
    message(if task == Task::AtRest || number == 0 { nanoseconds() } else { 0 })
}

/// What a subscriber has of the messages.
struct Counted {
    wanted: u64,
    seen: u64,
    missed: u64,
    first: u64,
    micros: Vec<f64>,
}

impl Counted {
    fn new(wanted: u64) -> Counted {
        Counted { wanted, seen: 0, missed: 0, first: 0, micros: Vec::new() }
    }

    fn is_complete(&self) -> bool {
        self.seen + self.missed >= self.wanted
    }

    /// Counts a message. One of another length only tries whether anybody listens.
    fn take(&mut self, bytes: &[u8]) {
        if bytes.len() != BYTES {
            return;
        }
        self.seen += 1;
        let sent = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        if sent != 0 {
            self.first = if self.first == 0 { sent } else { self.first };
            self.micros.push(nanoseconds().saturating_sub(sent) as f64 / 1e3);
        }
    }

    /// Prints what was found.
    fn print(self) -> Result<()> {
        let seconds = nanoseconds().saturating_sub(self.first) as f64 / 1e9;
        let micros = self.micros.iter().map(|micros| micros.round()).collect();
        print_line(&Finding { seconds, missed: self.missed, micros })
    }
}

/// Prints it as one line by one write(2), since other processes write to the same pipe.
fn print_line(finding: &Finding) -> Result<()> {
    let line = format!("{}\n", serde_json::to_string(finding)?);
    Ok(std::io::stdout().write_all(line.as_bytes())?)
}
