//! Memory of other processes.

use std::fs;

use anyhow::{Context, Result};

/// What this line of `smaps_rollup` (proc(5)) of a process says, in KiB.
pub(crate) fn kib(pid: u32, name: &str) -> Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = rollup.lines().find_map(|line| line.strip_prefix(name)).and_then(|line| line.split_whitespace().next());
    Ok(kib.with_context(|| format!("no line `{name}`"))?.parse()?)
}

/// Memory of these processes that is of no file, in KiB.
pub(crate) fn own_kib(pids: &[u32]) -> Result<f64> {
    pids.iter().map(|&pid| kib(pid, "Pss_Anon:")).sum()
}
