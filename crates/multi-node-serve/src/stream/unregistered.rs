//! A connection that no runtime watches.

use std::io::{self, Read};
#[cfg(multi_process)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::{Open, Stream, Transport};
#[cfg(multi_process)]
use crate::socket::Addr;

/// A connection that no runtime watches. It does not block.
#[derive(Debug)]
pub(crate) enum UnregisteredStream {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl UnregisteredStream {
    /// Lets this runtime watch it.
    pub(crate) fn register(self, open: Open) -> io::Result<Stream> {
        Ok(Stream::new(self.watched()?, open, None))
    }

    /// As [`register`](Self::register), for a connection that is counted elsewhere.
    pub(crate) fn watched(self) -> io::Result<Transport> {
        Ok(match self {
            UnregisteredStream::Tcp(stream) => Transport::Tcp(TcpStream::from_std(stream)?),
            #[cfg(unix)]
            UnregisteredStream::Unix(stream) => Transport::Unix(UnixStream::from_std(stream)?),
        })
    }

    /// Reads what is there, without waiting.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            UnregisteredStream::Tcp(stream) => (&*stream).read(buffer),
            #[cfg(unix)]
            UnregisteredStream::Unix(stream) => (&*stream).read(buffer),
        }
    }

    /// Whether something waits to be read, which may be the end.
    #[cfg(multi_process)]
    pub(crate) fn has_bytes(&self) -> bool {
        multi_node_sys::socket::is_readable(self.file())
    }

    #[cfg(multi_process)]
    pub(crate) fn try_clone(&self) -> io::Result<OwnedFd> {
        self.file().try_clone_to_owned()
    }

    #[cfg(multi_process)]
    pub(crate) fn local_addr(&self) -> io::Result<Addr> {
        match self {
            UnregisteredStream::Tcp(stream) => stream.local_addr().map(Addr::Tcp),
            UnregisteredStream::Unix(_) => Ok(Addr::Unix),
        }
    }

    #[cfg(multi_process)]
    pub(crate) fn peer_addr(&self) -> io::Result<Addr> {
        match self {
            UnregisteredStream::Tcp(stream) => stream.peer_addr().map(Addr::Tcp),
            UnregisteredStream::Unix(_) => Ok(Addr::Unix),
        }
    }

    #[cfg(multi_process)]
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        match self {
            UnregisteredStream::Tcp(stream) => stream.as_fd(),
            UnregisteredStream::Unix(stream) => stream.as_fd(),
        }
    }
}

#[cfg(multi_process)]
impl From<OwnedFd> for UnregisteredStream {
    fn from(socket: OwnedFd) -> UnregisteredStream {
        match multi_node_sys::socket::is_unix(socket.as_fd()) {
            true => UnregisteredStream::Unix(socket.into()),
            false => UnregisteredStream::Tcp(socket.into()),
        }
    }
}

#[cfg(unix)]
impl From<UnregisteredStream> for std::os::fd::OwnedFd {
    fn from(socket: UnregisteredStream) -> std::os::fd::OwnedFd {
        match socket {
            UnregisteredStream::Tcp(stream) => stream.into(),
            UnregisteredStream::Unix(stream) => stream.into(),
        }
    }
}
