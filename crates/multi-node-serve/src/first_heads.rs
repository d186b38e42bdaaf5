//! Looks at the first head of a connection before an event loop other than tokio's gets that: does another process own the request?
//!
//! What is looked at stays in the socket, so the process that answers reads all of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::affinity::LOOKED_AT;
use super::conn_info::ConnInfo;
use super::owners::{Mover, Owners, Whose};
use super::socket::Addr;
use super::stream::{Open, Stream, UnregisteredStream};

/// How many new connections may wait for their heads. Those beyond are answered here.
const WAITING: usize = 1024;

/// How long a head may take to come. After that the request is answered here.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a head is looked at that comes in parts. After that the request is answered here.
const LOOKS: usize = 16;

/// What looks at the first heads of one server's connections.
#[derive(Debug)]
pub(super) struct FirstHeads {
    owners: Owners,
    room: Arc<Semaphore>,
}

/// Another process that answers the next request of a connection.
pub(super) struct OtherOwner {
    mover: Mover,
    info: ConnInfo,
}

impl FirstHeads {
    pub(super) fn new(owners: Owners) -> FirstHeads {
        FirstHeads { owners, room: Arc::new(Semaphore::new(WAITING)) }
    }

    /// Room for one more new connection that waits.
    pub(super) fn room(&self) -> Option<OwnedSemaphorePermit> {
        let room = self.room.clone().try_acquire_owned().ok();
        if room.is_none() {
            self.owners.count_full();
        }
        room
    }

    /// Whether it is known at once that this process answers.
    pub(super) fn is_ours(&self, socket: &UnregisteredStream) -> bool {
        let (Ok(peer), Ok(local)) = (socket.peer_addr(), socket.local_addr()) else { return true };
        let mut head = vec![0; LOOKED_AT];
        match multi_node_sys::socket::peek(socket.file(), &mut head) {
            // The client is gone.
            Ok(0) => true,
            Ok(count) => matches!(self.owners.whose(&head[..count], &ConnInfo { peer, local }), Whose::Ours),
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

fn info_of(stream: &Stream) -> io::Result<ConnInfo> {
    let peer = stream.as_tcp().map_or(Ok(Addr::Unix), |tcp| tcp.peer_addr().map(Addr::Tcp))?;
    Ok(ConnInfo { peer, local: stream.local_addr()? })
}
