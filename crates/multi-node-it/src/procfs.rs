//! Data about processes from /proc.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Memory that a process has resident, in bytes; 0 for one that is gone.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// How many descriptors a process has open; `None` once it has ended.
pub fn fds(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// How many of its descriptors are sockets; `None` once it has ended.
pub fn sockets(pid: u32) -> Option<usize> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let is_socket = |link: PathBuf| link.to_string_lossy().starts_with("socket:");
    Some(fds.filter(|fd| fd.as_ref().is_ok_and(|fd| fs::read_link(fd.path()).is_ok_and(is_socket))).count())
}

/// The highest number of a descriptor that the process has open; `None` once it has ended.
pub fn highest_fd(pid: u32) -> Option<u64> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    fds.filter_map(|fd| fd.ok()?.file_name().to_str()?.parse().ok()).max()
}

/// Whether the process exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The process's state: `R`, `S`, `T`, `Z`…
pub fn state(pid: u32) -> Option<char> {
    fields(pid)?.first()?.chars().next()
}

/// How many files the process may have open, as it has set that for itself and at most.
pub fn open_files(pid: u32) -> Option<(String, String)> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let mut limits = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace();
    Some((limits.next()?.to_owned(), limits.next()?.to_owned()))
}

/// The name that `ps` shows.
pub fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// The program file that the process runs, links resolved.
pub fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The process's working directory, links resolved.
pub fn directory(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The process's group.
pub fn group(pid: u32) -> Option<u32> {
    fields(pid)?.get(2)?.parse().ok()
}

/// Who traces the process, if anybody does.
pub fn tracer(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    tracer.trim().parse().ok().filter(|tracer| *tracer != 0)
}

/// A set of signals of the process's main thread, as bits: `SigBlk`, `SigIgn`… (proc(5)).
pub fn signals(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default()
}

/// Children of the process, zombies included. The guard of a master is none of its nodes, and not among them.
pub fn children(pid: u32) -> Vec<u32> {
    all().filter(|child| parent(*child) == Some(pid) && !is_guard(*child)).collect()
}

/// The guard of a master of programs that do not link the library.
pub fn guard(master: u32) -> Option<u32> {
    all().find(|child| parent(*child) == Some(master) && is_guard(*child) && is_alive(*child))
}

fn is_guard(pid: u32) -> bool {
    variables(pid).any(|variable| variable.starts_with(b"MULTI_NODE_GUARD="))
}

/// Living processes of the nodes of this instance, as far as they are marked.
pub fn of_instance(name: &str) -> Vec<u32> {
    let mark = format!("MULTI_NODE_INSTANCE={name}:").into_bytes();
    all().filter(|pid| is_alive(*pid) && variables(*pid).any(|variable| variable.starts_with(&mark))).collect()
}

fn variables(pid: u32) -> impl Iterator<Item = Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter()
}

/// Children of the process that have ended and not been reaped.
pub fn zombies(pid: u32) -> Vec<u32> {
    children(pid).into_iter().filter(|child| state(*child) == Some('Z')).collect()
}

/// Living processes that were started with this variable.
pub fn with_variable(name: &str, value: &str) -> Vec<u32> {
    let wanted = format!("{name}={value}").into_bytes();
    all().filter(|pid| variables(*pid).any(|variable| variable == wanted)).collect()
}

/// Whether every thread of the process has been stopped.
pub fn is_stopped(pid: u32) -> bool {
    let threads = threads(pid);
    !threads.is_empty() && threads.iter().all(|thread| state_in(&thread.join("stat")) == Some('T'))
}

/// How often the process's threads have gone to sleep, so far: as often as they were woken.
pub fn sleeps(pid: u32) -> u64 {
    let of = |thread: &PathBuf| {
        let status = fs::read_to_string(thread.join("status")).ok()?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        count.trim().parse::<u64>().ok()
    };
    threads(pid).iter().filter_map(of).sum()
}

/// The processor time that the process has used, so far.
pub fn cpu_time(pid: u32) -> Duration {
    // utime and stime; the kernel counts them for /proc in hundredths of a second (proc(5), USER_HZ).
    let ticks = |at: usize| fields(pid).and_then(|fields| fields.get(at)?.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// How long the process's threads were able to run and waited for a processor, so far and all together.
pub fn run_delay(pid: u32) -> Duration {
    let of = |thread: &PathBuf| {
        let schedstat = fs::read_to_string(thread.join("schedstat")).ok()?;
        schedstat.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads(pid).iter().filter_map(of).sum())
}

/// How long this machine's processors have run something else than this machine, so far and all together (proc(5), `steal`).
pub fn stolen() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().nth(8).and_then(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.unwrap_or_default())
}

fn threads(pid: u32) -> Vec<PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path()).collect()
}

fn state_in(stat: &Path) -> Option<char> {
    after_name(stat)?.first()?.chars().next()
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    fields(pid)?.get(1)?.parse().ok()
}

/// What follows the name in `/proc/PID/stat` (proc(5)): state, parent, group… The name may hold anything.
fn fields(pid: u32) -> Option<Vec<String>> {
    after_name(Path::new(&format!("/proc/{pid}/stat")))
}

fn after_name(stat: &Path) -> Option<Vec<String>> {
    let stat = fs::read_to_string(stat).ok()?;
    Some(stat[stat.rfind(')')? + 1..].split_whitespace().map(str::to_owned).collect())
}
