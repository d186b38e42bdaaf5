//! A draining node's idle connections go on in another process, and their clients see nothing of it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use multi_node::Status;
use multi_node::status::{SlotStatus, State};
use multi_node_it::in_flight::InFlight;
use multi_node_it::program::{fixture, send};
use multi_node_it::{Client, Plan, Program, limits, needs, procfs, within};
use rustix::process::{Signal, geteuid};

/// This number of kept connections, each of which has been answered once.
pub(crate) async fn kept(program: &Program, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    while clients.len() < count {
        let batch = (count - clients.len()).min(200);
        let batch = join_all((0..batch).map(async |_| {
            let mut client = Client::connect(program.addr).await.expect("a connection");
            client.get("/").await.expect("an answer");
            client
        }));
        clients.extend(batch.await);
    }
    clients
}

/// Asks once more on each connection. Returns which node answered each that still works.
pub(crate) async fn answered(clients: Vec<Client>) -> Vec<String> {
    let asked = clients.into_iter().map(async |mut client| client.get("/").await.map(|answer| answer.id()));
    join_all(asked).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn five_thousand_idle_connections_survive_a_reload() {
    limits::raise_open_files();
    within(60, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let old: Vec<String> = program.answering(2).await.into_keys().collect();
        let clients = kept(&program, 5000).await;
        program.command("reload").await;
        let ids = answered(clients).await;
        assert_eq!(ids.len(), 5000, "{}", program.log());
        assert!(ids.iter().all(|id| !old.contains(id)), "a node that was replaced answers still");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn connections_that_have_said_nothing_survive_too() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let fresh = join_all((0..100).map(|_| Client::connect(program.addr))).await;
        let fresh: Vec<Client> = fresh.into_iter().map(|client| client.expect("a connection")).collect();
        program.status_where(|s| s.slots.iter().map(|slot| slot.connections).sum::<u64>() == 100).await;
        for _ in 0..3 {
            program.command("reload").await;
        }
        assert_eq!(answered(fresh).await.len(), 100, "{}", program.log());
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_busy_connection_is_answered_and_then_goes_on_elsewhere() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let mut client = Client::connect(program.addr).await.expect("a connection");
        let before = client.get("/").await.expect("an answer").id();
        client.ask("/sleep/500").await.expect("sent");
        program.status_where(|s| s.slots[0].in_flight == 1).await;
        program.command("reload").await;
        let slow = client.answer().await.expect("the old node answers");
        assert!(!slow.headers.contains("connection: close"), "{}", slow.headers);
        let after = client.get("/").await.expect("the new node answers").id();
        assert_ne!(after, before);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_told_to_leave_hands_off_to_its_siblings() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(3)).await;
        let clients = kept(&program, 90).await;
        let pids = program.pids().await;
        send(pids[0], Signal::TERM);
        program.gone([pids[0]]).await;
        assert_eq!(answered(clients).await.len(), 90, "{}", program.log());
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_successor_that_dies_costs_no_other_slot_a_connection() {
    limits::raise_open_files();
    within(60, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let clients = kept(&program, 2000).await;
        let before: Vec<u64> = program.at_rest().await.slots.iter().map(|slot| slot.connections).collect();
        let reload = program.send("reload").await;
        // The first successor is killed as soon as it has some of them.
        let taken = |s: &Status| s.slots.iter().any(|slot| slot.generation.number() == 1 && slot.connections > 0);
        let status = program.status_where(taken).await;
        let successor = status.slots.iter().find(|slot| slot.generation.number() == 1 && slot.connections > 0);
        let successor = successor.expect("it serves");
        send(successor.pid.expect("it lives"), Signal::KILL);
        program.answer(reload).await;
        program.at_rest().await;
        // Nobody waits for an answer that never comes, and the other slot's connections have all gone on.
        let answered = answered(clients).await.len() as u64;
        let others = before[1 - successor.slot.index()];
        assert!(answered >= others, "{answered} are answered, of {before:?}\n{}", program.log());
        program.stop().await;
    })
    .await;
}

/// A reload of one slot, whose old node is held up until its successor serves and stands still. Says who they are.
async fn stopped_successor(program: &mut Program) -> (u32, u32) {
    let old = program.pids().await[0];
    send(old, Signal::STOP);
    program.signal(Signal::HUP);
    let serves = |slot: &SlotStatus| slot.generation.number() == 1 && slot.state == State::Serving;
    let status = program.status_where(|s| s.slots.iter().any(serves)).await;
    let successor = status.slots.iter().find(|slot| serves(slot)).and_then(|slot| slot.pid).expect("it lives");
    send(successor, Signal::STOP);
    program.until(|| procfs::is_stopped(successor)).await;
    (old, successor)
}

#[tokio::test]
async fn what_an_only_successor_did_not_take_goes_to_its_successor() {
    limits::raise_open_files();
    within(60, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let clients = kept(&program, 500).await;
        let (old, successor) = stopped_successor(&mut program).await;
        send(old, Signal::CONT);
        send(successor, Signal::KILL);
        program.gone([old, successor]).await;
        let answered = answered(clients).await;
        assert_eq!(answered.len(), 500, "{}", program.log());
        let serving = program.answering(1).await;
        assert!(answered.iter().all(|id| serving.contains_key(id)), "{serving:?}, {answered:?}");
        program.stop().await;
    })
    .await;
}

/// How many connections the nodes of the new generation have.
fn moved(status: &Status) -> u64 {
    let new = status.slots.iter().filter(|slot| slot.generation.number() == 1);
    new.map(|slot| slot.connections).sum()
}

/// Lets a process that stands still run for a moment; how far it comes does not matter.
async fn run_for_a_moment(program: &Program, pid: u32) {
    send(pid, Signal::CONT);
    tokio::time::sleep(Duration::from_millis(5)).await;
    send(pid, Signal::STOP);
    program.until(|| procfs::is_stopped(pid)).await;
}

#[tokio::test]
async fn an_successor_that_is_killed_half_way_costs_what_it_had_taken_and_no_more() {
    limits::raise_open_files();
    within(100, async {
        let mut program = Program::serving(Plan { drain_timeout: Duration::from_secs(90), ..Plan::nodes(1) }).await;
        let clients = kept(&program, 5000).await;
        let (old, successor) = stopped_successor(&mut program).await;
        // As they run in turn, no more goes over at once than may be under way.
        let mut taken = 0;
        while taken < 1000 {
            run_for_a_moment(&program, old).await;
            run_for_a_moment(&program, successor).await;
            taken = moved(&program.status().await);
        }
        assert!(taken < 1100, "{taken} are more than the window allows");
        send(old, Signal::CONT);
        send(successor, Signal::KILL);
        program.gone([old, successor]).await;
        let answered = answered(clients).await.len() as u64;
        // It may have been stopped between the count of one, whose place it keeps, and its word that it takes it.
        assert!((5000 - taken..=5000 - taken + 1).contains(&answered), "{answered} and {taken}\n{}", program.log());
        program.stop().await;
    })
    .await;
}

/// Descriptors under way count against the limit of any process of the same user that sends others, unless it has privileges
/// (unix(7), ETOOMANYREFS).
#[tokio::test]
async fn a_handoff_waits_while_too_many_descriptors_are_under_way() {
    const LIMIT: u64 = 400;
    within(30, async {
        // In a user namespace root has no privileges outside, and is the same user.
        let flags = if geteuid().is_root() { vec!["--user"] } else { Vec::new() };
        if !needs::unshare(&flags) {
            return;
        }
        let mut program = Program::run("unshare".as_ref(), Plan::nodes(1), |unshare| {
            unshare.args(&flags).arg(fixture());
        })
        .await;
        let old = program.pids().await[0];
        let clients = kept(&program, 200).await;
        limits::limit_open_files(old, LIMIT);
        let under_way = InFlight::new(LIMIT as usize + 100);
        let reload = program.send("reload").await;
        program.status_where(|s| s.slots.iter().any(|slot| slot.generation.number() == 1)).await;
        program.logged("drains, for 5 s at most").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(moved(&program.status().await), 0, "the kernel takes none");
        drop(under_way);
        program.answer(reload).await;
        assert_eq!(answered(clients).await.len(), 200, "{}", program.log());
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_waits_for_no_successors() {
    within(30, async {
        let mut program = Program::serving(Plan { drain_timeout: Duration::from_secs(60), ..Plan::nodes(1) }).await;
        let clients = kept(&program, 10).await;
        let (old, successor) = stopped_successor(&mut program).await;
        send(old, Signal::CONT);
        program.signal(Signal::TERM);
        program.status_where(|s| s.slots.iter().all(|slot| slot.state != State::Serving)).await;
        send(successor, Signal::KILL);
        let begun = Instant::now();
        program.ends_well().await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", program.log());
        assert_eq!(answered(clients).await.len(), 0);
    })
    .await;
}
