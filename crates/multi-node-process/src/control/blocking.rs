//! The node's end of the control socket, for a process without a runtime.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::BytesMut;

use super::channel::{malformed, truncated};
use super::codec::{self, Decoder};
use super::message::{ToMaster, ToNode};
use crate::sys;

/// Sends and receives one message after the other.
#[derive(Debug)]
pub struct Blocking {
    socket: UnixStream,
    decoder: Decoder,
}

impl Blocking {
    /// `answer` is how long a message is waited for.
    pub fn new(socket: UnixStream, answer: Duration) -> io::Result<Blocking> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(answer))?;
        Ok(Blocking { socket, decoder: Decoder::default() })
    }

    pub fn send(&mut self, message: &ToMaster) -> io::Result<()> {
        let mut frame = BytesMut::new();
        let fds = codec::encode(message, &mut frame).map_err(malformed)?;
        let mut rest = &frame[..];
        while !rest.is_empty() {
            let fds: Vec<_> = fds.iter().filter(|_| rest.len() == frame.len()).map(AsFd::as_fd).collect();
            rest = &rest[sys::socket::send(self.socket.as_fd(), rest, &fds)?..];
        }
        Ok(())
    }

    /// The next message; `None`: the master is gone.
    pub fn receive(&mut self) -> io::Result<Option<ToNode>> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(message) = self.decoder.next().map_err(malformed)? {
                return Ok(Some(message));
            }
            let received = sys::socket::receive(self.socket.as_fd(), &mut chunk)?;
            if received.bytes == 0 {
                return self.decoder.end().map(|()| None).map_err(truncated);
            }
            if received.lost {
                return Err(io::Error::other(
                    "file descriptors were lost on the way: too many are open in this process",
                ));
            }
            self.decoder.take(&chunk, received);
        }
    }

    /// The socket itself, for the next program of this process.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Gives the socket a number of at least this.
    pub fn move_above(&mut self, number: u32) -> io::Result<()> {
        self.socket = sys::place::above(self.socket.as_fd(), number)?.into();
        Ok(())
    }
}
