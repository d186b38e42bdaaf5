//! Processes by pidfd (pidfd_open(2)), limits, and data from /proc.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions,
};

/// The name of this machine; empty if it is unknown.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// A descriptor for a child that has not been reaped, which becomes readable when the child ends.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    // Non-blocking, so that waiting for it never blocks the runtime.
    Ok(rustix::process::pidfd_open(known(pid)?, PidfdFlags::NONBLOCK)?)
}

/// Sends SIGKILL; a process that has ended already is no error.
pub fn kill(process: BorrowedFd<'_>) -> io::Result<()> {
    send(process, Signal::KILL)
}

/// Sends SIGABRT, which by default ends the process with a core dump.
pub fn abort(process: BorrowedFd<'_>) -> io::Result<()> {
    send(process, Signal::ABORT)
}

/// Sends any of the signals that have a name.
pub fn send_numbered(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    send(process, Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?)
}

fn send(process: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(process, signal) {
        Err(Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// Ends this process at once, without running anything more of it.
pub fn kill_self() -> io::Result<()> {
    Ok(rustix::process::kill_process(rustix::process::getpid(), Signal::KILL)?)
}

/// Ends every process of the group that this process leads. It must not have been reaped, so that the number is its own.
pub fn kill_group(leader: u32) -> io::Result<()> {
    match rustix::process::kill_process_group(known(leader)?, Signal::KILL) {
        Err(Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// Has this process, and the program that it executes, killed when its parent ends, or no more than the parent's thread that
/// started it (PR_SET_PDEATHSIG(2const)).
pub fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// As [`end_with_parent`], by another signal that has a name.
pub fn stop_with_parent(signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::set_parent_process_death_signal(Some(signal))?)
}

/// Makes a stopped process continue when its parent ends (PR_SET_PDEATHSIG(2const)). The signal also comes when only the
/// parent's thread ends that started this process; it does nothing to a running process.
pub fn continue_without_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::CONT))?)
}

/// Whether the process has ended, reaped or not. It need not be a child.
pub fn has_ended(process: BorrowedFd<'_>) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let mut looked = [PollFd::new(&process, PollFlags::IN)];
    Ok(rustix::event::poll(&mut looked, Some(&Timespec::default()))? > 0)
}

/// Blocks until the process has ended, or until the limit is over.
pub fn ends_within(process: BorrowedFd<'_>, limit: Duration) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match rustix::event::poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reaps the child if it has ended.
pub fn reap(process: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    match rustix::process::waitid(WaitId::PidFd(process), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(status) => Ok(status.as_ref().and_then(exit)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a [`reap`] failed since the status was taken already.
pub fn was_reaped(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::CHILD)
}

/// The exit status in the form of wait(2).
fn exit(status: &WaitIdStatus) -> Option<ExitStatus> {
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    code.or_else(|| status.terminating_signal()).map(ExitStatus::from_raw)
}

/// Reaps this one child if it has ended, also if another process started it.
pub fn reap_orphan(pid: u32) -> io::Result<bool> {
    Ok(rustix::process::waitpid(Some(known(pid)?), WaitOptions::NOHANG)?.is_some())
}

fn known(pid: u32) -> io::Result<Pid> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    raw.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// The effective user of this process.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether this process may make files in the directory.
pub fn may_write(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?)
}

/// The effective user of another process.
pub fn user_of(pid: u32) -> Option<u32> {
    let users = field(&PathBuf::from(format!("/proc/{pid}/status")), "Uid")?;
    users.split_whitespace().nth(1)?.parse().ok()
}

/// The soft limit of open files (getrlimit(2)); `None` where there is no limit.
pub fn file_limit() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).current
}

/// Raises the soft limit of open files to the hard one; returns the old soft limit.
pub fn raise_file_limit() -> io::Result<Option<u64>> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    }
    Ok(limit.current)
}

/// Sets the soft limit of open files, as far as the hard one allows.
pub fn set_file_limit(files: u64) -> io::Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let current = Some(limit.maximum.map_or(files, |most| most.min(files)));
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current, ..limit })?)
}

/// Makes the table of this process's files large enough for this number at once, as far as the limit allows.
///
/// It grows by doubling otherwise, and where threads share it the kernel waits each time until no processor uses the old one: 5 to 15 ms
/// (`synchronize_rcu` in expand_fdtable, fs/file.c). So call this before threads are started.
pub fn widen_file_table(files: usize) {
    let lowest = i32::try_from(files).unwrap_or(i32::MAX);
    // Where that fails the table grows step by step.
    let _ = File::open("/dev/null").map(|null| rustix::io::fcntl_dupfd_cloexec(null, lowest));
}

/// Holds a file or directory so that it can be named later, by [`held`], whatever becomes of its path.
pub fn hold(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether what is held has a path, which takes a /proc that shows this process.
pub fn has_paths() -> bool {
    Path::new("/proc/self/fd").is_dir()
}

/// A path for what [`hold`] holds, good in this process and in a child between fork and exec.
pub fn held(file: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Whether the file that [`hold`] holds is the one that is at this path now.
pub fn is_at(file: impl AsFd, path: &Path) -> bool {
    let held = rustix::fs::fstat(file);
    held.is_ok_and(|held| {
        rustix::fs::stat(path).is_ok_and(|now| (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino))
    })
}

/// Another descriptor of what this process has at a number (pidfd_getfd(2)), closed on exec.
pub fn own_descriptor(number: u32) -> io::Result<OwnedFd> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_getfd(own, number, PidfdGetfdFlags::empty())?)
}

/// Makes this process likelier to be killed when memory runs out (proc(5), `oom_score_adj`). `by` is in thousandths of the
/// machine's memory.
pub fn raise_oom_score(by: i32) -> io::Result<()> {
    const FILE: &str = "/proc/self/oom_score_adj";
    const HIGHEST: i32 = 1000;
    let present: i32 = std::fs::read_to_string(FILE)?.trim().parse().map_err(io::Error::other)?;
    std::fs::write(FILE, (present + by).min(HIGHEST).to_string())
}

/// What `ps` shows of this process.
pub fn name() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap_or_default().trim_end().to_owned()
}

/// Has `ps` show this; 15 bytes are kept (proc(5)).
pub fn set_name(name: &str) -> io::Result<()> {
    std::fs::write("/proc/self/comm", name)
}

/// One process in /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub pid: u32,
    pub parent: u32,
    pub group: u32,
    pub session: u32,
    /// When it started, in clock ticks since the machine did: a later process of the same number has another.
    pub start: u64,
    pub zombie: bool,
}

/// All processes that /proc shows.
pub fn all() -> Vec<Entry> {
    let Ok(folders) = std::fs::read_dir("/proc") else { return Vec::new() };
    let stat = |folder: std::fs::DirEntry| std::fs::read_to_string(folder.path().join("stat")).ok();
    folders.flatten().filter_map(stat).filter_map(|stat| entry(&stat)).collect()
}

/// `pid (name) state parent group …` (proc(5)); the name may hold anything, parentheses included.
fn entry(stat: &str) -> Option<Entry> {
    let pid = stat.split(' ').next()?.parse().ok()?;
    let mut rest = stat[stat.rfind(')')? + 1..].split_whitespace();
    let zombie = matches!(rest.next()?, "Z" | "X");
    let mut number = || rest.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    // Fields 7 to 21 lie between the session and the start.
    let start = rest.nth(15)?.parse().ok()?;
    Some(Entry { pid, parent, group, session, start, zombie })
}

/// One process, if there is one of this number.
pub fn entry_of(pid: u32) -> Option<Entry> {
    entry(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether there is such a process that has not ended, though /proc may not show it.
pub fn exists(pid: u32) -> bool {
    let is_zombie = entry_of(pid).is_some_and(|entry| entry.zombie);
    let answers = |pid| !matches!(rustix::process::test_kill_process(pid), Err(Errno::SRCH));
    !is_zombie && known(pid).is_ok_and(answers)
}

/// What `ps` shows of a process.
pub fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// No more processes of one family are looked at.
const LARGEST_FAMILY: usize = 1024;

/// A process and all that descend from it, as far as its children have not been left behind by their parents.
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next).filter(|_| family.len() < LARGEST_FAMILY) {
        next += 1;
        let threads = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        family.extend(lists.flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<u32>>()));
    }
    family
}

/// Whether the process descends from `ancestor`, or is of its process group; `None`: it has ended.
pub fn is_of_family(pid: u32, ancestor: u32) -> Option<bool> {
    /// No family is deeper.
    const DEEPEST: usize = 64;
    // /proc may hide the process itself.
    if pid == ancestor {
        return exists(pid).then_some(true);
    }
    let mut of = entry_of(pid)?;
    for _ in 0..DEEPEST {
        if of.pid == ancestor || of.group == ancestor {
            return Some(true);
        }
        match entry_of(of.parent) {
            Some(parent) => of = parent,
            None => break,
        }
    }
    Some(false)
}

/// At most this number of threads is described.
const MOST_THREADS: usize = 16;

/// Whether a debugger holds the process, and what its threads are doing, for people (proc(5)).
pub fn examine(pid: u32) -> (bool, String) {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let traced = field(&folder.join("status"), "TracerPid").is_some_and(|tracer| tracer != "0");
    let Ok(threads) = std::fs::read_dir(folder.join("task")) else { return (traced, "the process is gone".to_owned()) };
    let threads = threads.flatten().take(MOST_THREADS).map(|thread| thread_report(&thread.path()));
    (traced, threads.collect::<Vec<_>>().join("; "))
}

fn thread_report(thread: &Path) -> String {
    let status = thread.join("status");
    let read = |name| field(&status, name).unwrap_or_default();
    let waits_in = std::fs::read_to_string(thread.join("wchan")).unwrap_or_default();
    let waits_in = if matches!(waits_in.as_str(), "" | "0") { String::new() } else { format!(" in {waits_in}") };
    format!("thread {} {}: {}{waits_in}", read("Pid"), read("Name"), read("State"))
}

pub(super) fn field(file: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "what is tested reaps it")]
    fn a_killed_child_is_reaped_once() {
        let child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().expect("sleep starts");
        let process = open(child.id()).expect("pidfd");
        assert_eq!(reap(process.as_fd()).expect("still alive"), None);
        kill(process.as_fd()).expect("kill");
        let exit = loop {
            if let Some(exit) = reap(process.as_fd()).expect("reap") {
                break exit;
            }
            std::thread::yield_now();
        };
        assert_eq!(exit.signal(), Some(9));
        assert!(reap(process.as_fd()).is_err(), "there is nothing left to reap");
    }

    #[test]
    fn a_held_program_survives_its_path() {
        let path = std::env::temp_dir().join(format!("multi-node-held-{}", std::process::id()));
        std::fs::copy("/bin/true", &path).expect("copy");
        let file = hold(&path).expect("open");
        std::fs::remove_file(&path).expect("remove");
        assert!(Command::new(held(&file)).status().expect("starts all the same").success());
    }
}
