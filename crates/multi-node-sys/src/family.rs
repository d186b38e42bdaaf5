//! Processes that are not our own children: what they were started with, and what they may do (proc(5)).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use rustix::fs::FileType;

use super::process::field;

/// No more of an environment is read, in bytes.
const LONGEST_ENVIRONMENT: u64 = 256 << 10;

/// The variables that the process was started with; empty where we may not look. Programs that set their title may have
/// written over them.
pub fn environment(pid: u32) -> Vec<u8> {
    let mut variables = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/environ")) {
        // What was read before an error counts.
        let _ = file.take(LONGEST_ENVIRONMENT).read_to_end(&mut variables);
    }
    variables
}

/// Whether the numbers of processes mean the same to the process as to us (pid_namespaces(7)).
pub fn shares_numbers(pid: u32) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    namespace(&pid.to_string()).is_some_and(|theirs| namespace("self") == Some(theirs))
}

/// Closes what this process was left open by the program that started it, but the standard streams: what this program has
/// opened itself is closed on exec.
pub fn close_inherited() -> io::Result<()> {
    /// O_CLOEXEC, as `fdinfo` shows it.
    const CLOSED_ON_EXEC: u32 = 0o2_000_000;
    let flags = |number: i32| {
        let text = field(&PathBuf::from(format!("/proc/self/fdinfo/{number}")), "flags")?;
        u32::from_str_radix(&text, 8).ok()
    };
    let numbers = fs::read_dir("/proc/self/fd")?.flatten();
    let numbers: Vec<i32> = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        if flags(number).is_some_and(|flags| flags & CLOSED_ON_EXEC == 0) {
            nix::unistd::close(number)?;
        }
    }
    Ok(())
}

/// Whether standard input is a pipe.
pub fn stdin_is_pipe() -> bool {
    let stat = rustix::fs::fstat(io::stdin());
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}
