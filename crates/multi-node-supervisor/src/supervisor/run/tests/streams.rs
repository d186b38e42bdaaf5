//! Streams between processes: when they are made, and for whom.

use super::{Master, Played, hello, hello_with, play, policy};
use crate::control::{self, ToMaster, ToNode};
use crate::id::NodeId;

/// Who is named next, and whether with a stream of the program and one for connections.
async fn named(node: &mut Played) -> (u64, bool, bool) {
    let peers = |message| if let ToNode::Joined { peers } = message { Some(peers) } else { None };
    let peers = node.is_told(peers).await;
    assert_eq!(peers.len(), 1, "the others come one after the other here");
    (peers[0].peer.id().number(), peers[0].stream.is_some(), peers[0].handoff.is_some())
}

async fn late(master: &mut Master) -> Played {
    let mut node = master.starts().await;
    hello_with(&mut node, &[control::LATE_STREAMS]).await;
    node
}

#[test]
fn streams_are_made_when_a_node_asks() {
    play(async {
        let mut master = Master::nodes_alone(policy(3));
        let (mut first, mut second) = (late(&mut master).await, late(&mut master).await);
        assert_eq!(named(&mut first).await, (2, false, false));
        assert_eq!(named(&mut second).await, (1, false, false));
        first.says(ToMaster::WantHandoff { peer: NodeId::node(2) }).await;
        assert_eq!(named(&mut first).await, (2, false, true));
        assert_eq!(named(&mut second).await, (1, false, true));
        first.says(ToMaster::WantPeers).await;
        assert_eq!(named(&mut first).await, (2, true, false));
        assert_eq!(named(&mut second).await, (1, true, false));
        // Its only other process has it already, and one that comes later has it at once.
        second.says(ToMaster::WantPeers).await;
        let mut third = late(&mut master).await;
        assert_eq!(named(&mut first).await, (3, true, false));
        assert_eq!(named(&mut second).await, (3, true, false));
        third.says(ToMaster::WantHandoff { peer: NodeId::node(1) }).await;
        assert_eq!(named(&mut first).await, (3, false, true));
    });
}

#[test]
fn a_node_that_will_not_ask_gets_all_streams() {
    play(async {
        let mut master = Master::nodes_alone(policy(2));
        let mut asks = late(&mut master).await;
        let mut of_an_earlier_release = master.starts().await;
        hello(&mut of_an_earlier_release).await;
        assert_eq!(named(&mut of_an_earlier_release).await, (1, true, true));
        assert_eq!(named(&mut asks).await, (2, true, true));
    });
}

#[test]
fn connections_whose_requests_have_owners_do_not_wait_for_a_stream() {
    play(async {
        let mut master = Master::nodes_alone(policy(2));
        let (mut first, mut second) = (master.starts().await, master.starts().await);
        for node in [&mut first, &mut second] {
            hello_with(node, &[control::LATE_STREAMS, control::OWNERS]).await;
        }
        assert_eq!(named(&mut first).await, (2, false, true));
        assert_eq!(named(&mut second).await, (1, false, true));
    });
}

#[test]
fn the_masters_program_asks_too() {
    play(async {
        let mut master = Master::of(policy(1), true);
        let mut node = late(&mut master).await;
        assert_eq!(named(&mut node).await, (0, false, false));
        let (arrivals, _) = &mut master.program;
        let arrived = std::future::poll_fn(|cx| arrivals.poll_next(cx));
        let (peer, named) = tokio::join!(arrived, named(&mut node));
        assert_eq!((peer.map(|peer| peer.id()), named), (Some(NodeId::node(1)), (0, true, false)));
    });
}
