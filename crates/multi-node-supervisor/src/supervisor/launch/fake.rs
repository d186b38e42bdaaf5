//! Processes that a test plays: it has the other end of each one's control socket, sees the signals that are sent to it, and
//! says when and how it ends.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::mpsc;

use super::{Launch, Process};
use crate::control::{self, Reader, ToMaster, ToNode, Writer};
use crate::status::Exit;
use crate::supervisor::fleet::Fatal;
use crate::sys::exec::Successor;

/// No descriptors are left (errno(3)).
const EMFILE: i32 = 24;

/// Starts such processes.
#[derive(Debug)]
pub(in crate::supervisor) struct Fake {
    started: mpsc::Sender<Played>,
    pids: AtomicU32,
    /// Whether processes can be started.
    pub(in crate::supervisor) works: AtomicBool,
    /// Whether there are descriptors for streams between processes.
    pub(in crate::supervisor) has_descriptors: AtomicBool,
}

/// A process that was started.
#[derive(Debug)]
pub(in crate::supervisor) struct Played {
    pub(in crate::supervisor) env: Vec<(OsString, Option<OsString>)>,
    from_master: Reader<ToNode>,
    to_master: Writer<ToMaster>,
    /// The other end is what the master takes for the process: it sends signals there, and reads how the process has ended.
    process: UnixStream,
}

impl Fake {
    pub(in crate::supervisor) fn new() -> (Fake, mpsc::Receiver<Played>) {
        let (started, processes) = mpsc::channel(64);
        let (works, has_descriptors) = (AtomicBool::new(true), AtomicBool::new(true));
        (Fake { started, pids: AtomicU32::new(1 << 30), works, has_descriptors }, processes)
    }
}

impl Launch for Fake {
    fn start(&self, command: Command, stdin: OwnedFd) -> io::Result<Process> {
        if !self.works.load(Ordering::Relaxed) {
            return Err(io::Error::other("out of memory"));
        }
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let (from_master, to_master) = control::channel(stdin.into())?;
        let env = command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        let played = Played { env, from_master, to_master, process: ours };
        self.started.try_send(played).map_err(io::Error::other)?;
        Ok(Process { pid: self.pids.fetch_add(1, Ordering::Relaxed), process: theirs.into() })
    }

    fn end(&self, process: &OwnedFd, signal: Fatal) -> io::Result<()> {
        self.forward(process, if signal == Fatal::Kill { 9 } else { 6 })
    }

    fn forward(&self, process: &OwnedFd, signal: i32) -> io::Result<()> {
        match UnixStream::from(process.try_clone()?).write_all(&signal.to_ne_bytes()) {
            // A process that has ended and is not reaped yet takes any signal (kill(2)).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent,
        }
    }

    fn end_group(&self, _leader: u32) -> io::Result<()> {
        Ok(())
    }

    fn reap(&self, process: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
        let mut status = [0; 4];
        match UnixStream::from(process.try_clone_to_owned()?).read(&mut status) {
            Ok(_) => Ok(Some(match i32::from_ne_bytes(status) {
                signal @ ..0 => Exit::Signal(-signal),
                code => Exit::Code(code),
            })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn pair(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        match self.has_descriptors.load(Ordering::Relaxed) {
            true => crate::sys::socket::pair(),
            false => Err(io::Error::from_raw_os_error(EMFILE)),
        }
    }

    fn replace_master(&self, successor: Successor) -> io::Result<Infallible> {
        Err(io::Error::other(format!("{} is not executed in a test", successor.program.display())))
    }
}

impl Played {
    /// Sends a message to the master.
    pub(in crate::supervisor) async fn says(&mut self, message: ToMaster) {
        self.to_master.send(message).await.expect("the master listens");
    }

    /// The first message of the master for which `wanted` gives something; what comes before is passed over.
    pub(in crate::supervisor) async fn is_told<T>(&mut self, wanted: impl Fn(ToNode) -> Option<T>) -> T {
        loop {
            let message = self.from_master.next().await.expect("the master speaks").expect("and goes on");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    /// Waits for the next signal.
    pub(in crate::supervisor) async fn signal(&mut self) -> i32 {
        let mut process = self.process.try_clone().expect("a descriptor");
        let read = tokio::task::spawn_blocking(move || {
            let mut signal = [0; 4];
            process.read_exact(&mut signal).map(|()| i32::from_ne_bytes(signal))
        });
        read.await.expect("no panic").expect("the master holds the process")
    }

    /// Ends it.
    pub(in crate::supervisor) fn ends(mut self, exit: Exit) {
        let status = match exit {
            Exit::Code(code) => code,
            Exit::Signal(signal) => -signal,
            Exit::Unknown => 0,
        };
        self.process.write_all(&status.to_ne_bytes()).expect("the master watches it");
    }
}

#[test]
fn a_played_process_ends_as_it_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (fake, mut started) = Fake::new();
        let (_master, node) = crate::sys::socket::pair().expect("a pair");
        let process = fake.start(Command::new("none"), node).expect("started").process;
        let mut played = started.recv().await.expect("it was started");
        assert_eq!(fake.reap(process.as_fd()).expect("it runs"), None);
        fake.end(&process, Fatal::Kill).expect("signalled");
        assert_eq!(played.signal().await, 9);
        played.ends(Exit::Signal(9));
        assert_eq!(fake.reap(process.as_fd()).expect("reaped"), Some(Exit::Signal(9)));
    });
}
