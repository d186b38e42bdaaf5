//! Which process holds the lock for writing, for a message.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The byte of the log's index that a writer locks (SQLite's file format, "WAL-Index Format").
const WRITE_LOCK: u64 = 120;

/// Such as " by process 4711 (stopped)"; empty where the system does not tell.
pub(crate) fn describe(index: &Path) -> String {
    let Some(pid) = find(index) else { return String::new() };
    format!(": process {pid} ({})", state(pid))
}

fn find(index: &Path) -> Option<u32> {
    let inode = index.metadata().ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| holder(line, inode))
}

/// `1: POSIX  ADVISORY  WRITE 4711 00:1a:99 120 120`, proc_locks(5).
fn holder(line: &str, inode: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "POSIX", _, "WRITE", pid, file, first, last] = fields[..] else { return None };
    let number = |text: &str| text.parse::<u64>().ok();
    let is_ours = number(file.rsplit(':').next()?)? == inode;
    let covers = number(first)? <= WRITE_LOCK && number(last).is_none_or(|last| last >= WRITE_LOCK);
    (is_ours && covers).then(|| pid.parse().ok())?
}

fn state(pid: u32) -> &'static str {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    match stat.rsplit(") ").next().and_then(|rest| rest.chars().next()) {
        Some('T' | 't') => "stopped",
        Some('D') => "waits for a disk",
        Some(_) if !stat.is_empty() => "running",
        _ => "of unknown state",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_writer_of_this_file_is_named() {
        let line = "1: POSIX  ADVISORY  WRITE 4711 00:1a:99 120 120";
        assert_eq!(holder(line, 99), Some(4711));
        assert_eq!(holder(line, 98), None);
        assert_eq!(holder("1: POSIX  ADVISORY  READ 4711 00:1a:99 120 120", 99), None);
        assert_eq!(holder("1: POSIX  ADVISORY  WRITE 4711 00:1a:99 121 121", 99), None);
        assert_eq!(holder("1: POSIX  ADVISORY  WRITE 4711 00:1a:99 0 EOF", 99), Some(4711));
        assert_eq!(holder("1: -> POSIX  ADVISORY  WRITE 4711 00:1a:99 0 EOF", 99), None);
        assert_eq!(holder("", 99), None);
    }
}
