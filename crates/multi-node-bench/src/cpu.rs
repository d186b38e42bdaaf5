//! Processor time of other processes, to the nanosecond.

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
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?;
    threads.map(|thread| used_by_thread(&thread?.path().join("schedstat"))).sum()
}

fn used_by_thread(schedstat: &Path) -> io::Result<Duration> {
    let text = match fs::read_to_string(schedstat) {
        Err(error) if has_ended(&error) => return Ok(Duration::ZERO),
        text => text?,
    };
    let nanos = text.split(' ').next().and_then(|field| field.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| io::Error::other(format!("{} holds {text:?}", schedstat.display())))
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
    fn a_process_that_is_not_there_is_an_error() {
        assert!(used_by(&[u32::MAX]).is_err());
    }
}
