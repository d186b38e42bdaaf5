//! Descriptors at numbers that were agreed upon (dup2(2)), for a program that is about to be executed.

// The one thing that safe Rust cannot say is "the number N, which nobody owns" or "which somebody else owns".
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A duplicate whose number is at least this, closed on exec.
pub fn above(fd: BorrowedFd<'_>, number: u32) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, raw(number)?)?)
}

/// A duplicate of what has this number now, closed on exec. Another thread may have closed or replaced it: the caller has to look
/// at what it gets.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number goes to `fcntl` alone, at once. Where nothing has it by then, that is an error.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// Takes the descriptor that the parent left at this number. From then on it is close-on-exec.
///
/// Call this once, in a process that has not put anything there itself.
pub fn take(number: u32) -> io::Result<OwnedFd> {
    let number = raw(number)?;
    // SAFETY: the parent process has opened the descriptor for this process and announced it. No other code here knows the
    // number. This code makes one owner, once.
    let taken = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&taken, rustix::io::FdFlags::CLOEXEC)?;
    Ok(taken)
}

/// Puts each descriptor at its number, from where an executed program inherits it. `above` is higher than all of them.
///
/// Call this in a process that is about to be replaced and owns nothing else between 3 and `above`.
pub fn at_numbers(fds: Vec<OwnedFd>, numbers: &[u32], above_all: u32) -> io::Result<()> {
    // None of them may lie where another one goes.
    let moved = fds.iter().map(|fd| above(fd.as_fd(), above_all)).collect::<io::Result<Vec<_>>>()?;
    drop(fds);
    for (fd, &number) in moved.iter().zip(numbers) {
        at_number(fd.as_fd(), raw(number)?)?;
    }
    Ok(())
}

fn at_number(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: this process moved its own descriptors above all such numbers. So no code here owns this one, open or not: the
    // parent process left it. The owner made here closes nothing, since every path forgets it.
    let mut place = unsafe { OwnedFd::from_raw_fd(number) };
    let placed = rustix::io::dup2(fd, &mut place);
    mem::forget(place);
    Ok(placed?)
}

fn raw(number: u32) -> io::Result<i32> {
    i32::try_from(number).map_err(|_| io::ErrorKind::InvalidInput.into())
}
