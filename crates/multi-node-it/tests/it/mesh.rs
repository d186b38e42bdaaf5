//! Every process is joined to every other.

use std::collections::BTreeSet;
use std::time::Duration;

use multi_node::Status;
use multi_node::status::State;
use multi_node_it::program::send;
use multi_node_it::{Plan, Program, Streams, procfs, within};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Waits until the process behind the next answer of the master, and one node, reach `others` peers each.
async fn all_answer(program: &mut Program, others: usize) {
    loop {
        let master = program.command("ping").await;
        if master["answered"].as_array().map(Vec::len) == Some(others) && master["asked"] == json!(others) {
            return;
        }
    }
}

/// Waits until each of the nodes and the master have reached all others.
async fn all_reach_each_other(program: &mut Program) {
    let ids: BTreeSet<String> =
        program.at_rest().await.slots.iter().filter_map(|slot| slot.id).map(|id| id.to_string()).collect();
    all_answer(program, ids.len()).await;
    // A node that has not yet met all the others asks fewer; each has its turn until it has reached all.
    let mut complete = BTreeSet::new();
    while complete.len() < ids.len() {
        let pinged = program.get("/ping").await.expect("an answer").json();
        let answered: BTreeSet<String> = serde_json::from_value(pinged["answered"].clone()).expect("a list of ids");
        assert_eq!(pinged["asked"], json!(answered.len()), "{pinged}");
        if answered.len() == ids.len() {
            // Who has asked is not among them, and the master is.
            complete.extend(ids.difference(&answered).cloned());
        }
    }
}

#[tokio::test]
async fn eight_nodes_and_their_master_reach_each_other() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(8)).await;
        all_reach_each_other(&mut program).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_replaced_node_is_joined_anew() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(4)).await;
        all_answer(&mut program, 4).await;
        let pids = program.pids().await;
        send(pids[1], Signal::KILL);
        program.status_where(|s| s.slots[1].restarts == 1 && s.is_ready()).await;
        all_answer(&mut program, 4).await;
        assert!(!procfs::is_alive(pids[1]));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_draining_node_and_those_that_come_later_reach_each_other() {
    within(60, async {
        let mut program = Program::serving(Plan { drain_timeout: Duration::from_secs(60), ..Plan::nodes(2) }).await;
        all_reach_each_other(&mut program).await;
        let mut open = [program.connected_to("node-1").await, program.connected_to("node-2").await];
        for client in &mut open {
            client.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\n").await.expect("sent");
        }
        program.status_where(|s| s.slots.iter().map(|slot| slot.in_flight).sum::<u64>() == 2).await;
        let reload = program.send("reload").await;
        let serving = |status: &Status| status.slots.iter().filter(|slot| slot.state == State::Serving).count();
        program.status_where(|s| serving(s) == 2 && s.slots.len() == 4).await;
        // A new node reaches the other new one, both that drain, and the master.
        let wanted = ["master", "node-1", "node-2"].map(str::to_owned);
        loop {
            let pinged = program.get("/ping").await.expect("an answer").json();
            let answered: BTreeSet<String> = serde_json::from_value(pinged["answered"].clone()).expect("a list of ids");
            if answered.len() == 4 && wanted.iter().all(|id| answered.contains(id)) {
                break;
            }
        }
        let draining = program.command("draining peers").await;
        assert_eq!(draining, json!(["node-1", "node-2"]), "the master sees who drains");
        drop(open);
        program.answer(reload).await;
        assert_eq!(program.command("draining peers").await, json!([]));
        program.stop().await;
    })
    .await;
}

/// A number that stands for success.
fn ok(answer: &Value) -> u64 {
    answer["Ok"].as_u64().unwrap_or_else(|| panic!("{answer} is no success"))
}

/// Waits until the master keeps the streams to exactly these.
async fn holds(program: &mut Program, ids: &[&str]) {
    while program.command("held").await != json!(ids) {}
}

#[tokio::test]
async fn who_does_not_read_makes_the_writer_wait() {
    within(30, async {
        let mut program = Program::serving(Plan { streams: Streams::Hold, ..Plan::nodes(1) }).await;
        holds(&mut program, &["node-1"]).await;
        let written = ok(&program.command("fill node-1").await);
        // About the kernel's buffer, and nothing that the library would keep for itself on either side.
        assert!((1..1 << 20).contains(&written), "{written} bytes were taken");
        let read = program.get(&format!("/held/read%20master%20{written}")).await.expect("an answer").json();
        assert_eq!(ok(&read), written);
        assert!(ok(&program.command("fill node-1").await) > 0, "the reader has made room");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_peers_death_ends_reading_and_breaks_writing() {
    within(30, async {
        let mut program = Program::serving(Plan { streams: Streams::Hold, ..Plan::nodes(2) }).await;
        holds(&mut program, &["node-1", "node-2"]).await;
        let said = program.get("/held/write%20master").await.expect("an answer");
        assert_eq!(ok(&said.json()), 1);
        for pid in program.pids().await {
            send(pid, Signal::KILL);
        }
        program.status_where(|s| s.is_ready() && s.slots.iter().all(|slot| slot.restarts == 1)).await;
        // What was said before comes first; one of the two has said it.
        let rest = [program.command("finish node-1").await, program.command("finish node-2").await];
        assert_eq!(rest.iter().map(ok).sum::<u64>(), 1, "{rest:?}");
        for id in ["node-1", "node-2"] {
            assert_eq!(program.command(&format!("write {id}")).await, json!({ "Err": "BrokenPipe" }));
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_dies_with_unread_bytes_ends_like_any_other() {
    within(30, async {
        let mut program = Program::serving(Plan { streams: Streams::Hold, ..Plan::nodes(2) }).await;
        holds(&mut program, &["node-1", "node-2"]).await;
        for (slot, pid) in program.pids().await.into_iter().enumerate() {
            assert_eq!(ok(&program.command(&format!("write node-{}", slot + 1)).await), 1);
            send(pid, Signal::KILL);
        }
        program.status_where(|s| s.is_ready() && s.slots.iter().all(|slot| slot.restarts == 1)).await;
        assert_eq!(program.command("finish node-1").await, json!({ "Ok": 0 }));
        assert_eq!(program.command("write node-2").await, json!({ "Err": "BrokenPipe" }));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_made_anew_on_request() {
    within(30, async {
        let mut program = Program::serving(Plan { streams: Streams::Hold, ..Plan::nodes(1) }).await;
        holds(&mut program, &["node-1"]).await;
        assert_eq!(program.command("rejoin node-2").await, json!(false), "nobody of this name is joined");
        assert_eq!(program.command("rejoin node-1").await, json!(true));
        while program.command("epochs").await != json!([1]) {}
        while program.get("/held/epochs").await.expect("an answer").json() != json!([1]) {}
        assert_eq!(ok(&program.command("write node-1").await), 1);
        let read = program.get("/held/read%20master%201").await.expect("an answer").json();
        assert_eq!(ok(&read), 1);
        assert_eq!(program.command("rejoin node-1").await, json!(true));
        program.logged("got a new stream less than 500ms ago").await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn late_callers_get_the_living_only() {
    within(30, async {
        let mut program = Program::serving(Plan { streams: Streams::HoldLate, ..Plan::nodes(4) }).await;
        let pids = program.pids().await;
        // The first of them is on its way to the program already.
        for slot in [0, 2] {
            send(pids[slot], Signal::KILL);
        }
        program.status_where(|s| s.is_ready() && [0, 2].iter().all(|slot| s.slots[*slot].restarts == 1)).await;
        assert_eq!(program.command("held").await, json!([]));
        program.command("take").await;
        holds(&mut program, &["node-2", "node-4", "node-5", "node-6"]).await;
        for id in ["node-2", "node-4", "node-5", "node-6"] {
            assert_eq!(ok(&program.command(&format!("write {id}")).await), 1);
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn there_are_streams_where_the_program_asks_for_them() {
    within(30, async {
        let mut with = Program::serving(Plan::nodes(4)).await;
        let mut without = Program::serving(Plan { peers: false, ..Plan::nodes(4) }).await;
        let mut unasked = Program::serving(Plan { streams: Streams::Unasked, ..Plan::nodes(4) }).await;
        all_answer(&mut with, 4).await;
        assert_eq!(without.command("peers").await, json!([]));
        // One to each of three nodes, and one to the master: no connection was handed off yet.
        let (joined, alone) = (with.pids().await[0], without.pids().await[0]);
        with.until(|| procfs::sockets(joined) == procfs::sockets(alone).map(|sockets| sockets + 4)).await;
        with.until(|| procfs::sockets(with.pid) == procfs::sockets(without.pid).map(|sockets| sockets + 4)).await;
        // They are joined, which takes none.
        while unasked.command("peers").await.as_array().map(Vec::len) != Some(4) {}
        assert_eq!(procfs::sockets(unasked.pids().await[0]), procfs::sockets(alone));
        assert_eq!(procfs::sockets(unasked.pid), procfs::sockets(without.pid));
        for program in [with, without, unasked] {
            program.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn replaced_siblings_leave_no_descriptors_behind() {
    within(60, async {
        let backoff = (Duration::from_millis(1), Duration::from_millis(5));
        let plan = Plan { backoff, crash_loop: (1000, Duration::from_secs(60)), ..Plan::nodes(4) };
        let mut program = Program::serving(plan).await;
        all_reach_each_other(&mut program).await;
        let staying = [program.pid, program.pids().await[0]];
        let fds = staying.map(procfs::fds);
        for round in 1..=10 {
            let pids = program.pids().await;
            for pid in &pids[1..] {
                send(*pid, Signal::KILL);
            }
            program.status_where(|s| s.is_ready() && s.slots[1..].iter().all(|slot| slot.restarts == round)).await;
        }
        all_answer(&mut program, 4).await;
        program.until(|| staying.map(procfs::fds) == fds).await;
        assert_eq!(program.pids().await[0], staying[1], "the first node was to stay");
        program.stop().await;
    })
    .await;
}
