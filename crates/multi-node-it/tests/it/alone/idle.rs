//! Who has nothing to do sleeps.

use std::time::Duration;

use futures_util::future::join_all;
use multi_node_it::{Client, Plan, Program, procfs, within};

const WATCHED: Duration = Duration::from_secs(2);
/// Fewer than ten a second.
const WAKES: u64 = 20;

/// Watches all nodes for a while, and checks that none was woken often.
async fn assert_asleep(program: &mut Program) {
    let pids = program.pids().await;
    // Nobody asks for the status meanwhile: that would wake the master.
    let sleeps = |pids: &[u32]| pids.iter().map(|pid| procfs::sleeps(*pid)).collect::<Vec<_>>();
    let before = sleeps(&pids);
    tokio::time::sleep(WATCHED).await;
    let wakes: Vec<u64> = sleeps(&pids).iter().zip(before).map(|(after, before)| after - before).collect();
    assert!(wakes.iter().all(|wakes| *wakes < WAKES), "within {WATCHED:?}: {wakes:?}");
}

#[tokio::test]
async fn an_idle_fleet_sleeps() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(4)).await;
        assert_asleep(&mut program).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_fleet_whose_connections_are_uneven_sleeps() {
    within(30, async {
        let mut program = Program::serving(Plan { hand_off_when_busy: true, ..Plan::nodes(4) }).await;
        let mut clients = Vec::new();
        for mut client in join_all((0..40).map(|_| Client::connect(program.addr))).await.into_iter().flatten() {
            let id = client.get("/").await.expect("an answer").id();
            clients.push((id, client));
        }
        // Two nodes keep all that they have, and the other two nothing.
        let status = program.at_rest().await;
        let id = |slot: usize| status.slots[slot].id.expect("it serves").to_string();
        let laden = [id(0), id(1)];
        clients.retain(|(id, _)| laden.contains(id));
        program.status_where(|s| s.slots[2..].iter().all(|slot| slot.connections == 0)).await;
        let status = program.status().await;
        assert!(status.slots[..2].iter().all(|slot| slot.connections >= 4), "{status:?}");
        // The first kept connection brings a node the thread and the streams of `hand_off_when_busy`.
        tokio::time::sleep(WATCHED).await;
        assert_asleep(&mut program).await;
        drop(clients);
        program.stop().await;
    })
    .await;
}
