//! Descriptors on their way to JavaScript, and a look at those that it has.

use std::io;
use std::net::TcpStream;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};

/// Gives a descriptor to JavaScript, which owns it from now on.
pub(crate) fn release(fd: OwnedFd) -> i32 {
    fd.into_raw_fd()
}

/// Whether bytes, or the end, wait to be read from a socket that JavaScript owns.
pub(crate) fn is_readable(fd: i32) -> io::Result<bool> {
    // `peek` is the same call for all kinds of sockets.
    let socket = TcpStream::from(duplicate(fd)?);
    match socket.peek(&mut [0]) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// A duplicate of a descriptor that JavaScript owns and keeps.
///
/// # Errors
/// `InvalidInput` for a number that is no descriptor; what the system says where there is no such one.
pub(crate) fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    with(fd, |socket| socket.try_clone_to_owned())
}

/// What comes of a look at a descriptor that JavaScript owns and keeps.
///
/// # Errors
/// As [`duplicate`], and those of the look.
pub(crate) fn with<T>(fd: i32, look: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
    if fd < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is borrowed for one call on the thread of JavaScript, whose handle has it open and cannot close it
    // meanwhile. If it were closed, the system calls would fail.
    look(unsafe { BorrowedFd::borrow_raw(fd) })
}
