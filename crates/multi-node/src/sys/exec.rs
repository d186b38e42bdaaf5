//! Putting another program in this process's place (execve(2)), and what has to be kept meanwhile.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};

/// The signals that a master acts on.
const MASTERS: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGUSR2];

/// Replaces this process's program; returns only when that has failed. Unlike std's `exec` it changes nothing before, so
/// that a process in which it failed is as it was.
pub(crate) fn replace(
    program: &Path,
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> io::Error {
    let run = || -> io::Result<Infallible> {
        let program = CString::new(program.as_os_str().as_bytes())?;
        let arguments = arguments.into_iter().map(text).collect::<io::Result<Vec<_>>>()?;
        let environment = environment.into_iter().map(variable).collect::<io::Result<Vec<_>>>()?;
        Ok(nix::unistd::execve(&program, &arguments, &environment)?)
    };
    match run() {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn text(text: OsString) -> io::Result<CString> {
    Ok(CString::new(text.into_vec())?)
}

fn variable((name, value): (OsString, OsString)) -> io::Result<CString> {
    let mut variable = name;
    variable.push("=");
    variable.push(value);
    text(variable)
}

/// Holds back the signals that a master acts on, in the calling thread. A program that is put in the place of this one by
/// this thread starts with them held back.
pub(crate) fn hold_signals() -> io::Result<()> {
    Ok(SigSet::from_iter(MASTERS).thread_block()?)
}

/// Lets them through in the calling thread.
pub(crate) fn release_signals() -> io::Result<()> {
    Ok(SigSet::from_iter(MASTERS).thread_unblock()?)
}

/// Another descriptor of what is standard input now.
pub(crate) fn stdin() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// Makes this standard input, which the next program inherits.
pub(crate) fn set_stdin(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdin(file)?)
}

/// Makes this the working directory.
pub(crate) fn enter(directory: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::fchdir(directory)?)
}
