//! Looks at the next head of a connection before an event loop other than tokio's reads it: does another process own the request?
//!
//! What is looked at stays in the socket, so the process that answers reads all of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::affinity::{Affinity, Key, LOOKED_AT};
use super::conn_info::ConnInfo;
use super::owners::{Mover, Owners, Whose};
use super::socket::Addr;
use super::stream::{Open, Stream, Transport, UnregisteredStream};

/// How many connections may wait for the rest of their heads, or move. Those beyond are answered here.
const WAITING: usize = 1024;

/// The first look is at this number of bytes, which most heads do not exceed.
const ENOUGH: usize = 4096;

/// How long a head may take to come. After that the request is answered here.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a head is looked at that comes in parts. After that the request is answered here.
const LOOKS: usize = 16;

/// What looks at the heads of one server's connections.
#[derive(Debug)]
pub(super) struct UnreadHeads {
    owners: Owners,
    room: Arc<Semaphore>,
}

/// Another process that answers the next request of a connection.
pub(super) struct OtherOwner {
    mover: Mover,
    info: ConnInfo,
}

impl UnreadHeads {
    pub(super) fn new(owners: Owners) -> UnreadHeads {
        UnreadHeads { owners, room: Arc::new(Semaphore::new(WAITING)) }
    }

    /// Room for one more connection that waits.
    pub(super) fn room(&self) -> Option<OwnedSemaphorePermit> {
        let room = self.room.clone().try_acquire_owned().ok();
        if room.is_none() {
            self.owners.count_full();
        }
        room
    }

    /// Whether it is known at once that this process answers.
    pub(super) fn is_ours(&self, socket: BorrowedFd<'_>) -> bool {
        let mut head = [0; ENOUGH];
        match multi_node_sys::socket::peek(socket, &mut head) {
            // The client is gone.
            Ok(0) => true,
            Ok(count) => {
                let info = client_of(socket, self.owners.are_by_address());
                matches!(self.owners.whose(&head[..count], &info), Whose::Ours)
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Who else answers the next request, once its head is there; `None`: this process, also where the head does not come in time.
    pub(super) async fn owner(&self, stream: &Stream) -> Option<OtherOwner> {
        let info = info_of(stream).ok()?;
        let decide = |head: &[u8]| match self.owners.whose(head, &info) {
            _ if head.is_empty() => Some(None),
            Whose::Ours => Some(None),
            Whose::Of(mover) => Some(Some(OtherOwner { mover, info })),
            Whose::Unknown => None,
        };
        timeout(PATIENCE, stream.peeked(LOOKED_AT, LOOKS, decide)).await.ok()?.ok()??
    }

    /// Lets the owner of its next request have a connection, once that is known. Its place in the counts comes back if this process answers.
    pub(super) async fn move_on(&self, socket: UnregisteredStream, open: Open) -> Option<Open> {
        let Some(_room) = self.room() else { return Some(open) };
        let stream = socket.register(open).ok()?;
        let owner = self.owner(&stream).await;
        let (socket, open) = stream.leave_runtime().ok()?;
        match owner {
            Some(owner) => self.give(owner, socket, open).await.map(|(_, open)| open),
            None => Some(open),
        }
    }

    /// Lets that process have the connection. It comes back if that does not take it.
    pub(super) async fn give(
        &self,
        OtherOwner { mover, info }: OtherOwner,
        socket: UnregisteredStream,
        open: Open,
    ) -> Option<(UnregisteredStream, Open)> {
        self.owners.give_unread(mover, socket, open, info).await
    }
}

/// A new connection that a process without this crate is to answer: its first head is looked at, and stays in the socket.
#[derive(Debug)]
pub struct NewConn {
    transport: Transport,
    info: ConnInfo,
}

impl NewConn {
    /// Call it in a runtime, which watches the connection from now on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(socket: OwnedFd) -> io::Result<NewConn> {
        let info = client_of(socket.as_fd(), true);
        Ok(NewConn { transport: UnregisteredStream::from(socket).watched()?, info })
    }

    /// The key of its first request; `None`: it has none, or does not come in time. Cancel-safe.
    pub async fn key(&self, affinity: &Affinity) -> Option<u64> {
        let known = |key| if let Key::Is(key) = key { Some(key) } else { None };
        if let Some(key) = affinity.key_of_conn(&self.info) {
            return known(key);
        }
        let decide = |head: &[u8]| match affinity.key(head, &self.info) {
            Key::Unknown if !head.is_empty() => None,
            key => Some(known(key)),
        };
        timeout(PATIENCE, self.transport.peeked(LOOKED_AT, LOOKS, decide)).await.ok()?.ok()??
    }

    /// The connection, which no runtime watches any more.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_socket(self) -> io::Result<OwnedFd> {
        self.transport.leave_runtime().map(OwnedFd::from)
    }
}

/// The key of the request on this connection that begins with these bytes, which were read.
pub fn key_of(affinity: &Affinity, socket: BorrowedFd<'_>, head: &[u8]) -> Key {
    affinity.key(head, &client_of(socket, affinity.is_by_address()))
}

/// Who the client is; its address only if that decides.
fn client_of(socket: BorrowedFd<'_>, by_address: bool) -> ConnInfo {
    let ask = || UnregisteredStream::from(socket.try_clone_to_owned().ok()?).peer_addr().ok();
    let peer = by_address.then(ask).flatten().unwrap_or(Addr::Unix);
    ConnInfo { peer, local: Addr::Unix }
}

fn info_of(stream: &Stream) -> io::Result<ConnInfo> {
    let peer = stream.as_tcp().map_or(Ok(Addr::Unix), |tcp| tcp.peer_addr().map(Addr::Tcp))?;
    Ok(ConnInfo { peer, local: stream.local_addr()? })
}
