//! What a process uses of the machine, as /proc tells it (proc(5)).

use std::path::PathBuf;
use std::time::Duration;

/// The kernel counts processor time for /proc in hundredths of a second on every architecture that Rust's std supports.
const TICK: Duration = Duration::from_millis(10);

/// Processor time and memory of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// In user and kernel mode, since the process began.
    pub(crate) cpu: Option<Duration>,
    /// Its memory, in bytes, with what it shares counted in proportion.
    pub(crate) pss: Option<u64>,
}

/// What the process uses; nothing is told of one that has ended, or whose memory we may not see.
pub(crate) fn usage(pid: u32) -> Usage {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    Usage { cpu: read("stat").as_deref().and_then(cpu), pss: read("smaps_rollup").as_deref().and_then(pss) }
}

/// utime and stime, the twelfth and thirteenth field after the name, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let mut times = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let ticks: u32 = times.next()?.parse::<u32>().ok()?.checked_add(times.next()?.parse().ok()?)?;
    Some(TICK * ticks)
}

fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_after_a_name_that_holds_anything() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 1 0 12345";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu("7 (a"), None);
        assert_eq!(cpu("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(pss("00400000-7ffc ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:  417 kB\n"), Some(417 * 1024));
        assert_eq!(pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_uses_something() {
        assert!(usage(std::process::id()).pss.is_some_and(|bytes| bytes > 4096));
        assert_eq!(usage(u32::MAX), Usage::default());
    }
}
