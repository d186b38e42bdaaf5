//! The system calls of the acceptor: epoll, eventfd, accept, and the clock that all processes share.

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use nix::libc;
use nix::setsockopt_impl;
use nix::sys::socket::sockopt::SetStruct;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::net::{SocketFlags, accept_with, acceptfrom_with};
use rustix::time::{ClockId, clock_gettime};

/// Events taken in one call of [`Epoll::wait`]; more of them wait for the next.
const AT_ONCE: usize = 8;

/// An epoll instance of one of several processes that wait for the same files.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        Ok(Epoll(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Is readable while there are events.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Enters the file's wait queue at its end. Each event wakes one process of that queue and is reported once. An event that
    /// is already there is reported at once. A process that is already in the queue keeps its place.
    pub fn queue(&self, file: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE | epoll::EventFlags::ET;
        match epoll::add(&self.0, file, epoll::EventData::new_u64(token), flags) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            added => Ok(added?),
        }
    }

    /// Reports every write to the file, as to all other processes that watch it, whether or not it has been read.
    pub fn watch(&self, file: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::add(&self.0, file, epoll::EventData::new_u64(token), flags)?)
    }

    /// Reports once that something is there or comes, in addition to the process that the event wakes. Call it again for each
    /// time.
    pub fn watch_once(&self, file: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        let token = epoll::EventData::new_u64(token);
        match epoll::modify(&self.0, file, token, flags) {
            Err(rustix::io::Errno::NOENT) => Ok(epoll::add(&self.0, file, token, flags)?),
            changed => Ok(changed?),
        }
    }

    /// Leaves the file's wait queue.
    pub fn delete(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.0, file)?)
    }

    /// Waits for events, at most for `patience`, and returns their tokens; none where time ran out or a signal came.
    pub fn wait(&self, patience: Option<Duration>) -> io::Result<impl Iterator<Item = u64> + use<>> {
        let mut space = [MaybeUninit::uninit(); AT_ONCE];
        let patience =
            patience.map(|p| Timespec { tv_sec: p.as_secs().cast_signed(), tv_nsec: p.subsec_nanos().into() });
        let mut tokens = [0; AT_ONCE];
        let mut count = 0;
        match epoll::wait(&self.0, &mut space, patience.as_ref()) {
            Ok((events, _)) => {
                for event in events {
                    tokens[count] = event.data.u64();
                    count += 1;
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(tokens.into_iter().take(count))
    }
}

impl From<OwnedFd> for Epoll {
    fn from(epoll: OwnedFd) -> Epoll {
        Epoll(epoll)
    }
}

impl From<Epoll> for OwnedFd {
    fn from(epoll: Epoll) -> OwnedFd {
        epoll.0
    }
}

/// A new eventfd that never blocks.
pub fn event() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Wakes all that [watch](Epoll::watch) an eventfd. Nothing reads it: it can hold more than will ever be written to it.
pub fn event_tell(event: BorrowedFd<'_>) {
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}

/// Whether a read or an accept would find something now.
pub fn is_readable(file: BorrowedFd<'_>) -> bool {
    let mut files = [PollFd::new(&file, PollFlags::IN)];
    poll(&mut files, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Of each file whether something waits to be read.
pub fn readable<'a>(files: impl Iterator<Item = BorrowedFd<'a>>) -> Vec<bool> {
    let files: Vec<_> = files.collect();
    let mut polled: Vec<_> = files.iter().map(|file| PollFd::new(file, PollFlags::IN)).collect();
    // After an error none is.
    let _ = poll(&mut polled, Some(&Timespec::default()));
    polled.iter().map(|file| file.revents().contains(PollFlags::IN)).collect()
}

/// Accepts one connection, which comes non-blocking and is closed on exec.
pub fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let peer = peer.ok_or(io::ErrorKind::NotConnected)?;
    Ok((stream.into(), peer.try_into()?))
}

/// Accepts one connection, which comes non-blocking and is closed on exec.
pub fn accept_unix(listener: &UnixListener) -> io::Result<UnixStream> {
    Ok(accept_with(listener.as_fd(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?.into())
}

/// Closes a listening socket to all clients, for all processes that have it. Connections that wait for an `accept` are reset
/// (TCP) or can still be accepted (Unix).
pub fn stop_listening(listener: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(listener, rustix::net::Shutdown::Read)?)
}

/// Closes a listening TCP socket to new clients for good, for all processes that have it. New clients are refused at once.
///
/// The socket is bound to a network interface that does not exist, so no packet reaches it. It keeps listening: connections
/// in its queue can be accepted, and handshakes under way are completed. Processes that wait for it do not notice, unlike
/// with [`stop_listening`]. The kernel does not check the interface's number (`sock_bindtoindex`), and needs no privileges
/// for it since Linux 5.7.
pub fn make_unreachable(listener: impl AsFd) -> io::Result<()> {
    const NO_INTERFACE: i32 = i32::MAX;
    Ok(nix::sys::socket::setsockopt(&listener, BoundInterface, &NO_INTERFACE)?)
}

#[derive(Clone, Copy)]
struct BoundInterface;

setsockopt_impl!(BoundInterface, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, i32, SetStruct<'_, i32>);

/// Lets every connection that is accepted from now on send small writes at once: on Linux they inherit this.
pub fn set_nodelay(listener: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_nodelay(listener, true)?)
}

/// Has the kernel keep each connection to itself until a first byte has come on it, for this many seconds at most (tcp(7)).
pub fn defer_accept(listener: impl AsFd, seconds: u32) -> io::Result<()> {
    Ok(nix::sys::socket::setsockopt(&listener, DeferAccept, &seconds)?)
}

#[derive(Clone, Copy)]
struct DeferAccept;

setsockopt_impl!(DeferAccept, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, u32, SetStruct<'_, u32>);

/// Milliseconds on the clock that all processes of the machine share and that never jumps, as of the kernel's last tick: some
/// milliseconds late at most, and much cheaper than the exact time.
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec.cast_unsigned() * 1000 + now.tv_nsec.cast_unsigned() / 1_000_000
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use super::*;

    fn listeners() -> impl Iterator<Item = TcpListener> {
        ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"].into_iter().filter_map(|addr| TcpListener::bind(addr).ok())
    }

    /// By the loopback address of the listener's family.
    fn addr(listener: &TcpListener) -> SocketAddr {
        let addr = listener.local_addr().expect("bound");
        let host = if addr.is_ipv4() { "127.0.0.1" } else { "::1" };
        SocketAddr::new(host.parse().expect("an address"), addr.port())
    }

    #[test]
    fn an_unreachable_listener_refuses_who_comes_and_keeps_who_waits() {
        let mut tried = 0;
        for listener in listeners() {
            let addr = addr(&listener);
            let connect = || TcpStream::connect(addr);
            let mut clients: Vec<_> = (0..8).map(|_| connect().expect("it listens")).collect();
            // As a node has it that knows nothing of this.
            let inherited = listener.try_clone().expect("a duplicate");
            make_unreachable(&listener).expect("allowed since Linux 5.7");
            drop(listener);
            for _ in 0..3 {
                assert_eq!(connect().expect_err("refused").kind(), ErrorKind::ConnectionRefused);
            }
            for client in &mut clients {
                assert!(is_readable(inherited.as_fd()), "connections wait");
                inherited.accept().expect("one that waits").0.write_all(b"x").expect("it is connected");
                client.read_exact(&mut [0]).expect("it is served");
            }
            assert!(!is_readable(inherited.as_fd()), "none waits, and nothing tells of an end");
            tried += 1;
        }
        assert!(tried >= 2, "there is IPv4");
    }
}
