//! Requests with owners: which worker answers those of a client. The rule is that of nodes that link the library.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::members::Worker;
use super::moving::Pending;
use super::preload;
use super::primary::Primary;
use crate::id::NodeId;
use crate::serve::{Key, key_of, slot_of};
use crate::shared_secret::Hidden;

/// What a worker has read of a request, each byte as a character. `Debug` does not show it: it may hold cookies.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::workload) struct Head(String);

impl Head {
    /// `None`: these are not bytes.
    fn bytes(&self) -> Option<Vec<u8>> {
        self.0.chars().map(|char| u8::try_from(char).ok()).collect()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Head({:?})", Hidden(self.0.as_bytes()))
    }
}

/// The owner of requests with this key among these workers: the newest of its slot. `None`: that slot has none, so each answers
/// what reaches it.
pub(super) fn owner(key: u64, among: &BTreeSet<NodeId>, workers: &BTreeMap<NodeId, Worker>) -> Option<NodeId> {
    let slot = |id: &NodeId| Some((workers.get(id)?.slot?.index(), *id));
    // Newer nodes have higher numbers, so of a slot's workers the last stays.
    let newest: BTreeMap<usize, NodeId> = among.iter().filter_map(slot).collect();
    let (highest, _) = newest.last_key_value()?;
    newest.get(&slot_of(key, highest + 1)?).copied()
}

impl Primary {
    /// The key of a request that begins with this head.
    pub(super) fn key_of(&self, stream: &OwnedFd, head: &Head) -> Option<u64> {
        match key_of(self.affinity.as_ref()?, stream.as_fd(), &head.bytes()?) {
            Key::Is(key) => Some(key),
            Key::None | Key::Unknown => None,
        }
    }

    /// A connection comes with the key of its first request.
    pub(super) fn looked(&mut self, server: &str, stream: OwnedFd, of_request: Option<u64>) {
        let Some(found) = self.servers.get_mut(server) else { return };
        found.waiting.push(Pending { of_request, ..Pending::new(stream) });
        // Where it has to wait, no more are accepted.
        found.gate.try_acquire().into_iter().for_each(tokio::sync::SemaphorePermit::forget);
        self.hand_out(server);
    }

    /// Lets all preloads know by what requests have owners. They forget which they have found to be theirs.
    pub(super) fn instruct_all(&self) {
        if self.affinity.is_some() {
            self.workers.keys().for_each(|id| self.instruct(*id));
        }
    }

    /// The same for one.
    pub(super) fn instruct(&self, id: NodeId) {
        if let Some(affinity) = &self.affinity
            && self.workers.get(&id).is_some_and(|worker| worker.preload)
        {
            self.tell(id, (preload::affinity(affinity), None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::Outbox;
    use super::*;
    use crate::id::Slot;

    fn worker(slot: u16) -> Worker {
        Worker { slot: Some(Slot(slot)), ..Worker::new(Outbox::nowhere()) }
    }

    #[test]
    fn the_newest_worker_of_a_slot_owns_its_keys_and_other_slots_keep_theirs() {
        let nodes = [(1, 0), (2, 1), (3, 2), (9, 0), (10, 1)].map(|(id, slot)| (NodeId::node(id), worker(slot)));
        let workers = BTreeMap::from(nodes);
        let among = |ids: &[u64]| ids.iter().map(|id| NodeId::node(*id)).collect::<BTreeSet<_>>();
        let owners = |ids: &[u64]| (0..100).map(|key| owner(key, &among(ids), &workers)).collect::<Vec<_>>();
        let (old, new) = (owners(&[1, 2, 3]), owners(&[1, 2, 3, 9, 10]));
        let renewed = |id: &Option<NodeId>| match id.map(NodeId::number) {
            Some(1) => Some(NodeId::node(9)),
            Some(2) => Some(NodeId::node(10)),
            _ => *id,
        };
        assert!(old.iter().map(renewed).eq(new.iter().copied()), "{new:?}");
        // Without the first slot's only worker its requests have no owner.
        let left = owners(&[2, 3]);
        assert!(left.iter().zip(&old).all(|(left, old)| *left == old.filter(|id| *id != NodeId::node(1))));
        assert!(left.contains(&None) && owners(&[]).iter().all(Option::is_none));
    }

    #[test]
    fn a_head_is_bytes_and_is_not_shown() {
        let head: Head = serde_json::from_str("\"a\\u0000\u{ff}\"").expect("JSON");
        assert_eq!(head.bytes().as_deref(), Some(&b"a\0\xff"[..]));
        assert_eq!(Head("\u{100}".to_owned()).bytes(), None);
        assert_eq!(format!("{:?}", Head("sid=4711".to_owned())), "Head(8 bytes)");
    }
}
