//! What a process waits for, from /proc (proc(5)).

mod accepted;
mod call;
mod hidden;
mod open;
mod sockets;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;

pub use self::hidden::Hidden;
use self::open::Open;
pub use self::sockets::{Listener, listeners};

/// What /proc calls an open file by.
pub fn inode(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_ino)
}

/// Whether the process waits for connections on one of these sockets: by an epoll that has it, in a system call, or by an
/// io_uring. A process that has ended does not.
///
/// # Errors
/// The kernel does not let us look, so that it may or may not wait.
pub fn waits_on(pid: u32, sockets: &BTreeSet<u64>) -> Result<bool, Hidden> {
    let open = Open::of(pid)?;
    if open.epolls().any(|epoll| epoll.waits_for(sockets)) {
        return Ok(true);
    }
    // A thread or a ring can only wait for what its process has.
    if !open.has_any(sockets) {
        return Ok(false);
    }
    if open.accepts_by_ring() && !sockets::is_listening_elsewhere(pid, &open, sockets) {
        return Ok(true);
    }
    call::waits_on(pid, &open, sockets)
}

/// Whether the process has a connection that came by one of these sockets: one that is busy need not wait for the next.
pub fn serves(pid: u32, sockets: &BTreeSet<u64>) -> bool {
    Open::of(pid).is_ok_and(|open| open.has_any(sockets) && accepted::has_any(pid, &open, sockets))
}

/// What the process was started with: its name and arguments; none of one that has ended.
pub fn command_line(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    // Each word ends with a zero.
    words.pop();
    words
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use rustix::event::{PollFd, PollFlags, epoll};

    use super::*;

    fn listener() -> (TcpListener, BTreeSet<u64>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let inodes = BTreeSet::from([inode(listener.as_fd()).expect("fstat")]);
        (listener, inodes)
    }

    /// Nobody is seen waiting, then a thread that does this is.
    fn is_seen(wait: impl FnOnce(&TcpListener) + Send) {
        let (listener, inodes) = listener();
        let waits = || waits_on(std::process::id(), &inodes).expect("our own process");
        assert!(!waits(), "nobody waits yet");
        let addr = listener.local_addr().expect("bound");
        std::thread::scope(|scope| {
            scope.spawn(|| wait(&listener));
            while !waits() {
                std::thread::yield_now();
            }
            drop(TcpStream::connect(addr).expect("connect"));
        });
    }

    #[test]
    fn a_thread_in_accept_is_seen() {
        is_seen(|listener| drop(listener.accept().expect("accepted")));
    }

    #[test]
    fn a_thread_in_poll_is_seen() {
        is_seen(|listener| {
            let other = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
            let mut both = [PollFd::new(&other, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
            assert_eq!(rustix::event::poll(&mut both, None).expect("poll"), 1);
        });
    }

    #[test]
    fn a_thread_that_polls_for_something_else_is_not() {
        let (listener, inodes) = listener();
        let (reader, writer) = io::pipe().expect("a pipe");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Neither its errors nor another file are its connections.
                let mut both = [PollFd::new(&reader, PollFlags::IN), PollFd::new(&listener, PollFlags::empty())];
                rustix::event::poll(&mut both, None).expect("poll");
            });
            for _ in 0..100 {
                assert!(!waits_on(std::process::id(), &inodes).expect("our own process"));
                std::thread::yield_now();
            }
            drop(writer);
        });
    }

    #[test]
    fn an_epoll_is_seen_while_it_has_the_socket() {
        let (listener, inodes) = listener();
        let waits = || waits_on(std::process::id(), &inodes).expect("our own process");
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        epoll::add(&poll, &listener, epoll::EventData::new_u64(0), epoll::EventFlags::IN).expect("added");
        assert!(waits());
        epoll::modify(&poll, &listener, epoll::EventData::new_u64(0), epoll::EventFlags::empty()).expect("changed");
        assert!(!waits(), "it has the socket, and is not to be told of connections");
        epoll::delete(&poll, &listener).expect("removed");
        assert!(!waits());
    }

    #[test]
    fn a_process_that_has_ended_waits_for_nothing() {
        assert_eq!(waits_on(u32::MAX, &BTreeSet::from([1])), Ok(false));
        assert!(command_line(u32::MAX).is_empty());
    }

    #[test]
    fn a_command_line_is_its_words() {
        let words = command_line(std::process::id());
        assert_eq!(words, std::env::args().collect::<Vec<_>>());
    }
}
