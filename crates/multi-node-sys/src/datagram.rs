//! Datagrams whose senders the kernel names (SO_PASSCRED, unix(7)).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// A socket of an abstract name that anyone may write to.
#[derive(Debug)]
pub struct Datagrams(UnixDatagram);

/// Who wrote, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub pid: u32,
    pub uid: u32,
}

impl Sender {
    pub fn is_of_our_user(self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

impl Datagrams {
    pub fn bind(name: &str) -> io::Result<Datagrams> {
        let socket = StdUnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        socket.set_nonblocking(true)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        UnixDatagram::from_std(socket).map(Datagrams)
    }

    /// Such a socket, as it came from another process.
    pub fn adopt(socket: OwnedFd) -> io::Result<Datagrams> {
        UnixDatagram::from_std(socket.into()).map(Datagrams)
    }

    /// The next datagram; what is longer than `bytes` is cut, and descriptors that came with it are closed. Cancel-safe.
    pub async fn receive(&self, bytes: &mut [u8]) -> io::Result<(usize, Sender)> {
        self.0.async_io(Interest::READABLE, || self.take(bytes)).await
    }

    fn take(&self, bytes: &mut [u8]) -> io::Result<(usize, Sender)> {
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(super::socket::MOST_FDS), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(bytes)];
        let received = rustix::net::recvmsg(self.0.as_fd(), slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let mut sender = None;
        // To its end: what is left over would be dropped from a place where no header may lie (rustix 1.1).
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmCredentials(from) = message {
                let pid = from.pid.as_raw_nonzero().get().unsigned_abs();
                sender = Some(Sender { pid, uid: from.uid.as_raw() });
            }
        }
        let sender = sender.ok_or_else(|| io::Error::other("a datagram came without its sender"))?;
        Ok((received.bytes, sender))
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
