//! A connection that other processes may take while it rests.
#![allow(unsafe_code)]
// Why the unsafe code here is sound. A `Lendable` gives no mutable access to its stream, so the socket that was lent stays open until
// the loan has been dropped: `into_inner` drops it first, and so does the order of the fields. Until then the list has the descriptor, and
// it is used under the list's lock alone, which the loan's end takes.

use std::fmt;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::BusyHandoff;
use super::claim::{Claim, Holder};
use crate::conn_info::ConnInfo;
use crate::idle_conn::IdleConn;
use crate::stream::Stream;

/// One connection of the list.
pub(crate) struct LentConn {
    pub(super) claim: Claim,
    /// Of its task.
    waker: Waker,
    /// Used under the lock of the list alone.
    pub(super) socket: BorrowedFd<'static>,
    server: usize,
    info: ConnInfo,
}

impl LentConn {
    /// A turn of the connection's task begins. It goes on only with a connection that it has.
    pub(crate) fn begin_turn(&self) -> Holder {
        self.claim.begin_turn()
    }

    /// The task's turn ends, and the connection may be taken until the next one begins.
    pub(crate) fn rest(&self) {
        self.claim.rest();
    }
}

/// A stream that can be lent.
#[derive(Debug)]
pub(crate) struct Lendable {
    loan: Option<Loan>,
    stream: Stream,
}

impl Lendable {
    pub(crate) fn new(stream: Stream) -> Lendable {
        Lendable { loan: None, stream }
    }

    pub(crate) fn into_inner(self) -> Stream {
        drop(self.loan);
        self.stream
    }

    /// To read and write.
    pub(crate) fn io(&mut self) -> impl AsyncRead + AsyncWrite + Unpin {
        Pin::new(&mut self.stream)
    }

    /// Puts the connection on the list. Its task, whose waker this is, begins each further turn by [`begin_turn`](LentConn::begin_turn).
    /// `None` where it cannot be lent: it is encrypted by keys that no other process knows.
    pub(crate) fn lend(
        &mut self,
        list: &Arc<BusyHandoff>,
        (server, info): (usize, ConnInfo),
        waker: &Waker,
    ) -> Option<Arc<LentConn>> {
        // SAFETY: see the top of the file.
        let socket = unsafe { std::mem::transmute::<BorrowedFd<'_>, BorrowedFd<'static>>(self.stream.socket()?) };
        let conn = Arc::new(LentConn { claim: Claim::default(), waker: waker.clone(), socket, server, info });
        self.loan = Some(Loan { key: list.insert(conn.clone()), list: list.clone() });
        Some(conn)
    }
}

impl Deref for Lendable {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

/// A connection is on the list until this is dropped.
struct Loan {
    list: Arc<BusyHandoff>,
    key: usize,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.list.remove(self.key);
    }
}

/// A connection on which a request waits, taken from its task. It goes back when this is dropped.
#[derive(Debug)]
pub struct ClaimedConn {
    list: Arc<BusyHandoff>,
    conn: Arc<LentConn>,
    idle_conn: IdleConn,
    given: bool,
}

impl ClaimedConn {
    /// Call this under the list's lock. `None` where the task has a turn, or no descriptor is left.
    pub(super) fn of(list: &Arc<BusyHandoff>, conn: &Arc<LentConn>) -> Option<ClaimedConn> {
        let copy = conn.socket.try_clone_to_owned().ok()?;
        let (list, idle_conn) = (list.clone(), IdleConn::arrived(conn.server, copy, Bytes::new(), conn.info));
        conn.claim.claim().then(|| ClaimedConn { list, conn: conn.clone(), idle_conn, given: false })
    }

    /// The connection, to be offered.
    pub fn idle_conn(&self) -> &IdleConn {
        &self.idle_conn
    }

    /// Another process has taken it. Its task here drops it, and it counts as moved.
    pub fn given(mut self) {
        self.given = true;
    }
}

impl Drop for ClaimedConn {
    fn drop(&mut self) {
        match self.given {
            true => {
                self.list.taken.fetch_add(1, Relaxed);
                self.conn.claim.give();
            }
            false => self.conn.claim.give_back(),
        }
        self.conn.waker.wake_by_ref();
    }
}

impl fmt::Debug for LentConn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LentConn").field("claim", &self.claim).field("info", &self.info).finish_non_exhaustive()
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Loan").field("key", &self.key).finish_non_exhaustive()
    }
}
