//! The control protocol by hand, as `docs/internals/control-protocol.md` has it: what another release, or another language, would write.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

const HEADER: usize = 5;
const LONGEST: usize = 2 * 1024 * 1024;
const MOST_FDS: usize = 253;

/// How long a message is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// One end of a control socket.
pub struct Frames {
    socket: UnixStream,
    /// What has arrived and is not claimed yet.
    fds: VecDeque<OwnedFd>,
}

impl Frames {
    pub fn new(socket: UnixStream) -> io::Result<Frames> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Frames { socket, fds: VecDeque::new() })
    }

    pub fn send(&mut self, message: &Value, fds: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
        let body = rmp_serde::to_vec_named(message)?;
        let mut frame = u32::try_from(body.len())?.to_be_bytes().to_vec();
        frame.push(fds.len().try_into()?);
        frame.extend(body);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ensure!(fds.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(fds)), "too many descriptors");
        let sent = sendmsg(&self.socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(self.socket.write_all(&frame[sent..])?)
    }

    /// The next message and its descriptors; `None`: the other side is gone. Nothing of what follows is read.
    pub fn receive(&mut self) -> anyhow::Result<Option<(Value, Vec<OwnedFd>)>> {
        let mut header = [0; HEADER];
        let begun = self.begin(&mut header)?;
        if begun == 0 {
            return Ok(None);
        }
        self.socket.read_exact(&mut header[begun..])?;
        let [a, b, c, d, fds] = header;
        let (length, fds) = (u32::from_be_bytes([a, b, c, d]) as usize, usize::from(fds));
        ensure!(length <= LONGEST && fds <= self.fds.len(), "a frame of {length} bytes and {fds} descriptors");
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body)?;
        let Said(message) = rmp_serde::from_slice(&body).context("a message")?;
        Ok(Some((message, self.fds.drain(..fds).collect())))
    }

    /// Reads what there is of a header, and the descriptors that come with its first byte.
    fn begin(&mut self, header: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(header)];
        let received = recvmsg(&self.socket, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(arrived) = message {
                self.fds.extend(arrived);
            }
        }
        Ok(received.bytes)
    }
}

impl AsFd for Frames {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A message as JSON, in which bytes are numbers.
struct Said(Value);

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Said, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }
            fn visit_unit<E>(self) -> Result<Said, E> {
                Ok(Said(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Said, E> {
                Ok(Said(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Said, E> {
                Ok(Said(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Said, E> {
                Ok(Said(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Said, E> {
                Ok(Said(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Said, E> {
                Ok(Said(value.into()))
            }
            fn visit_bytes<E>(self, value: &[u8]) -> Result<Said, E> {
                Ok(Said(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Said, A::Error> {
                let mut all = Vec::new();
                while let Some(Said(entry)) = list.next_element()? {
                    all.push(entry);
                }
                Ok(Said(all.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let mut all = serde_json::Map::new();
                while let Some((name, Said(value))) = map.next_entry()? {
                    all.insert(name, value);
                }
                Ok(Said(all.into()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Which message it is.
pub fn name(message: &Value) -> &str {
    let of_fields = || message.as_object()?.keys().next().map(String::as_str);
    message.as_str().or_else(of_fields).unwrap_or_default()
}
