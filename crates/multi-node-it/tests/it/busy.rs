//! While a node computes, other nodes answer the requests that wait on its kept connections.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use multi_node_it::{Client, Plan, Program, within};

use crate::handoff::kept;

/// A node's name, and its connections.
type Group = (String, Vec<Client>);

/// A program of two nodes, and kept connections of each.
async fn two_groups(plan: Plan) -> (Program, Group, Group) {
    let program = Program::serving(plan).await;
    let mut groups = BTreeMap::<String, Vec<Client>>::new();
    for mut client in kept(&program, 40).await {
        let id = client.get("/").await.expect("an answer").id();
        groups.entry(id).or_default().push(client);
    }
    let (one, other) = (groups.pop_first().expect("a group"), groups.pop_first().expect("a second group"));
    (program, one, other)
}

/// Makes the node of this connection stand still for as long as this, and waits until it does.
async fn block(program: &mut Program, client: &mut Client, milliseconds: u64) {
    client.ask(&format!("/block/{milliseconds}")).await.expect("sent");
    program.status_where(|status| status.slots.iter().any(|slot| slot.in_flight == 1)).await;
}

/// Blocks a node for as long as this, asks on its other connections, and says which nodes answer.
async fn answering_while_blocked(program: &mut Program, waiting: &mut [Client], milliseconds: u64) -> Vec<String> {
    let (blocking, waiting) = waiting.split_last_mut().expect("several");
    block(program, blocking, milliseconds).await;
    let asked = join_all(waiting.iter_mut().map(|client| client.get("/"))).await;
    let ids = asked.into_iter().map(|answer| answer.expect("an answer").id()).collect();
    assert_eq!(blocking.answer().await.expect("an answer").body, format!("blocked {milliseconds}\n"));
    ids
}

#[tokio::test]
async fn what_waits_on_a_node_that_computes_is_answered_by_another() {
    within(60, async {
        let (mut program, (one, mut waiting), _other) =
            two_groups(Plan { hand_off_when_busy: true, ..Plan::nodes(2) }).await;
        // At first the nodes have yet to hear of each other.
        while answering_while_blocked(&mut program, &mut waiting, 200).await.contains(&one) {}
        assert_eq!(program.answering(2).await.len(), 2, "both serve");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_the_option_it_waits() {
    within(60, async {
        let (mut program, (one, mut waiting), _other) = two_groups(Plan::nodes(2)).await;
        for _ in 0..3 {
            let ids = answering_while_blocked(&mut program, &mut waiting, 300).await;
            assert!(ids.iter().all(|id| *id == one));
        }
        program.stop().await;
    })
    .await;
}
