//! One listening socket, and how connections come from it.

use std::io;
#[cfg(unix)]
use std::task::ready;
use std::task::{Context, Poll};

#[cfg(multi_process)]
use tokio::net::{TcpStream, UnixStream};

use crate::socket::{Addr, Socket};
#[cfg(unix)]
use crate::stream::UnregisteredStream;
use crate::stream::{ConnTracker, Transport};

/// One listening socket.
pub(super) enum Source {
    /// In turn with other processes.
    #[cfg(multi_process)]
    Gated(crate::acceptor::Turn, Socket),
    /// For a process that is alone.
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Source {
    pub(super) fn new(socket: Socket, door: usize, tracker: &ConnTracker) -> io::Result<Source> {
        #[cfg(multi_process)]
        if let Some(acceptor) = &tracker.acceptor {
            return Ok(Source::Gated(acceptor.turn(door), socket));
        }
        let _ = (door, tracker);
        Ok(match socket {
            Socket::Tcp(listener) => Source::Tcp(tokio::net::TcpListener::from_std(listener)?),
            #[cfg(unix)]
            Socket::Unix(listener) => Source::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }

    pub(super) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Transport, Addr)>> {
        match self {
            #[cfg(multi_process)]
            Source::Gated(turn, socket) => {
                turn.wait_in_runtime();
                turn.poll_take(cx, || accept_offered(socket))
            }
            Source::Tcp(listener) => listener.poll_accept(cx).map_ok(|(io, peer)| (Transport::Tcp(io), peer.into())),
            #[cfg(unix)]
            Source::Unix(listener) => listener.poll_accept(cx).map_ok(|(io, _)| (Transport::Unix(io), Addr::Unix)),
        }
    }

    /// As [`poll_accept`](Self::poll_accept), for a connection that no runtime is to watch.
    #[cfg(unix)]
    pub(super) fn poll_accept_unregistered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<UnregisteredStream>> {
        match self {
            #[cfg(multi_process)]
            Source::Gated(turn, socket) => turn.poll_take(cx, || accept_unregistered(socket)),
            Source::Tcp(listener) => {
                ready!(listener.poll_accept(cx)).and_then(|(io, _)| io.into_std()).map(UnregisteredStream::Tcp).into()
            }
            Source::Unix(listener) => {
                ready!(listener.poll_accept(cx)).and_then(|(io, _)| io.into_std()).map(UnregisteredStream::Unix).into()
            }
        }
    }

    #[cfg(multi_process)]
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Source::Gated(_, socket) => socket.set_nodelay(),
            Source::Tcp(listener) => multi_node_sys::epoll::set_nodelay(listener),
            Source::Unix(_) => Ok(()),
        }
    }

    pub(super) fn withdraw(&self) {
        #[cfg(multi_process)]
        if let Source::Gated(turn, _) = self {
            turn.withdraw();
        }
    }

    #[cfg(multi_process)]
    pub(super) fn wait_in(&self, epoll: std::os::fd::OwnedFd, token: u64) {
        if let Source::Gated(turn, _) = self {
            turn.wait_in(epoll, token);
        }
    }

    #[cfg(multi_process)]
    pub(super) fn woken(&self) {
        if let Source::Gated(turn, _) = self {
            turn.woken();
        }
    }

    pub(super) fn pass_on(&self) {
        #[cfg(multi_process)]
        if let Source::Gated(turn, _) = self {
            turn.pass_on();
        }
    }

    pub(super) fn std_tcp(&self) -> io::Result<Option<std::net::TcpListener>> {
        match self {
            #[cfg(multi_process)]
            Source::Gated(_, Socket::Tcp(listener)) => listener.try_clone().map(Some),
            #[cfg(multi_process)]
            Source::Gated(_, Socket::Unix(_)) => Ok(None),
            Source::Tcp(listener) => std_clone(listener).map(Some),
            #[cfg(unix)]
            Source::Unix(_) => Ok(None),
        }
    }
}

#[cfg(unix)]
fn std_clone(listener: &tokio::net::TcpListener) -> io::Result<std::net::TcpListener> {
    use std::os::fd::AsFd;
    Ok(listener.as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn std_clone(listener: &tokio::net::TcpListener) -> io::Result<std::net::TcpListener> {
    use std::os::windows::io::AsSocket;
    Ok(listener.as_socket().try_clone_to_owned()?.into())
}

#[cfg(multi_process)]
pub(super) fn accept_offered(socket: &Socket) -> io::Result<(Transport, Addr)> {
    use multi_node_sys::epoll::{accept_tcp, accept_unix};
    match socket {
        Socket::Tcp(listener) => {
            let (stream, peer) = accept_tcp(listener)?;
            Ok((Transport::Tcp(TcpStream::from_std(stream)?), peer.into()))
        }
        Socket::Unix(listener) => Ok((Transport::Unix(UnixStream::from_std(accept_unix(listener)?)?), Addr::Unix)),
    }
}

#[cfg(multi_process)]
pub(super) fn accept_unregistered(socket: &Socket) -> io::Result<UnregisteredStream> {
    use multi_node_sys::epoll::{accept_tcp, accept_unix};
    match socket {
        Socket::Tcp(listener) => accept_tcp(listener).map(|(stream, _)| UnregisteredStream::Tcp(stream)),
        Socket::Unix(listener) => accept_unix(listener).map(UnregisteredStream::Unix),
    }
}
