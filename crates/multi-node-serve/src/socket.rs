//! Sockets that others have bound, and the addresses at their ends.

use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(multi_process)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

/// A socket that is bound, listens, and does not block.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(std::net::TcpListener),
    /// At a file or an abstract name.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket, whose clients have no address.
    Unix,
}

impl Addr {
    /// Whether every connection that comes by this address has it as its own, which is not so of `0.0.0.0`.
    pub(super) fn is_exact(self) -> bool {
        match self {
            Addr::Tcp(addr) => !addr.ip().is_unspecified(),
            Addr::Unix => true,
        }
    }

    /// The IP address and port, where there is one.
    pub fn tcp(self) -> Option<SocketAddr> {
        match self {
            Addr::Tcp(addr) => Some(addr),
            Addr::Unix => None,
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Tcp(addr) => addr.fmt(f),
            Addr::Unix => f.pad("unix"),
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Addr {
        Addr::Tcp(addr)
    }
}

impl Socket {
    /// Another handle of the same socket.
    #[cfg(multi_process)]
    pub fn try_clone(&self) -> io::Result<Socket> {
        match self {
            Socket::Tcp(listener) => listener.try_clone().map(Socket::Tcp),
            Socket::Unix(listener) => listener.try_clone().map(Socket::Unix),
        }
    }

    /// Another descriptor of the same socket, which the acceptor waits for.
    #[cfg(multi_process)]
    pub fn try_clone_file(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// Says for all processes that have the socket whether its calls wait.
    #[cfg(multi_process)]
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Socket::Tcp(listener) => listener.set_nonblocking(nonblocking),
            Socket::Unix(listener) => listener.set_nonblocking(nonblocking),
        }
    }

    /// Lets every connection that is accepted from now on send small writes at once.
    #[cfg(multi_process)]
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(listener) => multi_node_sys::epoll::set_nodelay(listener),
            Socket::Unix(_) => Ok(()),
        }
    }

    /// Has the kernel keep each connection to itself until its first byte has come.
    #[cfg(multi_process)]
    pub fn defer_accept(&self) -> io::Result<()> {
        /// Seconds: the clients of a server that is the first to speak wait for so long.
        const AT_MOST: u32 = 1;
        match self {
            Socket::Tcp(listener) => multi_node_sys::epoll::defer_accept(listener, AT_MOST),
            Socket::Unix(_) => Ok(()),
        }
    }

    /// The address as people write it: `127.0.0.1:8080`, `unix:/run/app.sock`.
    pub fn name(&self) -> String {
        match self {
            Socket::Tcp(listener) => listener.local_addr().map(|addr| addr.to_string()).unwrap_or_default(),
            #[cfg(unix)]
            Socket::Unix(listener) => {
                let addr = listener.local_addr().ok();
                let path = addr.as_ref().and_then(|addr| addr.as_pathname());
                path.map_or_else(|| "unix".to_owned(), |path| format!("unix:{}", path.display()))
            }
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<Addr> {
        match self {
            Socket::Tcp(listener) => listener.local_addr().map(Addr::Tcp),
            #[cfg(unix)]
            Socket::Unix(_) => Ok(Addr::Unix),
        }
    }
}

#[cfg(multi_process)]
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}
