//! Chaos: whatever is done to a program at random, clients lose what killed processes held and nothing else, and in the
//! end nothing is left over.
//!
//! `CHAOS_SEED` repeats the decisions of a run, `CHAOS_SECONDS` makes it longer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use multi_node::Status;
use multi_node_bench::requests;
use multi_node_it::{Program, from_env, procfs, within};
use multi_node_probe::{Kind, Load, Lost, Plan as LoadPlan};

use crate::handoff::kept;

use super::trouble::{self, Event, Trouble, random_seed};

const EVENTS: [Event; 7] =
    [Event::Kill, Event::Stop, Event::Reload, Event::Restart, Event::Scale, Event::Upgrade, Event::FewFiles];

/// What a program has while nobody talks to it: descriptors of its master and of each node.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    master: Option<usize>,
    nodes: Vec<Option<usize>>,
}

#[tokio::test]
async fn nothing_is_lost_but_by_kills_and_nothing_is_left() {
    let seed = from_env("CHAOS_SEED").unwrap_or_else(random_seed);
    let seconds = from_env("CHAOS_SECONDS").unwrap_or(12);
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    within(seconds + 60, run(seed, Duration::from_secs(seconds))).await;
}

async fn run(seed: u64, time: Duration) {
    let mut chaos = Trouble::new(trouble::plan(), &EVENTS, seed).await;
    // The first kept connection brings a node the thread and the streams of `hand_off_when_busy`.
    drop(kept(&chaos.program, 40).await);
    let before = belongings_when_joined(&mut chaos.program).await;
    let load = Load::start(&clients(chaos.program.addr, seed));
    chaos.go_on(time).await;
    chaos.settle().await;
    let tally = tokio::task::spawn_blocking(|| load.end()).await.expect("no client panics");
    let (lost, killed) = (tally.lost().len(), chaos.kills.count());
    println!("{} events; {} answered, {lost} lost in {killed} kills", chaos.history.len(), tally.answered());
    let unexplained: Vec<Lost> = tally.lost().into_iter().filter(|lost| !chaos.kills.explain(lost)).collect();
    let shown = unexplained.iter().map(|lost| describe(lost, chaos.start)).collect::<Vec<_>>();
    assert!(shown.is_empty(), "{} lost:\n{}\n{}", shown.len(), shown.join("\n"), chaos.history.join("\n"));
    assert!(tally.answered() > 1000, "only {} requests were answered", tally.answered());
    leaves_nothing(&mut chaos.program, &before).await;
    chaos.program.stop().await;
}

fn clients(addr: SocketAddr, seed: u64) -> LoadPlan {
    let clients = [
        (Kind::Kept, 16),
        (Kind::New, 4),
        (Kind::Pooled, 64),
        (Kind::SlowAnswer, 8),
        (Kind::Large, 2),
        (Kind::WebSocket, 8),
    ];
    requests::plan(addr, &clients, Duration::from_secs(5), Duration::from_secs(20), seed)
}

async fn belongings(program: &mut Program) -> Belongings {
    let nodes = program.pids().await.into_iter().map(procfs::fds).collect();
    Belongings { master: procfs::fds(program.pid), nodes }
}

/// The same once every node is joined with all others: then each has as much as the next.
async fn belongings_when_joined(program: &mut Program) -> Belongings {
    loop {
        let now = belongings(program).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if now.nodes.iter().all(|fds| *fds == now.nodes[0]) && belongings(program).await == now {
            return now;
        }
    }
}

/// Waits until the program has what it had before: no further process or descriptor, no connection, no request.
async fn leaves_nothing(program: &mut Program, before: &Belongings) {
    let idle = |status: &Status| status.slots.iter().all(|slot| (slot.connections, slot.in_flight) == (0, 0));
    let status = program.status_where(idle).await;
    let told: BTreeSet<u32> = status.slots.iter().filter_map(|slot| slot.pid).collect();
    let children: BTreeSet<u32> = procfs::children(program.pid).into_iter().collect();
    assert_eq!(told, children, "the status tells of other processes than there are");
    let limit = Instant::now() + Duration::from_secs(10);
    let mut after = belongings(program).await;
    while after != *before && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(20)).await;
        after = belongings(program).await;
    }
    assert_eq!(after, *before, "descriptors are left over");
}

fn describe(lost: &Lost, start: Instant) -> String {
    let opened = lost.connection.map(|(port, at)| format!("port {port}, open since {:.3?}", at - start));
    let at = lost.at - start;
    format!("{at:>8.3?} {} {}; {}", lost.kind.name(), lost.failure, opened.unwrap_or_default())
}
