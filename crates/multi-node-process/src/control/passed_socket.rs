//! A listening socket as a field of messages, where `serve` and `control` meet: what the one calls a socket, and how the other names it.

use std::io;

use serde::{Deserialize, Serialize};

use super::Fd;
use crate::serve::Socket;

/// A listening socket that is sent.
#[derive(Debug, Serialize, Deserialize)]
pub struct PassedSocket(SocketKind, Fd);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SocketKind {
    Tcp,
    Unix,
}

impl PassedSocket {
    /// One that this process keeps too.
    pub fn of(socket: &Socket) -> io::Result<PassedSocket> {
        let kind = match socket {
            Socket::Tcp(_) => SocketKind::Tcp,
            Socket::Unix(_) => SocketKind::Unix,
        };
        Ok(PassedSocket(kind, Fd::duplicate(socket)?))
    }

    /// Those of each server.
    pub fn all<'a>(servers: impl IntoIterator<Item: IntoIterator<Item = &'a Socket>>) -> io::Result<Vec<Vec<Self>>> {
        servers.into_iter().map(|sockets| sockets.into_iter().map(PassedSocket::of).collect()).collect()
    }

    /// The socket itself. Fails if it was lost on the way.
    pub fn open(self) -> io::Result<Socket> {
        let PassedSocket(kind, fd) = self;
        let fd = fd.into_owned()?;
        Ok(match kind {
            SocketKind::Tcp => Socket::Tcp(fd.into()),
            SocketKind::Unix => Socket::Unix(fd.into()),
        })
    }

    /// The sockets of each server.
    pub fn open_all(servers: Vec<Vec<PassedSocket>>) -> io::Result<Vec<Vec<Socket>>> {
        servers.into_iter().map(|sockets| sockets.into_iter().map(PassedSocket::open).collect()).collect()
    }
}
