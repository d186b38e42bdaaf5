//! Starting: how long until all nodes serve, how long a killed one is missing, what a node weighs.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use multi_node::Nodes;
use multi_node::status::State;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use crate::{
    memory,
    process::{self, Process},
    table::{self, Row},
    variants::{
        Server, Start, Variant,
        multi_node::{listen_with, until_end},
    },
};

/// Nodes of the fleet whose members are killed and weighed.
const FLEET: usize = 8;

/// A variant, and whether its processes ask for streams to each other.
type Kind = (Variant, bool);

/// What is started.
const KINDS: [Kind; 4] =
    [(Variant::MultiNode, false), (Variant::MultiNode, true), (Variant::Reuseport, false), (Variant::Shared, false)];

/// Arguments of `start`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every measurement runs once.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Nodes that are killed in each round, each in a slot of its own: a slot whose nodes go on dying rests in between.
    #[arg(long, default_value_t = FLEET)]
    kills: usize,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// What the program that kills its own nodes has seen.
#[derive(Serialize, Deserialize)]
struct Finding {
    /// From each SIGKILL until the replacement served, in milliseconds.
    replaced_ms: Vec<f64>,
    weights: Weights,
}

/// What processes weigh.
#[derive(Serialize, Deserialize)]
struct Weights {
    /// Proportional set size of each, in KiB. The program's text is shared, and counts the more, the larger the program is.
    pss_kib: Vec<f64>,
    /// What of it is not of files: the process's own memory.
    own_kib: Vec<f64>,
}

/// Runs all measurements, interleaved, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (rounds, kills) = if options.smoke { (1, 3) } else { (options.rounds, options.kills.min(FLEET)) };
    let sizes: &[usize] = if options.smoke { &[8] } else { &[8, 64] };
    let mut starts = vec![Vec::new(); sizes.len() * KINDS.len()];
    let (mut findings, mut by_hand) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let cases = sizes.iter().flat_map(|size| KINDS.map(|kind| (*size, kind)));
        for (times, (nodes, kind)) in starts.iter_mut().zip(cases) {
            times.push(start_as(kind, nodes)?);
        }
        findings.push(kill_and_weigh(kills)?);
        by_hand.push(weigh_by_hand()?);
    }
    let cases = sizes.iter().flat_map(|size| KINDS.map(|kind| (*size, kind)));
    let mut rows: Vec<Row> = cases
        .zip(starts)
        .filter_map(|((nodes, (variant, streams)), times)| {
            let with = if streams { " with a stream between every two" } else { "" };
            Row::of(format!("{}: {nodes} nodes serve{with} after", variant.name()), "ms", times)
        })
        .collect();
    let replaced = findings.iter().flat_map(|finding| finding.replaced_ms.iter().copied());
    rows.extend(Row::of("multi-node: SIGKILL until the replacement serves".to_owned(), "ms", replaced));
    let weights = findings.iter().map(|finding| &finding.weights);
    rows.extend(weight_rows("multi-node", &weights.collect::<Vec<_>>()));
    rows.extend(weight_rows("reuseport", &by_hand.iter().collect::<Vec<_>>()));
    table::print_rows("measured", &rows, options.json)
}

/// Milliseconds from the start of the program until all of it serves.
pub(crate) fn start(variant: Variant, nodes: usize) -> Result<f64> {
    start_as((variant, false), nodes)
}

fn start_as((variant, streams): Kind, nodes: usize) -> Result<f64> {
    let before = Instant::now();
    let server = Server::start(variant, &Start::on_free_port(nodes).with_streams(streams), Stdio::null())?;
    let time = before.elapsed();
    drop(server);
    Ok(millis(time))
}

/// The rows of one kind of process.
fn weight_rows(name: &str, weights: &[&Weights]) -> Vec<Row> {
    let mib = |kib: fn(&Weights) -> &Vec<f64>| weights.iter().copied().flat_map(kib).map(|kib| kib / 1024.0);
    let pss = Row::of(format!("{name}: PSS of each of {FLEET} processes"), "MiB", mib(|weights| &weights.pss_kib));
    let own = Row::of(format!("{name}: of that, memory of no file"), "MiB", mib(|weights| &weights.own_kib));
    pss.into_iter().chain(own).collect()
}

fn weigh(pids: &[u32]) -> Result<Weights> {
    let weigh = |line| pids.iter().map(|&pid| memory::kib(pid, line)).collect::<Result<Vec<f64>>>();
    Ok(Weights { pss_kib: weigh("Pss:")?, own_kib: weigh("Pss_Anon:")? })
}

/// Hand-made prefork of the same program, which lacks only the library.
fn weigh_by_hand() -> Result<Weights> {
    let server = Server::on_free_port(Variant::Reuseport, FLEET)?;
    weigh(&server.pids()[1..])
}

fn kill_and_weigh(kills: usize) -> Result<Finding> {
    let mut program = Process::start(&["killed-nodes".to_owned(), kills.to_string()], Stdio::null())?;
    program.answer()
}

/// The program whose nodes are killed and weighed: its master does both.
pub(crate) fn killed_nodes(kills: usize) -> Result<()> {
    process::die_with_parent()?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let nodes = listen_with(FLEET, 0).await?;
        if !nodes.is_master() {
            return until_end(&nodes).await;
        }
        nodes.ready().await?;
        let pids: Vec<u32> = nodes.status().slots.iter().filter_map(|slot| slot.pid).collect();
        let weights = weigh(&pids)?;
        let mut replaced_ms = Vec::new();
        for slot in 0..kills {
            replaced_ms.push(millis(replace(&nodes, slot).await?));
        }
        println!("{}", serde_json::to_string(&Finding { replaced_ms, weights })?);
        Ok(nodes.shutdown().await?)
    })
}

/// Kills the node of one slot and waits until its replacement serves.
async fn replace(nodes: &Nodes, slot: usize) -> Result<Duration> {
    let serving = |status: &multi_node::Status| {
        let entry = status.slots.iter().find(|entry| entry.slot.index() == slot && entry.state == State::Serving);
        entry.and_then(|entry| entry.pid)
    };
    let old = serving(&nodes.status()).context("the slot serves")?;
    let pid = i32::try_from(old).ok().and_then(Pid::from_raw).context("a pid")?;
    let before = Instant::now();
    kill_process(pid, Signal::KILL)?;
    let mut watch = nodes.watch();
    while let Some(status) = watch.next().await {
        if serving(&status).is_some_and(|new| new != old) {
            return Ok(before.elapsed());
        }
    }
    anyhow::bail!("the program ended")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
