//! Putting another program in this process's place (execve(2)), and what has to be kept meanwhile.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The signals that a master acts on.
const MASTERS: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGUSR2];

/// The program that replaces this process's program, and how it begins.
#[derive(Debug)]
pub struct Successor {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
    pub directory: OwnedFd,
    pub stdin: OwnedFd,
    /// Whether it begins with the signals held back that a master acts on.
    pub hold_signals: bool,
}

impl Successor {
    /// Replaces this process's program; returns only when that has failed, and then the process is as it was.
    ///
    /// A thread of its own does it, with descriptors and a working directory of its own: the program's other threads run
    /// until the very end, and one that reads standard input would read what is meant for the successor.
    pub fn replace(&self) -> io::Result<Infallible> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("multi-node-exec".to_owned());
            thread.spawn_scoped(scope, || self.run())?.join().unwrap_or_else(|_| Err(io::Error::other("a panic")))
        })
    }

    fn run(&self) -> io::Result<Infallible> {
        if self.hold_signals {
            hold_signals()?;
        }
        // Containers without CAP_SYS_ADMIN may forbid it (seccomp(2)): then standard input is everybody's for a moment.
        match nix::sched::unshare(CloneFlags::CLONE_FILES | CloneFlags::CLONE_FS) {
            Ok(()) => self.execute(),
            Err(_) => self.execute_or_restore(),
        }
    }

    /// The same in the calling thread, which becomes the new program's main thread. Until then all threads share standard
    /// input.
    pub fn replace_here(&self) -> io::Result<Infallible> {
        if !self.hold_signals {
            return self.execute_or_restore();
        }
        hold_signals()?;
        let failed = self.execute_or_restore();
        release_signals()?;
        failed
    }

    fn execute(&self) -> io::Result<Infallible> {
        let program = CString::new(self.program.as_os_str().as_bytes())?;
        let arguments = self.arguments.iter().cloned().map(text).collect::<io::Result<Vec<_>>>()?;
        let environment = self.environment.iter().cloned().map(variable).collect::<io::Result<Vec<_>>>()?;
        rustix::process::fchdir(&self.directory)?;
        set_stdin(self.stdin.as_fd())?;
        mark_output(FdFlags::empty(), FdFlags::empty())?;
        Ok(nix::unistd::execve(&program, &arguments, &environment)?)
    }

    /// Undoes what was done to the standard streams and the working directory, which all threads share.
    fn execute_or_restore(&self) -> io::Result<Infallible> {
        let (input, directory) = (stdin()?, super::process::hold(Path::new("."))?);
        let (output, error) = (fcntl_getfd(io::stdout())?, fcntl_getfd(io::stderr())?);
        let failed = self.execute();
        mark_output(output, error)?;
        set_stdin(input.as_fd())?;
        rustix::process::fchdir(directory)?;
        failed
    }
}

/// Lets programs that this process becomes or starts inherit the descriptor.
pub fn let_inherit(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_setfd(fd, FdFlags::empty())?)
}

/// Whether standard output and error are closed on exec. Node.js, for one, has marked them so.
fn mark_output(output: FdFlags, error: FdFlags) -> io::Result<()> {
    fcntl_setfd(io::stdout(), output)?;
    Ok(fcntl_setfd(io::stderr(), error)?)
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
pub fn hold_signals() -> io::Result<()> {
    Ok(SigSet::from_iter(MASTERS).thread_block()?)
}

/// Lets them through in the calling thread.
pub fn release_signals() -> io::Result<()> {
    Ok(SigSet::from_iter(MASTERS).thread_unblock()?)
}

/// Another descriptor of what is standard input now.
pub fn stdin() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// Makes this standard input, which the next program inherits.
pub fn set_stdin(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdin(file)?)
}
