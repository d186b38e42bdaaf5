//! Nothing that a bench starts outlives it, however it ends: the bench runs in a child of this process, which adopts what is left.

use std::{
    collections::BTreeSet,
    env, fs,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, wait},
};
use tokio::signal::unix::{SignalKind, signal};

/// Set in the child that runs the bench.
const INSIDE: &str = "MULTI_NODE_BENCH_INSIDE";
/// How long what is left may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(3);
/// How often the kernel is asked for processes that were adopted meanwhile.
const AGAIN: Duration = Duration::from_millis(20);

/// Whether this process runs the bench itself.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs this program again with the same arguments, and ends all that is left of it. A signal ends it early.
pub(crate) fn run_inside() -> Result<ExitCode> {
    set_child_subreaper(Some(getpid()))?;
    // What a bench writes is removed here, since the child may be killed.
    let folder = tempfile::Builder::new().prefix("multi-node-bench-").tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut ended = signal(SignalKind::child())?;
        let mut command = Command::new(env::current_exe()?);
        let child = command.args(env::args_os().skip(1)).env(INSIDE, "1").env("TMPDIR", folder.path()).spawn()?;
        let bench = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a pid")?;
        loop {
            tokio::select! {
                _ = term.recv() => break anyhow::Ok(128 + Signal::TERM.as_raw()),
                _ = int.recv() => break Ok(128 + Signal::INT.as_raw()),
                _ = ended.recv() => if let Some(code) = reap_until(bench)? { break Ok(code) },
            }
        }
    })?;
    end_all()?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Reaps those that have ended; the exit code of `bench`, if it is one of them.
fn reap_until(bench: Pid) -> Result<Option<i32>> {
    while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
        if pid == bench {
            return Ok(Some(code(status)));
        }
    }
    Ok(None)
}

/// As shells give it.
fn code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Asks all children to end, those too that come as their parents end, and kills them after a while.
fn end_all() -> Result<()> {
    let (begun, mut asked) = (Instant::now(), BTreeSet::new());
    loop {
        match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return Ok(()),
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(error) => return Err(error.into()),
        }
        let is_late = begun.elapsed() > GRACE;
        for pid in children()? {
            if is_late || asked.insert(pid.as_raw_nonzero()) {
                // Only this process reaps it, so the pid is still its own.
                let _ = kill_process(pid, if is_late { Signal::KILL } else { Signal::TERM });
            }
        }
        std::thread::sleep(AGAIN);
    }
}

fn children() -> Result<Vec<Pid>> {
    let pid = getpid().as_raw_nonzero();
    let listed = fs::read_to_string(format!("/proc/self/task/{pid}/children"))?;
    Ok(listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw)).collect())
}
