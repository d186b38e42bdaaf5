//! Random bytes: clients send their requests in random pieces, pipelined, with bodies of every form, and shut down their writing
//! side, while a program reloads, restarts, scales, upgrades and recycles. Every request is answered, in order; every POST is
//! executed exactly once, or at most once where the process that held its connection was killed.
//!
//! `BYTES_SEED` repeats what the clients send and what is done to the program; `BYTES_SECONDS` makes it longer.

mod client;
mod script;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::join_all;
use multi_node_it::plan::RecyclePlan;
use multi_node_it::{Plan, execution_log, from_env, within};

use self::client::Client;
use self::verdict::Verdict;
use super::trouble::{self, Event, Trouble, random_seed};

/// Each has one connection at a time.
const CLIENTS: u64 = 48;

/// Requests that are answered each second, at least: on a machine that is busy with other things too.
const LEAST: u64 = 20;

/// Kills are few, since they are the only excuse for a lost request.
const EVENTS: [Event; 10] = [
    Event::Reload,
    Event::Reload,
    Event::Restart,
    Event::Restart,
    Event::Scale,
    Event::Scale,
    Event::Upgrade,
    Event::Upgrade,
    Event::Stop,
    Event::Kill,
];

#[tokio::test]
async fn every_post_is_executed_once_and_every_request_is_answered_in_order() {
    let seed = from_env("BYTES_SEED").unwrap_or_else(random_seed);
    let seconds = from_env("BYTES_SECONDS").unwrap_or(12);
    println!("BYTES_SEED={seed} BYTES_SECONDS={seconds}");
    within(seconds + 90, run(seed, Duration::from_secs(seconds))).await;
}

async fn run(seed: u64, time: Duration) {
    let recycling = RecyclePlan { max_requests: Some(150), ..RecyclePlan::default() };
    // A request whose pieces come slowly is waited for.
    let plan = Plan { recycling, drain_timeout: Duration::from_secs(20), ..trouble::plan() };
    let mut trouble = Trouble::new(plan, &EVENTS, seed).await;
    let stop = Arc::new(AtomicBool::new(false));
    let client = |number| tokio::spawn(Client::new(trouble.program.addr, seed, number).converse(stop.clone()));
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    trouble.go_on(time).await;
    trouble.end_commands().await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let accounts = join_all(clients).await.into_iter().map(|account| account.expect("no client panics"));
    let mut verdict = Verdict::of(accounts, &execution_log::executed(&trouble.program.faults()));
    verdict.excuse(|lost| trouble.kills.broke(lost.port, lost.opened, lost.at));
    let recycled = trouble.program.log().matches("recycling done").count();
    println!("{verdict}; {}; {recycled} recycled", counts(&trouble.history));
    let failures = verdict.failures(trouble.start);
    assert!(failures.is_empty(), "BYTES_SEED={seed}\n{}\n{}", failures.join("\n"), trouble.history.join("\n"));
    assert!(verdict.answered > LEAST * time.as_secs(), "only {} requests were answered", verdict.answered);
    trouble.program.stop().await;
}

/// How often each thing was done to the program.
fn counts(history: &[String]) -> String {
    let count = |what: &str| history.iter().filter(|line| line.contains(what)).count();
    let names = ["reload", "restart", "scale", "upgrade", "stop", "kill"];
    names.map(|name| format!("{name} {}", count(name))).join(", ")
}
