//! Frames: four bytes of length, one byte that counts descriptors, and a message in MessagePack with named fields.
//!
//! ```text
//!  0        4    5            5 + length
//!  ├────────┼────┼────────────┤
//!  │ length │fds │ MessagePack│     length: of the message alone, big endian
//!  └────────┴────┴────────────┘
//! ```
//!
//! The descriptors arrive with a frame's first byte (unix(7)), hence never after the frame that claims them.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fd::{self, Fd, Mismatch, Unclaimed};
use super::kind::{self, Skipped};
use super::message_pack::{from_message_pack, write_message_pack};
use crate::shared_secret::Hidden;
use crate::sys::socket::Received;

/// The longest message, in bytes. A status of 4096 slots takes about 800 KiB.
pub(super) const LONGEST: usize = 2 * 1024 * 1024;

const HEADER: usize = 5;

/// What came is not what this protocol says.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("a message of {length} bytes, more than the {LONGEST} that are allowed")]
    TooLong { length: usize },
    #[error("the channel ended in the middle of a message")]
    Truncated,
    #[error("{arrived} file descriptors came with a message that has {expected}")]
    FdCount { arrived: usize, expected: usize },
    #[error("a message with other file descriptors than it has: {0}")]
    Fds(#[from] Mismatch),
    #[error("a message that cannot be read: {0}")]
    Unreadable(#[from] rmp_serde::decode::Error),
    #[error("a message that cannot be written: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
}

/// Writes one message as a frame. Returns its descriptors, which go with the first byte.
pub(super) fn encode(message: &impl Serialize, into: &mut BytesMut) -> Result<Vec<Arc<OwnedFd>>, Malformed> {
    let start = into.len();
    into.put_bytes(0, HEADER);
    let (written, fds) = fd::gathered(|| write_message_pack(message, into));
    written?;
    let length = into.len() - start - HEADER;
    if length > LONGEST {
        into.truncate(start);
        return Err(Malformed::TooLong { length });
    }
    let count = u8::try_from(fds.len());
    into[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
    into[start + 4] = count.map_err(|_| Malformed::FdCount { arrived: fds.len(), expected: u8::MAX.into() })?;
    Ok(fds)
}

/// A message as bytes, and its descriptors; those are `None` where some were lost.
type Frame = (BytesMut, Option<Vec<Fd>>);

/// Turns what arrives, in whatever pieces, into messages.
#[derive(Default)]
pub(super) struct Decoder {
    pub(super) bytes: BytesMut,
    pub(super) fds: VecDeque<OwnedFd>,
    /// Whether some of those of the latest message were lost on the way.
    pub(super) lost: bool,
    pub(super) skipped: Skipped,
}

/// A welcome holds the shared secret.
impl fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decoder { bytes, fds, lost, skipped } = self;
        let mut shown = formatter.debug_struct("Decoder");
        shown.field("bytes", &Hidden(bytes)).field("fds", fds).field("lost", lost).field("skipped", skipped).finish()
    }
}

impl Decoder {
    /// What has arrived: bytes that `chunk` begins with, and descriptors.
    pub(super) fn take(&mut self, chunk: &[u8], received: Received) {
        let Received { bytes, fds, lost } = received;
        self.bytes.extend_from_slice(&chunk[..bytes]);
        self.fds.extend(fds);
        self.lost |= lost;
    }

    /// How many descriptors the messages bring that begin in this chunk, which comes next; `None` where their headers do not all say it yet.
    pub(super) fn announced(&self, chunk: &[u8]) -> Option<usize> {
        let mut at = match self.bytes.first_chunk::<HEADER>() {
            Some(header) => (HEADER + length_of(header)).saturating_sub(self.bytes.len()),
            None if self.bytes.is_empty() => 0,
            None => return None,
        };
        let mut fds = 0;
        while at < chunk.len() {
            let header = chunk[at..].first_chunk::<HEADER>()?;
            fds += usize::from(header[HEADER - 1]);
            at += HEADER + length_of(header);
        }
        Some(fds)
    }

    /// The next whole message; `None`: more has to arrive first. Kinds that this release does not know are skipped. After an
    /// error the channel cannot be read on.
    pub(super) fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, Malformed> {
        loop {
            let Some((message, fds)) = self.next_frame()? else { return Ok(None) };
            match read(&message, fds)? {
                Read::Known(message) => return Ok(Some(message)),
                Read::Unknown(kind) => self.skipped.one(&kind),
            }
        }
    }

    /// The next whole message.
    fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some(header) = self.bytes.first_chunk::<HEADER>() else {
            return self.unclaimed(0).map(|()| None);
        };
        let (length, fds) = (length_of(header), usize::from(header[HEADER - 1]));
        if length > LONGEST {
            return Err(Malformed::TooLong { length });
        }
        if self.bytes.len() < HEADER + length {
            return self.unclaimed(fds).map(|()| None);
        }
        let fds = self.claim(fds)?;
        self.bytes.advance(HEADER);
        Ok(Some((self.bytes.split_to(length), fds)))
    }

    /// The descriptors of a message; `None` where some were lost, whereupon it is read without any.
    fn claim(&mut self, count: usize) -> Result<Option<Vec<Fd>>, Malformed> {
        if self.fds.len() >= count {
            return Ok(Some(self.fds.drain(..count).map(Fd::from).collect()));
        }
        if !std::mem::take(&mut self.lost) {
            return Err(Malformed::FdCount { arrived: self.fds.len(), expected: count });
        }
        crate::log::warn!("file descriptors were lost on the way: too many are open in this process");
        self.fds.clear();
        Ok(None)
    }

    /// Descriptors that no frame has announced must not pile up. Those of one further frame may have come already,
    /// before the header that announces them was complete.
    fn unclaimed(&self, announced: usize) -> Result<(), Malformed> {
        let allowed = announced + usize::from(u8::MAX);
        if self.fds.len() > allowed {
            return Err(Malformed::FdCount { arrived: self.fds.len(), expected: announced });
        }
        Ok(())
    }

    /// What the end of the channel means here.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed::Truncated) }
    }
}

/// How long the message behind this header is.
fn length_of(&[a, b, c, d, _]: &[u8; HEADER]) -> usize {
    u32::from_be_bytes([a, b, c, d]) as usize
}

/// What a message is to its receiver.
enum Read<M> {
    Known(M),
    /// It is of a later release, by this name. Its descriptors are closed.
    Unknown(String),
}

fn read<M: DeserializeOwned>(bytes: &[u8], fds: Option<Vec<Fd>>) -> Result<Read<M>, Malformed> {
    match fd::claimed(fds, Unclaimed::Refuse, || from_message_pack(bytes))? {
        Ok(message) => Ok(Read::Known(message)),
        Err(error) => kind::unknown::<M>(bytes).map(Read::Unknown).ok_or(Malformed::Unreadable(error)),
    }
}

/// The entry of the fuzz target: whatever comes, in whatever pieces, is read or refused. Gives the number of messages until the first
/// that is refused.
pub fn decode_control(pieces: &[&[u8]]) -> usize {
    let (mut decoder, mut whole) = (Decoder::default(), 0);
    for piece in pieces {
        decoder.bytes.extend_from_slice(piece);
        loop {
            match decoder.next::<super::message::ToMaster>() {
                Ok(Some(_)) => whole += 1,
                Ok(None) => break,
                Err(_) => return whole,
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests;
