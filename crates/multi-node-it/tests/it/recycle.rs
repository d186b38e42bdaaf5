//! Recycling: nodes that have done enough are replaced, and nobody notices.

use std::time::Duration;

use multi_node::Status;
use multi_node::status::{NodeId, State};
use multi_node_it::plan::RecyclePlan;
use multi_node_it::{Fault, Load, Plan, Program, within};

fn plan(nodes: usize, recycling: RecyclePlan) -> Plan {
    Plan { recycling, ..Plan::nodes(nodes) }
}

fn count(status: &Status, state: State) -> usize {
    status.slots.iter().filter(|slot| slot.state == state).count()
}

/// Watches the fleet until this number of nodes was recycled: one slot at a time, and no fewer serve meanwhile.
async fn recycles(program: &mut Program, nodes: usize, times: usize) {
    while program.log().matches("recycling done").count() < times {
        let status = program.status().await;
        assert!(count(&status, State::Serving) >= nodes, "{status:?}");
        assert!(status.slots.len() <= nodes + 1, "more than one slot at a time: {status:?}");
        assert!(status.slots.iter().all(|slot| slot.restarts == 0), "{status:?}");
    }
}

#[tokio::test]
async fn nodes_that_have_served_enough_are_replaced_and_no_request_fails() {
    within(30, async {
        let recycling = RecyclePlan { max_requests: Some(200), ..RecyclePlan::default() };
        let mut program = Program::serving(plan(2, recycling)).await;
        let load = Load::begin(program.addr, 2).and_kept(program.addr, 2);
        recycles(&mut program, 2, 4).await;
        load.end().await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_that_are_old_are_replaced_one_after_the_other() {
    within(30, async {
        let recycling = RecyclePlan { max_age: Some(Duration::from_millis(500)), ..RecyclePlan::default() };
        let mut program = Program::serving(plan(3, recycling)).await;
        let load = Load::begin(program.addr, 1).and_kept(program.addr, 2);
        recycles(&mut program, 3, 6).await;
        load.end().await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_grows_is_replaced_and_the_other_is_not() {
    within(30, async {
        let recycling = RecyclePlan { max_memory: Some(200 << 20), ..RecyclePlan::default() };
        let mut program = Program::serving(plan(2, recycling)).await;
        let before = program.pids().await;
        let grown = program.get("/grow/256").await.expect("an answer").pid();
        program.logged("recycling done").await;
        let after = program.pids().await;
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(old == new, *old != grown, "{before:?} became {after:?}, and {grown} had grown");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_successor_that_fails_costs_nothing_and_another_is_tried() {
    within(30, async {
        let recycling = RecyclePlan { max_age: Some(Duration::from_millis(500)), ..RecyclePlan::default() };
        let mut program = Program::serving(plan(1, recycling)).await;
        Fault::Die.lay(&program.faults());
        let load = Load::begin(program.addr, 1).and_kept(program.addr, 1);
        program.logged("recycling failed: node-2 in slot 0 ended with exit code 3 while starting").await;
        program.logged("recycling failed: node-3 in slot 0").await;
        let first = program.status().await;
        assert_eq!(first.slots.last().and_then(|slot| slot.id).map(NodeId::number), Some(1), "{first:?}");
        Fault::Die.lift(&program.faults());
        recycles(&mut program, 1, 1).await;
        load.end().await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_command_puts_recycling_off() {
    within(30, async {
        let recycling = RecyclePlan { max_age: Some(Duration::from_millis(500)), ..RecyclePlan::default() };
        let mut program = Program::serving(plan(1, recycling)).await;
        Fault::StuckInFactory.lay(&program.faults());
        program.status_where(|s| count(s, State::Initializing) == 1).await;
        let reload = program.send("reload").await;
        program.logged("recycling is put off for a command").await;
        Fault::StuckInFactory.lift(&program.faults());
        assert!(program.answer(reload).await["Ok"].is_object());
        program.stop().await;
    })
    .await;
}
