//! The start of an instance beside what an earlier run has left: its guard ends that, and the start waits for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::kinship::Process;
use super::look;
use super::token::{ProcessId, Run};
use crate::sys::signal::TERM;
use crate::{Error, sys};

/// How much longer than a drain is waited: so much a guard needs besides.
const MARGIN: Duration = Duration::from_secs(5);

/// How often the addresses are tried.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// How often it is looked whether they have ended.
const KILL_EVERY: Duration = Duration::from_millis(10);

/// How long processes may take to end after SIGKILL.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// SIGKILL (signal(7)).
const KILL: i32 = 9;

/// Binds as soon as processes that an earlier run of this instance has left let go of its addresses. A program without
/// addresses waits for their end, so that it does not run twice. What is left when they have had their time is killed.
pub async fn bind_after_orphans<T>(
    run: &Run,
    has_addresses: bool,
    drain_timeout: Duration,
    mut bind: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let within = drain_timeout + MARGIN;
    let deadline = Instant::now() + within;
    let mut waits = false;
    loop {
        let bound = match bind().await {
            Ok(bound) if has_addresses => return Ok(bound),
            Err(error) if !error.is_address_in_use() => return Err(error),
            bound => bound,
        };
        let left = orphans(run).await;
        if left.is_empty() {
            // They may have ended between the two.
            return if waits && bound.is_err() { bind().await } else { bound };
        }
        if !std::mem::replace(&mut waits, true) {
            report(&left, within);
            if left.iter().all(|process| process.guards.is_none()) {
                tell(&left);
            }
        }
        if Instant::now() >= deadline {
            drop(bound);
            kill(run).await;
            return bind().await;
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

fn report(left: &[Process], within: Duration) {
    let pids: Vec<u32> = left.iter().map(|process| process.id.pid).collect();
    crate::log::warn!(
        target: "multi_node",
        ?pids,
        "an earlier run of this instance was killed and its processes still finish; waiting for them for up to {within:?}, then killing them"
    );
}

/// Without a guard nobody has told them to finish. Those that others of them have started are left to these.
fn tell(left: &[Process]) {
    crate::log::warn!(target: "multi_node", "their guard was killed too; telling them to finish");
    for process in left.iter().filter(|process| left.iter().all(|other| other.id.pid != process.parent)) {
        // What has not ended by the deadline is killed, and a failure of that is reported.
        let _ = look::signal(process.id, TERM);
    }
}

/// What earlier runs of this instance have left, while their masters are gone: processes of nodes, and guards, which end those.
async fn orphans(run: &Run) -> Vec<Process> {
    let run = run.clone();
    let looked = tokio::task::spawn_blocking(move || of(&look::processes(), &run, look::lives));
    let mut left = looked.await.unwrap_or_default();
    // In another container the same numbers are other processes.
    left.retain(|process| sys::family::shares_numbers(process.id.pid));
    left
}

/// A process of ours may descend from one of them, such as the shell that restarts this instance.
fn of(all: &[Process], run: &Run, lives: impl Fn(ProcessId) -> bool) -> Vec<Process> {
    let is_left = |theirs: &Run| theirs.is_sibling(run) && !lives(theirs.master);
    let runs = |process: &Process| {
        let token = process.token.as_ref().map(|token| &token.run);
        token.into_iter().chain(&process.guards).any(is_left)
    };
    let ours = ancestors(all, run.master);
    let left = all.iter().filter(|process| !process.ended && runs(process) && !ours.contains(&process.id.pid));
    left.cloned().collect()
}

/// This process and those that it descends from.
fn ancestors(all: &[Process], this: ProcessId) -> Vec<u32> {
    let mut line = vec![this.pid];
    while let Some(of) = all.iter().find(|process| Some(&process.id.pid) == line.last()) {
        if line.contains(&of.parent) {
            break;
        }
        line.push(of.parent);
    }
    line
}

/// Kills what is left, and what that starts meanwhile.
async fn kill(run: &Run) {
    let deadline = Instant::now() + LAST_BREATH;
    let mut told = BTreeSet::new();
    loop {
        let left = orphans(run).await;
        if left.is_empty() || Instant::now() >= deadline {
            return;
        }
        for process in left.into_iter().map(|process| process.id) {
            let killed = look::signal(process, KILL);
            if told.insert(process) {
                let error = killed.err().map(tracing::field::display);
                crate::log::warn!(target: "multi_node", pid = process.pid, error, "killing what an earlier run has left");
            }
        }
        tokio::time::sleep(KILL_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::Token;
    use super::*;
    use crate::NodeId;

    fn run(name: &str, pid: u32) -> Run {
        Run::new(Some(name), &[], 0, ProcessId { pid, start: 1 })
    }

    fn process(pid: u32, run: Option<Run>) -> Process {
        let token = run.map(|run| Token { run, node: NodeId::node(1) });
        let id = ProcessId { pid, start: 1 };
        Process { id, parent: 1, group: pid, session: pid, ended: false, token, guards: None }
    }

    #[test]
    fn only_what_dead_runs_of_this_instance_have_left_is_waited_for() {
        let all = [
            process(1, None),
            process(20, Some(run("web", 10))),
            process(21, Some(run("web", 11))),
            process(22, Some(run("other", 10))),
            process(23, Some(run("web", 30))),
            Process { ended: true, ..process(24, Some(run("web", 10))) },
            Process { guards: Some(run("web", 10)), ..process(25, None) },
            // The shell in which this one was started.
            process(29, Some(run("web", 10))),
            Process { parent: 29, ..process(30, Some(run("web", 10))) },
        ];
        let left = of(&all, &run("web", 30), |master| master.pid == 11);
        assert_eq!(left.iter().map(|process| process.id.pid).collect::<Vec<_>>(), [20, 25]);
    }

    fn in_use() -> Error {
        let source = std::io::ErrorKind::AddrInUse.into();
        Error::Bind { address: "a".to_owned(), source, remedy: String::new() }
    }

    #[tokio::test]
    async fn an_address_that_another_program_has_is_an_error_at_once() {
        let nobody = run("nobody-has-this-name", std::process::id());
        let mut tries = 0;
        let bound = bind_after_orphans(&nobody, true, Duration::from_secs(60), async || {
            tries += 1;
            Err::<(), _>(in_use())
        });
        assert!(matches!(bound.await, Err(Error::Bind { .. })));
        assert_eq!(tries, 1);
    }
}
