//! What a process waits for, as /proc tells (proc(5)).

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::{io, str};

/// The numbers of accept and accept4 (syscalls(2)).
#[cfg(target_arch = "x86_64")]
const ACCEPT: [&str; 2] = ["43", "288"];
#[cfg(not(target_arch = "x86_64"))]
const ACCEPT: [&str; 2] = ["202", "242"];

/// What /proc calls an open file by.
pub(crate) fn inode(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_ino)
}

/// Whether the process waits for one of these files: by an epoll that has it, or in accept. A process that we may not look
/// at does not.
pub(crate) fn waits_on(pid: u32, inodes: &BTreeSet<u64>) -> bool {
    let folder = Path::new("/proc").join(pid.to_string());
    let polls = entries(&folder.join("fdinfo")).any(|info| polled(&info).any(|inode| inodes.contains(&inode)));
    polls || entries_of(&folder.join("task"), "syscall").any(|call| accepts(&folder, &call, inodes))
}

/// The inodes that an epoll waits for: `tfd: 3 events: 1 data: … pos:0 ino:1f sdev:9`.
fn polled(info: &str) -> impl Iterator<Item = u64> {
    let lines = info.lines().filter(|line| line.starts_with("tfd:"));
    lines.filter_map(|line| {
        let inode = line.split_whitespace().find_map(|word| word.strip_prefix("ino:"))?;
        u64::from_str_radix(inode, 16).ok()
    })
}

/// `288 0x3 0x7ff… …`: a thread that sleeps in a system call, with its arguments.
fn accepts(folder: &Path, call: &str, inodes: &BTreeSet<u64>) -> bool {
    let mut words = call.split(' ');
    if !words.next().is_some_and(|number| ACCEPT.contains(&number)) {
        return false;
    }
    let number = words.next().and_then(|fd| u32::from_str_radix(fd.strip_prefix("0x")?, 16).ok());
    let link = number.and_then(|number| fs::read_link(folder.join("fd").join(number.to_string())).ok());
    let inode = link.and_then(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
    inode.is_some_and(|inode| inodes.contains(&inode))
}

fn entries(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_to_string(entry.path()).ok())
}

fn entries_of(folder: &Path, file: &'static str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| fs::read_to_string(entry.path().join(file)).ok())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_epoll_shows_what_it_waits_for() {
        let info = "pos:\t0\nflags:\t02\ntfd:        5 events:       19 data:        5  pos:0 ino:3a9c sdev:8\ntfd: x";
        assert_eq!(polled(info).collect::<Vec<_>>(), [0x3a9c]);
    }

    #[test]
    fn a_thread_in_accept_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let inodes = BTreeSet::from([inode(listener.as_fd()).expect("fstat")]);
        assert!(!waits_on(std::process::id(), &inodes), "nobody waits yet");
        let addr = listener.local_addr().expect("bound");
        let waits = std::thread::spawn(move || listener.accept().map(drop));
        while !waits_on(std::process::id(), &inodes) {
            std::thread::yield_now();
        }
        drop(std::net::TcpStream::connect(addr).expect("connect"));
        waits.join().expect("no panic").expect("accepted");
    }
}
