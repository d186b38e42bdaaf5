//! Starting, signalling and ending processes. Nothing else of the master does that, so a test can play all of it.

#[cfg(test)]
pub(super) mod fake;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use super::fleet::Fatal;
use super::starter::Starter;
use crate::status::Exit;
use crate::sys;
use crate::sys::exec::Successor;

/// How the master has processes started and ended.
pub trait Launch: fmt::Debug + Send + Sync {
    /// Starts a process with this as its standard input.
    ///
    /// # Errors
    /// Where the system refuses it.
    fn start(&self, command: Command, stdin: OwnedFd) -> io::Result<Process>;

    /// Sends a signal that ends the process.
    ///
    /// # Errors
    /// Where the system refuses it.
    fn end(&self, process: &OwnedFd, signal: Fatal) -> io::Result<()>;

    /// Passes a signal of a command on.
    ///
    /// # Errors
    /// Where the system refuses it.
    fn forward(&self, process: &OwnedFd, signal: i32) -> io::Result<()>;

    /// Ends what is left of the process group that a node leads. It must not have been reaped.
    ///
    /// # Errors
    /// Where the system refuses it.
    fn end_group(&self, leader: u32) -> io::Result<()>;

    /// Reaps the process if it has ended.
    ///
    /// # Errors
    /// Where the system refuses it.
    fn reap(&self, process: BorrowedFd<'_>) -> io::Result<Option<Exit>>;

    /// The two ends of a stream between two processes.
    ///
    /// # Errors
    /// Where the system refuses it.
    fn pair(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        sys::socket::pair()
    }

    /// Puts another program in the master's place. Returns only if that has failed, and then nothing has changed.
    ///
    /// # Errors
    /// Where the system refuses it.
    fn replace_master(&self, successor: Successor) -> io::Result<Infallible>;
}

/// A process that was started, and a descriptor that becomes readable when it has ended.
#[derive(Debug)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Becomes readable when it has ended.
    pub process: OwnedFd,
}

/// The operating system's processes.
#[derive(Debug)]
pub(crate) struct System {
    /// The thread that starts nodes which the kernel ends with it.
    starter: Option<Starter>,
    /// Whether threads of this process may hold signals back, as they were when its program began.
    holds_signals: bool,
}

impl System {
    /// `end_with_master`: the kernel ends the processes with this one, where they ask for it.
    pub(super) fn new(end_with_master: bool, holds_signals: bool) -> io::Result<System> {
        Ok(System { starter: end_with_master.then(Starter::start).transpose()?, holds_signals })
    }

    fn spawn(&self, mut command: Command) -> io::Result<u32> {
        let release = self.holds_signals;
        let mut start = move || {
            if release {
                sys::exec::release_signals()?;
            }
            Ok(command.spawn()?.id())
        };
        match &self.starter {
            Some(starter) => starter.run(start)?,
            None => start(),
        }
    }
}

impl Launch for System {
    fn start(&self, mut command: Command, stdin: OwnedFd) -> io::Result<Process> {
        command.stdin(stdin);
        // Only this process reaps it, so no other process gets its pid until then.
        let pid = self.spawn(command)?;
        Ok(Process { pid, process: sys::process::open(pid)? })
    }

    fn end(&self, process: &OwnedFd, signal: Fatal) -> io::Result<()> {
        match signal {
            Fatal::Abort => sys::process::abort(process.as_fd()),
            Fatal::Kill => sys::process::kill(process.as_fd()),
        }
    }

    fn forward(&self, process: &OwnedFd, signal: i32) -> io::Result<()> {
        sys::process::send_numbered(process.as_fd(), signal)
    }

    fn end_group(&self, leader: u32) -> io::Result<()> {
        sys::process::kill_group(leader)
    }

    fn reap(&self, process: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
        Ok(sys::process::reap(process)?.map(exit))
    }

    fn replace_master(&self, successor: Successor) -> io::Result<Infallible> {
        match &self.starter {
            Some(starter) => starter.run(move || successor.replace_here())?,
            None => successor.replace(),
        }
    }
}

/// How a process ended, by its wait status.
fn exit(status: ExitStatus) -> Exit {
    status.signal().map(Exit::Signal).or(status.code().map(Exit::Code)).unwrap_or(Exit::Unknown)
}
