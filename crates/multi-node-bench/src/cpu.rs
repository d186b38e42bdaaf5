//! Processor time of other processes, to the nanosecond, and how often they went to sleep.

use std::{fs, io, path::Path, time::Duration};

use anyhow::{Context, Result};
use rustix::io::Errno;

/// What all threads of these processes have used so far, in user and kernel mode.
///
/// Threads that have ended are not in it: it is for servers whose threads stay.
pub(crate) fn used_by(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|&pid| used_by_process(pid).with_context(|| format!("cannot read the CPU time of {pid}"))).sum()
}

fn used_by_process(pid: u32) -> io::Result<Duration> {
    let nanos = |text: &str| text.split(' ').next().and_then(|field| field.parse().ok());
    sum(pid, "schedstat", nanos).map(Duration::from_nanos)
}

/// How often the threads of these processes went to sleep (proc(5): `voluntary_ctxt_switches`).
pub(crate) fn sleeps_of(pids: &[u32]) -> Result<u64> {
    let switches = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok())
    };
    pids.iter()
        .map(|&pid| sum(pid, "status", switches).with_context(|| format!("cannot read the status of {pid}")))
        .sum()
}

/// The sum of what this file says of each thread of a process.
fn sum(pid: u32, file: &str, read: impl Fn(&str) -> Option<u64>) -> io::Result<u64> {
    let of_thread = |path: &Path| match fs::read_to_string(path) {
        Err(error) if has_ended(&error) => Ok(0),
        Err(error) => Err(error),
        Ok(text) => read(&text).ok_or_else(|| io::Error::other(format!("{} holds {text:?}", path.display()))),
    };
    fs::read_dir(format!("/proc/{pid}/task"))?.map(|thread| of_thread(&thread?.path().join(file))).sum()
}

/// Whether the thread ended between the listing and the reading: before the file was opened, or after.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_while_a_process_works() {
        let us = [std::process::id()];
        let before = used_by(&us).expect("we are alive");
        while used_by(&us).expect("we are alive") < before + Duration::from_millis(5) {}
    }

    #[test]
    fn who_waits_has_slept() {
        let us = [std::process::id()];
        let before = sleeps_of(&us).expect("we are alive");
        std::thread::sleep(Duration::from_millis(1));
        assert!(sleeps_of(&us).expect("we are alive") > before);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(used_by(&[u32::MAX]).is_err());
        assert!(sleeps_of(&[u32::MAX]).is_err());
    }
}
