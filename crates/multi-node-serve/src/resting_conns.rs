//! Connections of an event loop other than tokio's between two requests: their next heads are looked at before that loop reads them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use multi_node_sys::epoll::Epoll;

use super::external::ConnGuard;
use super::unread_heads::UnreadHeads;

/// The connections of one server that rest between two requests, while requests have owners.
///
/// The event loop reads nothing of a connection that rests.
#[derive(Debug)]
pub struct RestingConns {
    epoll: Epoll,
    heads: Arc<UnreadHeads>,
}

impl RestingConns {
    pub(super) fn new(heads: Arc<UnreadHeads>) -> io::Result<RestingConns> {
        Ok(RestingConns { epoll: Epoll::new()?, heads })
    }

    /// Is readable when one of them has something to read.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.epoll.file()
    }

    /// The connection rests from now on, until [`arrived`](Self::arrived) reports its token.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn rest(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.epoll.watch_once(socket, token)
    }

    /// The connection rests no more: it leaves this process.
    pub fn forget(&self, socket: BorrowedFd<'_>) {
        // An error means that it has never rested.
        let _ = self.epoll.delete(socket);
    }

    /// The tokens of some connections that have something to read, which may be the end. They rest no more.
    pub fn arrived(&self) -> impl Iterator<Item = u64> + use<> {
        self.epoll.wait(Some(Duration::ZERO)).into_iter().flatten()
    }

    /// Whether this process answers the next request. If not, another may, or its head is incomplete.
    pub fn is_ours(&self, socket: BorrowedFd<'_>) -> bool {
        self.heads.is_ours(socket)
    }

    /// Lets the owner of its next request have a connection, once that is known. Nothing else may read from it until this resolves. As
    /// [`ConnHandoff::give`](super::external::ConnHandoff::give). Call it in the library's runtime.
    pub fn give(
        &self,
        socket: OwnedFd,
        count: ConnGuard,
    ) -> impl Future<Output = Result<(), ConnGuard>> + Send + use<> {
        let heads = self.heads.clone();
        async move { heads.move_on(socket.into(), count.into_open()).await.map_or(Ok(()), |open| Err(ConnGuard::new(open))) }
    }
}
