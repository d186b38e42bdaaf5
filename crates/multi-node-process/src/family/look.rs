//! Looking at all processes, and signalling those that were seen.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::kinship::Process;
use super::token::{ProcessId, Run, Token, value};
use crate::address::Address;
use crate::environment::{GUARD, INSTANCE};
use crate::sys;
use crate::sys::process::Entry;

/// How many may wait for a look.
const WAITING: usize = 256;

/// The pause between two looks, in multiples of the time that one has taken.
const PAUSES: u32 = 4;

/// Between two looks lies at least so much.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// How many looks in a row have to find no process. One is not enough: a process that executes a program has no variables for
/// a moment, and one that starts another may be gone before the other is there.
pub(super) const EMPTY_LOOKS: u32 = 2;

/// All processes, as /proc shows them now.
pub(super) fn processes() -> Vec<Process> {
    sys::process::all().into_iter().map(|entry| process(&entry)).collect()
}

fn process(entry: &Entry) -> Process {
    let variables = sys::family::environment(entry.pid);
    Process {
        id: id(entry),
        parent: entry.parent,
        group: entry.group,
        session: entry.session,
        ended: entry.zombie,
        token: value(&variables, INSTANCE).and_then(Token::parse),
        guards: value(&variables, GUARD).and_then(Run::parse),
    }
}

fn id(entry: &Entry) -> ProcessId {
    ProcessId { pid: entry.pid, start: entry.start }
}

/// The process that has this number now. Of a child that was not reaped that is the child.
pub fn identity(pid: u32) -> io::Result<ProcessId> {
    let entry = sys::process::entry_of(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(id(&entry))
}

/// The run that this process leads, of the program of this name or, without one, with these addresses.
pub fn own_run(name: Option<&str>, addresses: &[Address]) -> Run {
    let pid = std::process::id();
    let addresses = addresses.iter().map(ToString::to_string).collect();
    // Without /proc nothing is found by it either.
    let master = identity(pid).unwrap_or(ProcessId { pid, start: 0 });
    Run::new(name, &[addresses], sys::process::user(), master)
}

/// Whether the process lives.
pub(super) fn lives(process: ProcessId) -> bool {
    sys::process::entry_of(process.pid).is_some_and(|entry| id(&entry) == process && !entry.zombie)
}

/// Sends a signal to the process that was seen. If another process has its number by now, sends none.
pub(super) fn signal(process: ProcessId, signal: i32) -> io::Result<()> {
    let Ok(held) = sys::process::open(process.pid) else { return Ok(()) };
    // A pidfd never refers to another process, so this second check shows which process the signal reaches.
    if !lives(process) {
        return Ok(());
    }
    sys::process::send_numbered(held.as_fd(), signal)
}

/// Looks for all who want one, in a thread beside the runtime: those who ask while others wait get the same look, so that the
/// ends of many nodes cost hardly more than that of one.
#[derive(Clone, Debug)]
pub struct Looks(mpsc::Sender<oneshot::Sender<Arc<Vec<Process>>>>);

impl Looks {
    pub fn start() -> Looks {
        let (sender, wanted) = mpsc::channel(WAITING);
        tokio::spawn(look(wanted));
        Looks(sender)
    }

    /// A look that begins after this call. Cancel-safe.
    pub(super) async fn look(&self) -> io::Result<Arc<Vec<Process>>> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("nobody looks at processes any more");
        self.0.send(answer).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

async fn look(mut wanted: mpsc::Receiver<oneshot::Sender<Arc<Vec<Process>>>>) {
    while let Some(first) = wanted.recv().await {
        let mut answers = vec![first];
        while let Ok(another) = wanted.try_recv() {
            answers.push(another);
        }
        let begun = Instant::now();
        let Ok(seen) = tokio::task::spawn_blocking(processes).await else { return };
        let seen = Arc::new(seen);
        for answer in answers {
            // The caller may have stopped waiting.
            let _ = answer.send(seen.clone());
        }
        tokio::time::sleep(pause(begun.elapsed())).await;
    }
}

/// How long to rest after a look that took so long.
pub(super) fn pause(took: Duration) -> Duration {
    (took * PAUSES).max(SHORTEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::NodeId;

    #[test]
    fn a_process_is_seen_with_its_token_and_signalled_only_as_itself() {
        let run = Run::new(Some("look"), &[], 0, ProcessId { pid: 1, start: 2 });
        let token = Token { run, node: NodeId::node(3) };
        let mut child = Command::new("sleep");
        let child = child.arg("1000").env(INSTANCE, token.to_string()).stdin(Stdio::null()).spawn();
        let mut child = child.expect("sleep starts");
        // exec(2) closes what `spawn` waits for a moment before /proc shows the new environment.
        let seen = (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            let its = |process: &Process| process.id.pid == child.id() && process.token.is_some();
            processes().into_iter().find(its)
        });
        let seen = seen.expect("seen with a token");
        assert_eq!(seen.token, Some(token));
        assert_eq!(seen.id, identity(child.id()).expect("it lives"));
        signal(ProcessId { start: seen.id.start + 1, ..seen.id }, 9).expect("nobody is concerned");
        assert!(lives(seen.id));
        signal(seen.id, 15).expect("ours");
        child.wait().expect("ours");
        assert!(!lives(seen.id));
        signal(seen.id, 15).expect("it is gone, which is no error");
    }
}
