//! Nodes whose requests have owners.

use super::{Master, hello_with, play, policy};
use crate::control::{self, ToMaster, ToNode};

#[test]
fn nodes_whose_requests_have_owners_learn_at_once_of_one_that_serves() {
    play(async {
        let mut master = Master::with(policy(2));
        let (mut old, mut new) = (master.starts().await, master.starts().await);
        hello_with(&mut old, &[control::OWNERS]).await;
        old.says(ToMaster::Ready).await;
        let is_named = |message: ToNode| match message {
            ToNode::Serves { id, slot } => Some((id.number(), slot.index())),
            _ => None,
        };
        assert_eq!(old.is_told(is_named).await, (1, 0), "it learns that others know it");
        hello_with(&mut new, &[control::OWNERS]).await;
        new.says(ToMaster::Ready).await;
        // A status that shows it may come up to 100 ms later.
        let first = |message: ToNode| match message {
            ToNode::Serves { id, slot } => Some(Some((id.number(), slot.index()))),
            ToNode::Status { status, .. } if status.is_ready() => Some(None),
            _ => None,
        };
        assert_eq!(old.is_told(first).await, Some((2, 1)));
        assert_eq!(new.is_told(first).await, Some((2, 1)));
    });
}
