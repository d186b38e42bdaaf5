//! Limits of open files, for this process and for others.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// Lets this process open as many files as it may at most.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the maximum one may");
}

/// Changes how many files a process may have open; returns the old limit. Open files stay open.
pub fn limit_open_files(pid: u32, count: u64) -> u64 {
    let pid = Pid::from_raw(pid.try_into().expect("a pid"));
    let maximum = prlimit(pid, Resource::Nofile, Rlimit { current: Some(count), maximum: open_files_at_most() });
    maximum.expect("a process of ours").current.expect("a limit")
}

/// How many files a process may open at most; `None`: there is no limit.
pub fn open_files_at_most() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Lets a process have no more memory than it has now.
pub fn limit_memory(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().expect("a pid"));
    prlimit(pid, Resource::As, Rlimit { current: Some(1), maximum: None }).expect("a process of ours");
}
