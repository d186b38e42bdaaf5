//! Sessions that several processes share: reads and writes a second, and how long they take; beside Redis and a map in one process.

mod stores;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::process::{self, Process};
use crate::programs;
use crate::redis::RedisServer;
use crate::table::{self, Row};
use stores::{Kind, Store};

/// Sessions that there are before anything is measured.
const SESSIONS: u64 = 10_000;

/// The bytes of each.
const BYTES: usize = 300;

/// Writes a second of all processes together, where they come at random times.
const PACED: f64 = 2000.0;

/// Arguments of `sessions`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every measurement runs once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Processes that read and write at once.
    #[arg(long, default_value_t = 4)]
    processes: usize,
    /// A directory on a disk, for sessions that survive restarts.
    #[arg(long, default_value = "/var/tmp")]
    disk: PathBuf,
    /// Where scripts/install-servers.sh has put programs of others.
    #[arg(long, default_value = "target/servers")]
    servers: PathBuf,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// What a process does.
#[derive(clap::Args, Clone)]
pub(crate) struct Work {
    store: Kind,
    place: PathBuf,
    task: Task,
    seconds: f64,
    processes: usize,
}

/// What is measured.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Task {
    Reads,
    Writes,
    /// Nine reads, and a write.
    Mixed,
    /// Writes at random times, 2,000 a second of all processes together.
    Paced,
}

const TASKS: [(Task, &str, &str); 4] = [
    (Task::Reads, "reads", "reads"),
    (Task::Writes, "writes", "writes"),
    (Task::Mixed, "mixed", "9 reads to a write"),
    (Task::Paced, "paced", "2,000 writes/s"),
];

#[derive(Clone, Serialize, Deserialize)]
struct Finding {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// Runs all measurements, interleaved, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (rounds, seconds) = if options.smoke { (1, 0.3) } else { (options.rounds, options.seconds) };
    let memory = tempfile::tempdir_in("/dev/shm")?;
    let disk = tempfile::tempdir_in(&options.disk)?;
    let redis = programs::find(&options.servers, "redis-server");
    let redis = redis.map(|program| RedisServer::start(program, memory.path())).transpose()?;
    let mut places = vec![
        (Kind::Memory, memory.path().join("sessions"), options.processes),
        (Kind::Disk, disk.path().join("sessions"), options.processes),
        (Kind::Map, PathBuf::from("-"), 1),
    ];
    places.extend(redis.as_ref().map(|redis| (Kind::Redis, redis.socket.clone(), options.processes)));
    for (kind, place, _) in places.iter().filter(|(kind, ..)| *kind != Kind::Map) {
        fill(&mut kind.open(place)?)?;
    }
    let mut findings = vec![Vec::new(); places.len() * TASKS.len()];
    for _ in 0..rounds {
        let cases = places.iter().flat_map(|place| TASKS.iter().map(move |task| (place, task)));
        for (findings, ((kind, place, processes), (_, task, _))) in findings.iter_mut().zip(cases) {
            findings.push(measure(*kind, place, task, seconds, *processes)?);
        }
    }
    let names =
        places.iter().flat_map(|(kind, ..)| TASKS.iter().map(move |(.., task)| format!("{}: {task}", kind.name())));
    let rows: Vec<Row> = names.zip(&findings).flat_map(|(name, findings)| rows(&name, findings)).collect();
    table::print_rows("measured", &rows, options.json)
}

fn rows(name: &str, findings: &[Finding]) -> Vec<Row> {
    let row = |what: &str, unit, value: fn(&Finding) -> f64| {
        Row::of(format!("{name}{what}"), unit, findings.iter().map(value))
    };
    let rows = [
        row("", "a second", |finding| finding.per_second),
        row(", p50", "µs", |finding| finding.p50_us),
        row(", p99", "µs", |finding| finding.p99_us),
        row(", max", "µs", |finding| finding.max_us),
    ];
    rows.into_iter().flatten().collect()
}

/// All processes at once; their rates are added, and the worst of their times is taken.
fn measure(kind: Kind, place: &Path, task: &str, seconds: f64, processes: usize) -> Result<Finding> {
    let place = place.display().to_string();
    let args = ["sessions-work", &process::argument(&kind), &place, task, &seconds.to_string(), &processes.to_string()];
    let args = args.map(str::to_owned);
    let workers = (0..processes).map(|_| Process::start(&args, Stdio::null())).collect::<Result<Vec<_>>>()?;
    let findings = workers.into_iter().map(|mut worker| worker.answer()).collect::<Result<Vec<Finding>>>()?;
    let worst = |value: fn(&Finding) -> f64| findings.iter().map(value).fold(0.0, f64::max);
    Ok(Finding {
        per_second: findings.iter().map(|finding| finding.per_second).sum(),
        p50_us: worst(|finding| finding.p50_us),
        p99_us: worst(|finding| finding.p99_us),
        max_us: worst(|finding| finding.max_us),
    })
}

fn fill(store: &mut Store) -> Result<()> {
    (0..SESSIONS).try_for_each(|number| store.write(number, BYTES))
}

/// Reads and writes, and prints what it has found.
pub(crate) fn work(work: &Work) -> Result<()> {
    let mut store = work.store.open(&work.place)?;
    if work.store == Kind::Map {
        fill(&mut store)?;
    }
    let mut seen = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
    let (begin, length) = (Instant::now(), Duration::from_secs_f64(work.seconds));
    let mut due = begin;
    while begin.elapsed() < length {
        let since = match work.task {
            Task::Paced => pace(&mut due, PACED / work.processes as f64),
            _ => Instant::now(),
        };
        let number = fastrand::u64(..SESSIONS);
        match work.task {
            Task::Reads => store.read(number)?,
            Task::Mixed if fastrand::u8(..10) > 0 => store.read(number)?,
            _ => store.write(number, BYTES)?,
        }
        seen.saturating_record(u64::try_from(since.elapsed().as_nanos())?);
    }
    let micros = |quantile| seen.value_at_quantile(quantile) as f64 / 1000.0;
    let per_second = seen.len() as f64 / begin.elapsed().as_secs_f64();
    let finding = Finding { per_second, p50_us: micros(0.5), p99_us: micros(0.99), max_us: micros(1.0) };
    println!("{}", serde_json::to_string(&finding)?);
    Ok(())
}

/// Waits for the next random time. What comes late because the one before took long counts from when it was due.
fn pace(due: &mut Instant, per_second: f64) -> Instant {
    *due += Duration::from_secs_f64(-fastrand::f64().max(1e-9).ln() / per_second);
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    *due
}
