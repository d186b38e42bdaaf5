//! Limits: what a check costs, by how many processes check at once and over how many keys.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use multi_node::limits::Quota;
use multi_node_limits::{Limit, SharedTable, Size};
use serde::{Deserialize, Serialize};

use crate::{
    process::Process,
    table::{self, Row},
};

/// Keys that the table has room for.
const ROOM: usize = 65_536;

/// Arguments of `limits`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every measurement runs once.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Checks of each process.
    #[arg(long, default_value_t = 2_000_000)]
    checks: u64,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// What a process does that checks.
#[derive(clap::Args, Clone)]
pub(crate) struct Work {
    /// The table's file.
    table: PathBuf,
    checks: u64,
    keys: u64,
}

/// What it has found.
#[derive(Serialize, Deserialize)]
struct Finding {
    ns_per_check: f64,
    allowed: u64,
}

/// How many processes check at once, and over how many keys.
const CASES: [(u64, u64); 4] = [(1, 1), (2, 1), (1, 20_000), (2, 20_000)];

/// How many checks of each key are allowed, in all processes together.
const LIMIT: u64 = 100;

/// Runs all measurements, interleaved, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (rounds, checks) = if options.smoke { (1, 200_000) } else { (options.rounds, options.checks) };
    let mut costs = vec![Vec::new(); CASES.len()];
    for _ in 0..rounds {
        for (costs, (processes, keys)) in costs.iter_mut().zip(CASES) {
            costs.extend(measure(processes, keys, checks)?);
        }
    }
    let rows: Vec<Row> = CASES
        .iter()
        .zip(costs)
        .filter_map(|((processes, keys), costs)| {
            Row::of(format!("a check; processes at once: {processes}, keys: {keys}"), "ns", costs)
        })
        .collect();
    table::print_rows("measured", &rows, options.json)
}

/// What a check costs each process. That no key was allowed more than its limit is checked too.
fn measure(processes: u64, keys: u64, checks: u64) -> Result<Vec<f64>> {
    let (table, file) =
        SharedTable::create(Size { keys: ROOM, processes: 1 }, [7; 16]).context("no table can be made")?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let args = ["limits-work".to_owned(), path, checks.to_string(), keys.to_string()];
    let workers = (0..processes).map(|_| Process::start(&args, Stdio::null())).collect::<Result<Vec<_>>>()?;
    let findings = workers.into_iter().map(|mut worker| worker.answer()).collect::<Result<Vec<Finding>>>()?;
    let allowed: u64 = findings.iter().map(|finding| finding.allowed).sum();
    let expected = keys * LIMIT.min(processes * checks / keys);
    anyhow::ensure!(
        allowed == expected && table.overflows() == 0,
        "{allowed} checks of {keys} keys were allowed, and {} found no room; expected {expected} and none",
        table.overflows()
    );
    Ok(findings.into_iter().map(|finding| finding.ns_per_check).collect())
}

/// Checks, and prints what it has found.
pub(crate) fn work(work: &Work) -> Result<()> {
    let file = File::options().read(true).write(true).open(&work.table).context("the table cannot be opened")?;
    let table = SharedTable::open(&file.into()).context("it is no table")?;
    let quota = Quota::new(LIMIT, Duration::from_secs(300 * 24 * 3600))?;
    let limit = Limit::new(table, "bench", quota);
    let start = Instant::now();
    let allowed = (0..work.checks).filter(|check| limit.check(check % work.keys).is_ok()).count();
    let ns_per_check = start.elapsed().as_secs_f64() * 1e9 / work.checks as f64;
    println!("{}", serde_json::to_string(&Finding { ns_per_check, allowed: allowed as u64 })?);
    Ok(())
}
