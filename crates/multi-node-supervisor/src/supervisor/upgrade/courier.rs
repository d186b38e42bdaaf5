//! Carries a state and its descriptors through a socket, and nothing else: the bytes in a file without a name, so that
//! no buffer limits them, and descriptors as many at a time as the kernel takes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::state::{Preamble, State};
use crate::control::{Encoded, Fd, from_message_pack};
use crate::sys::memory;
use crate::sys::socket::{self, Received};

/// No state is longer, in bytes.
const LONGEST: u64 = 256 << 20;

/// Puts everything into the socket, where it waits for the reader, who may be the next program of this process.
pub(super) fn send(to: BorrowedFd<'_>, state: &State) -> io::Result<()> {
    let Encoded { bytes, fds } = Encoded::of(state)?;
    let file = memory::file(&bytes)?;
    let fds = fds.into_iter().map(Fd::into_shared).collect::<io::Result<Vec<_>>>()?;
    let all: Vec<BorrowedFd<'_>> = std::iter::once(file.as_fd()).chain(fds.iter().map(AsFd::as_fd)).collect();
    for some in all.chunks(socket::MOST_FDS) {
        socket::send(to, &[0], some)?;
    }
    Ok(())
}

/// Takes out what was put in before this process, or this program of it, began.
pub(super) fn receive(from: BorrowedFd<'_>) -> io::Result<State> {
    let mut fds = received(from)?.into_iter();
    let bytes = memory::read(fds.next().ok_or(io::ErrorKind::UnexpectedEof)?, LONGEST)?;
    from_message_pack::<Preamble>(&bytes).map_err(unreadable)?.check().map_err(unreadable)?;
    Encoded { bytes: bytes.into(), fds: fds.map(Fd::from).collect() }.decode()
}

fn received(from: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let (mut byte, mut fds) = ([0; 1], Vec::new());
    loop {
        match socket::receive(from, &mut byte) {
            Ok(Received { lost: true, .. }) => return Err(unreadable("descriptors were lost: too many are open")),
            Ok(Received { bytes: 0, .. }) => return Ok(fds),
            Ok(Received { fds: some, .. }) => fds.extend(some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(fds),
            Err(error) => return Err(error),
        }
    }
}

fn unreadable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
