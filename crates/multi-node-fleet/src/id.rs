//! What processes are called: slots, node identities, generations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// A place `0..n` that a node fills.
///
/// A slot outlives the nodes that fill it, which makes it the label for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u16);

impl Slot {
    /// The slot's number, counted from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl From<u16> for Slot {
    /// The slot of this number. The program may have fewer slots.
    fn from(number: u16) -> Slot {
        Slot(number)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one process of the program, never used again after its end.
///
/// Shows as `master`, `node-1`, `node-2`…, `primary` for the process of `Program::primary`, `gateway` for the one that joins other machines,
/// and `remote-…` for a process of another machine; in JSON too. Binary formats have its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "WrittenId")]
pub struct NodeId(u64);

/// The two forms of an id.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenId {
    Number(u64),
    Name(String),
}

impl TryFrom<WrittenId> for NodeId {
    type Error = UnknownId;

    fn try_from(written: WrittenId) -> Result<NodeId, UnknownId> {
        match written {
            WrittenId::Number(number) => Ok(NodeId(number)),
            WrittenId::Name(name) => name.parse(),
        }
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
    }
}

impl NodeId {
    /// The master, of which there is one.
    pub const MASTER: NodeId = NodeId(0);

    /// The primary process of a Node.js program, which is no node.
    pub const PRIMARY: NodeId = NodeId(u64::MAX);

    /// The gateway to other machines, which is no node.
    pub const GATEWAY: NodeId = NodeId(u64::MAX - 1);

    /// The identity of the `number`th node ever started, counted from 1.
    pub fn node(number: u64) -> NodeId {
        debug_assert!(number > 0 && number < REMOTE, "these are no nodes");
        NodeId(number)
    }

    /// A process of another machine, by 63 bits that identify it.
    pub fn remote(bits: u64) -> NodeId {
        NodeId(REMOTE | (bits % (NodeId::GATEWAY.0 - REMOTE)))
    }

    /// The process that has this [number](NodeId::number).
    pub fn from_number(number: u64) -> NodeId {
        NodeId(number)
    }

    /// Whether it is a process of another machine.
    pub fn is_remote(self) -> bool {
        (REMOTE..NodeId::GATEWAY.0).contains(&self.0)
    }

    /// 0 for the master, else how many nodes had been started when this one was.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Whether this is the master's identity.
    pub fn is_master(self) -> bool {
        self == NodeId::MASTER
    }
}

/// The numbers of processes of other machines begin here.
const REMOTE: u64 = 1 << 63;

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            NodeId::MASTER => f.pad("master"),
            NodeId::PRIMARY => f.pad("primary"),
            NodeId::GATEWAY => f.pad("gateway"),
            NodeId(n) if n >= REMOTE => f.pad(&format!("remote-{:x}", n - REMOTE)),
            NodeId(n) => f.pad(&format!("node-{n}")),
        }
    }
}

impl FromStr for NodeId {
    type Err = UnknownId;

    fn from_str(text: &str) -> Result<NodeId, UnknownId> {
        let id = match text {
            "master" => Some(NodeId::MASTER),
            "primary" => Some(NodeId::PRIMARY),
            "gateway" => Some(NodeId::GATEWAY),
            _ => node(text).or_else(|| remote(text)),
        };
        id.ok_or_else(|| UnknownId(text.to_owned()))
    }
}

fn node(text: &str) -> Option<NodeId> {
    let number = text.strip_prefix("node-")?.parse().ok();
    number.filter(|&number| number > 0 && number < REMOTE).map(NodeId)
}

fn remote(text: &str) -> Option<NodeId> {
    let bits = u64::from_str_radix(text.strip_prefix("remote-")?, 16).ok()?;
    Some(NodeId::remote(bits)).filter(|id| id.0 - REMOTE == bits)
}

/// A text that names no process: neither `master` nor `node-N`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no process; expected `master` or `node-1`, `node-2`…")]
pub struct UnknownId(String);

/// All nodes that were started for one reload; 0 are the first ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// How many reloads came before.
    pub fn number(self) -> u32 {
        self.0
    }

    /// That of the next reload.
    pub fn next(self) -> Generation {
        Generation(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_show() {
        let processes = [NodeId::MASTER, NodeId::node(1), NodeId::node((1 << 63) - 1), NodeId::PRIMARY];
        let elsewhere =
            [NodeId::GATEWAY, NodeId::remote(0), NodeId::remote(0x1234_5678_9abc_def0), NodeId::remote(u64::MAX)];
        for id in processes.into_iter().chain(elsewhere) {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!(processes.into_iter().chain([NodeId::GATEWAY]).all(|id| !id.is_remote()));
        assert!(elsewhere[1..].iter().all(|id| id.is_remote()));
    }

    #[test]
    fn the_master_is_known_by_its_id() {
        assert!(NodeId::MASTER.is_master());
        assert!(!NodeId::node(1).is_master() && !NodeId::PRIMARY.is_master());
    }

    #[test]
    fn foreign_ids_are_refused() {
        for text in [
            "",
            "node-",
            "node-0",
            "node-18446744073709551615",
            "node--1",
            "remote-",
            "remote-8000000000000000",
            "node-9223372036854775808",
            "Master",
            "slot-1",
        ] {
            assert!(text.parse::<NodeId>().is_err(), "{text:?}");
        }
    }
}
