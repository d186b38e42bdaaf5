//! How a runtime watches files, and with which epoll instance.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::epoll::Epoll;
use crate::place;

/// A runtime that was started early has its epoll instance below this number. The list of all descriptors costs the kernel 10 µs for each.
const LOW: RawFd = 32;

/// Whether the runtime that this is called in has one thread. False outside of one.
pub fn has_one_thread() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

/// The file, watched by the runtime that this is called in.
#[expect(deprecated, reason = "unsound only for types that lie about their descriptor, which those of std do not")]
pub fn watched<F: AsRawFd>(file: F) -> io::Result<AsyncFd<F>> {
    AsyncFd::new(file)
}

/// The epoll instance of the runtime that this is called in, if it can be found.
///
/// # Errors
///
/// As [`watcher`].
pub fn own_epoll() -> io::Result<Option<Epoll>> {
    let mark = watched(crate::epoll::event()?)?;
    Ok(watcher(mark.get_ref().as_fd())?.map(|(epoll, _)| epoll))
}

/// An epoll instance of this process that watches the file, and the file's token there (proc_pid_fdinfo(5)); `None` where there is
/// none.
///
/// # Errors
///
/// What the system says where `/proc` cannot be read, or no descriptors are left.
pub fn watcher(file: BorrowedFd<'_>) -> io::Result<Option<(Epoll, u64)>> {
    for number in 0..LOW {
        if let Some(found) = watcher_at(number, file)? {
            return Ok(Some(found));
        }
    }
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(found) = number.map_or(Ok(None), |number| watcher_at(number, file))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The same, where this number is an epoll instance that watches the file.
fn watcher_at(number: RawFd, file: BorrowedFd<'_>) -> io::Result<Option<(Epoll, u64)>> {
    // An error means that it is not open, or was closed meanwhile.
    let target = fs::read_link(format!("/proc/self/fd/{number}"));
    if !target.is_ok_and(|target| target.as_os_str() == "anon_inode:[eventpoll]") || token_in(number, file)?.is_none() {
        return Ok(None);
    }
    let instance = place::duplicate(number)?;
    // That number may have become another file before it was duplicated.
    Ok(token_in(instance.as_raw_fd(), file)?.map(|token| (instance.into(), token)))
}

/// The file's token in the epoll instance with this number.
fn token_in(instance: RawFd, file: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let watched = fs::read_to_string(format!("/proc/self/fdinfo/{instance}"))?;
    Ok(watched.lines().find_map(|line| token_of(line, file.as_raw_fd())))
}

/// The token in a line `tfd: NUMBER events: HEX data: HEX …` of this file.
fn token_of(line: &str, file: RawFd) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let is_for_it = words.next()? == "tfd:" && words.next()?.parse() == Ok(file);
    let token = words.skip_while(|word| *word != "data:").nth(1)?;
    is_for_it.then(|| u64::from_str_radix(token, 16).ok())?
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::epoll::event;

    #[test]
    fn the_instance_that_watches_a_file_is_found_among_others() {
        found_among_others();
        // Nor does its number matter.
        let _numbers: Vec<_> = (0..LOW).map(|_| event().unwrap()).collect();
        found_among_others();
    }

    fn found_among_others() {
        let (others, watches) = (Epoll::new().unwrap(), Epoll::new().unwrap());
        let (other, mark) = (event().unwrap(), event().unwrap());
        others.watch(other.as_fd(), 1).unwrap();
        watches.watch(other.as_fd(), 2).unwrap();
        assert!(watcher(mark.as_fd()).unwrap().is_none());
        watches.watch(mark.as_fd(), 0xdead_beef_0000_0007).unwrap();
        let (found, token) = watcher(mark.as_fd()).unwrap().expect("it is watched");
        assert_eq!(token, 0xdead_beef_0000_0007);
        found.delete(mark.as_fd()).expect("it is the instance that watches it");
        assert!(watcher(mark.as_fd()).unwrap().is_none());
    }

    #[test]
    fn lines_of_other_files_and_other_forms_are_passed_over() {
        let line = "tfd:        8 events:       19 data:     7f00a0  pos:0 ino:83 sdev:f";
        assert_eq!(token_of(line, 8), Some(0x007f_00a0));
        for (line, file) in
            [(line, 9), ("pos:\t0", 8), ("tfd: 8", 8), ("tfd: 8 data: x", 8), ("", 8), ("tfd: 8 data:", 8)]
        {
            assert_eq!(token_of(line, file), None, "{line}");
        }
    }
}
