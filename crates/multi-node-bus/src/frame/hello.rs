//! The first frame of each side.

use multi_node_fleet::id::NodeId;
use thiserror::Error;

/// Marks a link of the bus, so that a stream of another kind is noticed.
const MAGIC: [u8; 4] = *b"mnbs";
const VERSION: u16 = 1;
const LENGTH: usize = 4 + 2 + 2 + 8 + 8 + 4;

/// What a side says first. Later versions may append to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The oldest version that it speaks.
    pub(crate) oldest: u16,
    /// The newest version that it speaks.
    pub(crate) newest: u16,
    /// Who it is.
    pub(crate) node: NodeId,
    /// Another number for each `Bus`: a process that executes itself keeps its id, and begins its sequences anew.
    pub(crate) incarnation: u64,
    /// The largest payload that it takes.
    pub(crate) most: u32,
}

/// Why the first frame doesn't open a link.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HelloError {
    /// It is none of the bus.
    #[error("the stream doesn't begin like a link of the bus")]
    NotABus,
    /// Both sides have no version in common.
    #[error("the peer speaks the versions {oldest} to {newest} of the bus, this process speaks {VERSION}")]
    Version {
        /// The peer's oldest version.
        oldest: u16,
        /// The peer's newest version.
        newest: u16,
    },
    /// The stream leads to another process than its owner said.
    #[error("the peer is {found}, expected {expected}")]
    OtherNode {
        /// Who it should be.
        expected: NodeId,
        /// Who it says it is.
        found: NodeId,
    },
}

impl Hello {
    pub(crate) fn new(node: NodeId, incarnation: u64, most: usize) -> Hello {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        Hello { oldest: VERSION, newest: VERSION, node, incarnation, most }
    }

    pub(crate) fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.oldest.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.newest.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.node.number().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[24..].copy_from_slice(&self.most.to_le_bytes());
        bytes
    }

    /// The peer's hello, if both sides speak a common version and it is the peer that was expected.
    pub(crate) fn accept(body: &[u8], expected: NodeId) -> Result<Hello, HelloError> {
        let hello = Hello::decode(body).ok_or(HelloError::NotABus)?;
        if hello.oldest > VERSION || hello.newest < VERSION {
            return Err(HelloError::Version { oldest: hello.oldest, newest: hello.newest });
        }
        if hello.node != expected {
            return Err(HelloError::OtherNode { expected, found: hello.node });
        }
        Ok(hello)
    }

    fn decode(body: &[u8]) -> Option<Hello> {
        let (magic, body) = body.split_first_chunk::<4>()?;
        let (oldest, body) = body.split_first_chunk()?;
        let (newest, body) = body.split_first_chunk()?;
        let (node, body) = body.split_first_chunk()?;
        let (incarnation, body) = body.split_first_chunk()?;
        let (most, _of_later_versions) = body.split_first_chunk()?;
        (*magic == MAGIC).then(|| Hello {
            oldest: u16::from_le_bytes(*oldest),
            newest: u16::from_le_bytes(*newest),
            node: NodeId::from_number(u64::from_le_bytes(*node)),
            incarnation: u64::from_le_bytes(*incarnation),
            most: u32::from_le_bytes(*most),
        })
    }
}
