//! Putting another program in this process's place (execve(2)), and what has to be kept meanwhile.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};

/// The signals that a master acts on.
const MASTERS: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGUSR2];

/// The program that is to take this process's place, and how it begins.
#[derive(Debug)]
pub(crate) struct Successor<'a> {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: BorrowedFd<'a>,
    pub(crate) stdin: BorrowedFd<'a>,
}

impl Successor<'_> {
    /// Replaces this process's program; returns only when that has failed, and then the process is as it was.
    ///
    /// A thread of its own does it, with descriptors and a working directory of its own: the program's other threads run
    /// until the very end, and one that reads standard input would read what is meant for the successor.
    pub(crate) fn replace(&self) -> io::Error {
        let replaced = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("multi-node-exec".to_owned());
            thread.spawn_scoped(scope, || self.run())?.join().unwrap_or_else(|_| Err(io::Error::other("a panic")))
        });
        match replaced {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }

    fn run(&self) -> io::Result<Infallible> {
        let program = CString::new(self.program.as_os_str().as_bytes())?;
        let arguments = self.arguments.iter().cloned().map(text).collect::<io::Result<Vec<_>>>()?;
        let environment = self.environment.iter().cloned().map(variable).collect::<io::Result<Vec<_>>>()?;
        let execute = || -> io::Result<Infallible> {
            rustix::process::fchdir(self.directory)?;
            set_stdin(self.stdin)?;
            Ok(nix::unistd::execve(&program, &arguments, &environment)?)
        };
        // Containers without CAP_SYS_ADMIN may forbid it (seccomp(2)): then standard input is everybody's for a moment.
        match nix::sched::unshare(CloneFlags::CLONE_FILES | CloneFlags::CLONE_FS) {
            Ok(()) => execute(),
            Err(_) => restoring(execute),
        }
    }
}

/// Undoes what was done to standard input and the working directory, which all threads share.
fn restoring<T>(execute: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let (input, directory) = (stdin()?, super::process::hold(Path::new("."))?);
    let result = execute();
    set_stdin(input.as_fd())?;
    rustix::process::fchdir(directory)?;
    result
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
