//! The files that a process has open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{fs, io};

use super::Hidden;

/// The descriptors of a process by their numbers.
pub(super) struct Open {
    pid: u32,
    sockets: BTreeMap<u32, u64>,
    epolls: Vec<u32>,
    rings: Vec<u32>,
}

/// What /proc shows of one epoll instance.
pub(super) struct Epoll(String);

/// The number of an io_uring's operation (linux/io_uring.h).
const IORING_OP_ACCEPT: &str = "op=13,";

impl Open {
    pub(super) fn of(pid: u32) -> Result<Open, Hidden> {
        let folder = PathBuf::from(format!("/proc/{pid}/fd"));
        let mut open = Open { pid, sockets: BTreeMap::new(), epolls: Vec::new(), rings: Vec::new() };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return Hidden::by(pid, &error).map_or(Ok(open), Err),
        };
        for entry in entries.flatten() {
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let link = match fs::read_link(entry.path()) {
                Ok(link) => link,
                // It may have been closed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // Root may list them, and yet not see them.
                Err(error) => return Hidden::by(pid, &error).map_or(Ok(open), Err),
            };
            match link.to_str().unwrap_or_default() {
                "anon_inode:[eventpoll]" => open.epolls.push(number),
                "anon_inode:[io_uring]" => open.rings.push(number),
                link => open.sockets.extend(socket(link).map(|inode| (number, inode))),
            }
        }
        Ok(open)
    }

    pub(super) fn socket(&self, number: u32) -> Option<u64> {
        self.sockets.get(&number).copied()
    }

    /// Its sockets, by their numbers and inodes.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, u64)> {
        self.sockets.iter().map(|(number, inode)| (*number, *inode))
    }

    /// The inodes of its sockets.
    pub(super) fn sockets(&self) -> BTreeSet<u64> {
        self.sockets.values().copied().collect()
    }

    pub(super) fn has_any(&self, sockets: &BTreeSet<u64>) -> bool {
        self.sockets.values().any(|inode| sockets.contains(inode))
    }

    pub(super) fn epolls(&self) -> impl Iterator<Item = Epoll> {
        self.epolls.iter().filter_map(|number| self.info(*number)).map(Epoll)
    }

    /// Whether an io_uring of it has an accept under way; of which socket it does not show.
    pub(super) fn accepts_by_ring(&self) -> bool {
        self.rings.iter().any(|number| self.info(*number).is_some_and(|info| accepts(&info)))
    }

    fn info(&self, number: u32) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/fdinfo/{number}", self.pid)).ok()
    }
}

impl Epoll {
    /// `tfd: 3 events: 19 data: … pos:0 ino:1f sdev:9`: a file that it waits for, the events and the inode in hexadecimal.
    pub(super) fn waits_for(&self, sockets: &BTreeSet<u64>) -> bool {
        const EPOLLIN: u32 = 1;
        let files = self.0.lines().filter(|line| line.starts_with("tfd:"));
        let mut waited = files.filter_map(|line| {
            let mut words = line.split_whitespace();
            let events = words.by_ref().skip_while(|word| *word != "events:").nth(1)?;
            let inode = words.find_map(|word| word.strip_prefix("ino:"))?;
            let is_waited = u32::from_str_radix(events, 16).ok()? & EPOLLIN != 0;
            u64::from_str_radix(inode, 16).ok().filter(|_| is_waited)
        });
        waited.any(|inode| sockets.contains(&inode))
    }
}

/// `PollList:`, then a line for each operation that waits: `op=13, task_works=0`.
fn accepts(info: &str) -> bool {
    let waiting = info.lines().skip_while(|line| !line.starts_with("PollList:"));
    waiting.skip(1).take_while(|line| line.starts_with(' ')).any(|line| line.trim_start().starts_with(IORING_OP_ACCEPT))
}

/// `socket:[4711]`
fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoll_shows_what_it_waits_for() {
        let info = "pos:\t0\nflags:\t02\ntfd:        5 events:       19 data:        5  pos:0 ino:3a9c sdev:8\n\
                    tfd:        6 events:       18 data:        6  pos:0 ino:3a9d sdev:8\ntfd: x";
        let waits_for = |inode| Epoll(info.to_owned()).waits_for(&BTreeSet::from([inode]));
        assert_eq!([0x3a9c, 0x3a9d, 5].map(waits_for), [true, false, false]);
    }

    #[test]
    fn a_wake_up_shows_its_accepts() {
        let cases = [
            ("UserBufs:\t0\nPollList:\n  op=13, task_works=0\nCqOverflowList:\n", true),
            ("PollList:\n  op=6, task_works=0\n  op=13, task_works=1\n", true),
            ("PollList:\n  op=6, task_works=0\nCqOverflowList:\n  op=13, task_works=0\n", false),
            ("PollList:\n  op=130, task_works=0\n", false),
            ("  op=13, task_works=0\n", false),
        ];
        for (info, expected) in cases {
            assert_eq!(accepts(info), expected, "{info}");
        }
    }
}
