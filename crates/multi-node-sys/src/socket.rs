//! Unix sockets that carry file descriptors (unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// The most descriptors that the kernel takes in one message (`SCM_MAX_FD`).
pub const MOST_FDS: usize = 253;

/// A connected pair of stream sockets: non-blocking, closed on exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Writes bytes and descriptors, which arrive together with the first byte. Returns how many bytes were written.
///
/// Takes at most [`MOST_FDS`] descriptors, and needs at least one byte to carry them.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Whether bytes, or the end, wait to be read.
pub fn is_readable(socket: BorrowedFd<'_>) -> bool {
    let mut byte = [0; 1];
    !matches!(rustix::net::recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT), Err(Errno::AGAIN))
}

/// Copies what waits to be read, which stays there; 0: the other side is gone. Does not wait.
pub fn peek(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, bytes, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0)
}

/// What was read at once.
#[derive(Debug)]
pub struct Received {
    /// How many bytes; 0: the other side is gone.
    pub bytes: usize,
    /// The descriptors that came with them.
    pub fds: Vec<OwnedFd>,
    /// Whether there were more, for which this process had no number left: the kernel has closed them.
    pub lost: bool,
}

/// Reads bytes and the descriptors that came with them.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(arrived) = message {
            fds.extend(arrived);
        }
    }
    Ok(Received { bytes: received.bytes, fds, lost: received.flags.contains(ReturnFlags::CTRUNC) })
}

/// What waits to be read.
#[derive(Debug)]
pub struct Peeked {
    pub bytes: usize,
    /// Whether descriptors come with these bytes, or right behind them.
    pub brings_fds: bool,
}

/// Looks at what would be read next, and leaves it there. Descriptors get no number in this process.
pub fn peek_message(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Peeked> {
    let mut nothing = RecvAncillaryBuffer::default();
    let peeked = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut nothing, RecvFlags::PEEK)?;
    Ok(Peeked { bytes: peeked.bytes, brings_fds: peeked.flags.contains(ReturnFlags::CTRUNC) })
}

/// Whether a call failed since this process has as many descriptors as it may have.
pub fn out_of_descriptors(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::MFILE)
}

/// Whether a [`send`] failed because the user's descriptors in flight are at their limit (unix(7)), until a process receives
/// some.
pub fn too_many_in_flight(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::TOOMANYREFS)
}

/// The process that made the socket (`SO_PEERCRED`), which for a pair is the maker of both ends, dead or alive.
pub fn maker(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    Ok(credentials.pid.as_raw_nonzero().get().unsigned_abs())
}

/// Whether it is a Unix socket; false for a descriptor that cannot be queried.
pub fn is_unix(socket: BorrowedFd<'_>) -> bool {
    rustix::net::sockopt::socket_domain(socket).is_ok_and(|family| family == AddressFamily::UNIX)
}

/// Whether it is a socket that listens (listen(2)).
pub fn is_listener(socket: impl AsFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).is_ok_and(|listens| listens)
}

/// Keeps an IPv6 listener from taking IPv4 connections as well (ipv6(7)).
pub fn only_ipv6(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_ipv6_v6only(socket, true)?)
}

/// Takes what was given to this process as standard input, and puts `/dev/null` in its place.
pub fn take_stdin() -> io::Result<UnixStream> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(UnixStream::from(taken))
}

/// Blocks until the other end of the socket is closed.
pub fn wait_for_hangup(socket: BorrowedFd<'_>) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags};
    loop {
        match rustix::event::poll(&mut [PollFd::new(&socket, PollFlags::RDHUP)], None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_bytes() {
        let (left, right) = pair().expect("socketpair");
        let (kept, sent) = pair().expect("socketpair");
        assert_eq!(send(left.as_fd(), b"hello", &[sent.as_fd()]).expect("send"), 5);
        drop(sent);

        let mut bytes = [0; 16];
        let mut received = receive(right.as_fd(), &mut bytes).expect("receive");
        assert_eq!((&bytes[..received.bytes], received.fds.len(), received.lost), (&b"hello"[..], 1, false));

        let mut arrived = UnixStream::from(received.fds.remove(0));
        arrived.write_all(b"through").expect("write");
        let mut text = [0; 7];
        UnixStream::from(kept).read_exact(&mut text).expect("read");
        assert_eq!(&text, b"through");
    }

    #[test]
    fn a_look_says_whether_descriptors_come_and_leaves_them_there() {
        let (left, right) = pair().expect("socketpair");
        let mut bytes = [0; 16];
        let error = peek_message(right.as_fd(), &mut bytes).expect_err("nothing has come");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        send(left.as_fd(), b"plain", &[]).expect("send");
        let peeked = peek_message(right.as_fd(), &mut bytes).expect("bytes");
        assert_eq!((&bytes[..peeked.bytes], peeked.brings_fds), (&b"plain"[..], false));
        send(left.as_fd(), b"more", &[left.as_fd()]).expect("send");

        let peeked = peek_message(right.as_fd(), &mut bytes).expect("bytes");
        assert_eq!((&bytes[..peeked.bytes], peeked.brings_fds), (&b"plainmore"[..], true));
        let received = receive(right.as_fd(), &mut bytes[..5]).expect("receive");
        assert_eq!((received.bytes, received.fds.len()), (5, 0), "a descriptor comes with its own bytes");
        let received = receive(right.as_fd(), &mut bytes).expect("receive");
        assert_eq!((received.bytes, received.fds.len(), received.lost), (4, 1, false));
        drop((left, received));
        let ended = peek_message(right.as_fd(), &mut bytes).expect("the end");
        assert_eq!(ended.bytes, 0);
    }

    #[test]
    fn the_maker_of_a_pair_is_this_process() {
        let (left, _right) = pair().expect("socketpair");
        assert_eq!(maker(left.as_fd()).expect("peer credentials"), std::process::id());
    }
}
