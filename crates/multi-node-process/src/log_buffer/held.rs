//! Nodes whose output is held up: they wait until what they write is taken.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::NodeId;

/// How often each is held up: once for each of its streams.
#[derive(Clone, Debug, Default)]
pub struct Held(watch::Sender<BTreeMap<NodeId, usize>>);

impl Held {
    /// Has it held up as long as the value lives.
    pub fn hold(&self, id: NodeId) -> HeldOutput {
        self.0.send_modify(|held| *held.entry(id).or_default() += 1);
        HeldOutput { held: self.clone(), id }
    }

    /// Whether a reader holds it up.
    pub fn holds(&self, id: NodeId) -> bool {
        self.0.borrow().contains_key(&id)
    }

    fn let_go(&self, id: NodeId) {
        self.0.send_modify(|held| {
            let Some(count) = held.get_mut(&id) else { return };
            *count -= 1;
            if *count == 0 {
                held.remove(&id);
            }
        });
    }
}

/// For as long as it lives, a node's status says that its output is held up: see
/// `Handle::hold_output`.
#[derive(Debug)]
#[must_use = "the status says so only for as long as this lives"]
pub struct HeldOutput {
    held: Held,
    id: NodeId,
}

impl Drop for HeldOutput {
    fn drop(&mut self) {
        self.held.let_go(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_held_up_until_both_its_streams_are_free() {
        let (held, id) = (Held::default(), NodeId::MASTER);
        let [stdout, stderr] = [held.hold(id), held.hold(id)];
        drop(stdout);
        assert!(held.holds(id));
        drop(stderr);
        assert!(!held.holds(id) && held.0.borrow().is_empty());
    }
}
