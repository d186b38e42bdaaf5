//! Connections on their way to other processes, and the sender through which they leave.

use std::io;
#[cfg(multi_process)]
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::busy_handoff::BusyHandoff;
use super::conn_info::ConnInfo;
use super::drain::{DrainSignal, aborted};
use super::stream::{Open, Stream, UnregisteredStream};

/// How much is read from a connection that no process took, to see whether a request has come meanwhile.
const LOOK: usize = 4096;

/// A connection on its way to another process: at a safe point, with the bytes that were read but not answered yet.
///
/// It is at rest: no runtime watches it, and no code reads from it or writes to it. On the sender's side it counts as open
/// until this value is gone. If it is dropped, the connection is closed, unless another process has it too.
#[derive(Debug)]
pub struct IdleConn {
    server: usize,
    before: Bytes,
    info: ConnInfo,
    socket: UnregisteredStream,
    /// It moves to the owner of the request that `before` begins with, who answers that in any case.
    for_request: bool,
    /// Where it comes from; `None` where it has arrived.
    origin: Option<Origin>,
}

/// The process that a connection leaves.
#[derive(Debug)]
struct Origin {
    open: Open,
    /// To the connection's task, which waits to learn whether a process took it.
    back: oneshot::Sender<Returned>,
}

/// A connection that no process took.
#[derive(Debug)]
struct Returned {
    socket: UnregisteredStream,
    open: Open,
    before: Bytes,
}

impl IdleConn {
    /// Which entry of [`Servers`](super::Servers) serves it.
    pub fn server(&self) -> usize {
        self.server
    }

    /// What was read and not yet answered: nothing, a part of a request, or pipelined requests.
    pub fn before(&self) -> &Bytes {
        &self.before
    }

    /// Both ends, as the process knows them that accepted the connection.
    pub fn info(&self) -> ConnInfo {
        self.info
    }

    /// The socket, to be sent by `SCM_RIGHTS`.
    #[cfg(multi_process)]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.file()
    }

    /// What another process has sent. Nothing is done with the socket before it is [adopted](super::Reserved::adopt).
    #[cfg(multi_process)]
    pub fn arrived(server: usize, socket: OwnedFd, before: Bytes, info: ConnInfo) -> IdleConn {
        IdleConn { server, before, info, socket: UnregisteredStream::from(socket), for_request: false, origin: None }
    }

    /// Whether it moves for a request, and not in a drain.
    pub fn is_for_request(&self) -> bool {
        self.for_request
    }

    /// The same for a request: the process that it arrives at answers that, although another may own it.
    #[cfg(multi_process)]
    #[must_use]
    pub fn for_request(self, for_request: bool) -> IdleConn {
        IdleConn { for_request, ..self }
    }

    /// No process took it. It goes back to its task, which ends it like one that cannot be handed off: if a request has
    /// begun, that is answered, with `Connection: close`. Then, or else at once, it is closed with care.
    ///
    /// Call this only if no other process reads from it. A received connection is only dropped: its sender still has it.
    pub fn close(self) {
        if let Some(Origin { open, back }) = self.origin {
            // The task is gone only where the runtime ends.
            let _ = back.send(Returned { socket: self.socket, open, before: self.before });
        }
    }

    /// Another process has it: it is dropped here without `shutdown(2)`, which would end it there too, and counts as handed off.
    pub fn given(self) {
        if let Some(Origin { open, .. }) = self.origin {
            drop(self.socket);
            match self.for_request {
                true => open.moved(),
                false => open.handoff(),
            }
        }
    }

    /// The connection, to be served here under the count `open`.
    pub(super) fn open(self, open: Open) -> io::Result<Opened> {
        let IdleConn { before, info, for_request, .. } = self;
        Ok(Opened { stream: self.socket.register(open)?, before, info, for_request })
    }
}

/// A connection that has arrived, watched by this process's runtime.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) before: Bytes,
    pub(super) info: ConnInfo,
    pub(super) for_request: bool,
}

/// The way out for one server's connections.
#[derive(Clone, Debug)]
pub(super) struct HandoffSender {
    pub(super) server: usize,
    pub(super) idle_conns: mpsc::Sender<IdleConn>,
    /// Which connections others may take while the runtime computes; `None`: none.
    pub(super) busy_handoff: Option<Arc<BusyHandoff>>,
}

impl HandoffSender {
    /// Whether idle connections are taken at all.
    pub(super) fn is_open(&self) -> bool {
        !self.idle_conns.is_closed()
    }

    /// Sends a connection on its way, once there is room, and waits for the result. It comes back if no process took it.
    pub(super) async fn give(
        &self,
        stream: Stream,
        before: Bytes,
        info: ConnInfo,
        drain: &DrainSignal,
    ) -> Option<(Stream, Bytes)> {
        let Some(room) = self.room(drain).await else { return Some((stream, before)) };
        self.send(room, stream, before, info, false).await
    }

    /// As [`give`](Self::give), for the request that `before` begins with. It comes back where there is no room.
    pub(super) async fn give_for_request(
        &self,
        stream: Stream,
        before: Bytes,
        info: ConnInfo,
    ) -> Option<(Stream, Bytes)> {
        let Ok(room) = self.idle_conns.try_reserve() else { return Some((stream, before)) };
        self.send(room, stream, before, info, true).await
    }

    /// As [`give_for_request`](Self::give_for_request), for a connection that no runtime watches and of which nothing was read.
    #[cfg(multi_process)]
    pub(super) async fn give_unread_for_request(
        &self,
        socket: UnregisteredStream,
        open: Open,
        info: ConnInfo,
    ) -> Option<(UnregisteredStream, Open)> {
        let Ok(room) = self.idle_conns.try_reserve() else { return Some((socket, open)) };
        let returned = self.send_socket(room, (socket, open), Bytes::new(), info, true).await?;
        Some((returned.socket, returned.open))
    }

    async fn send(
        &self,
        room: mpsc::Permit<'_, IdleConn>,
        stream: Stream,
        before: Bytes,
        info: ConnInfo,
        for_request: bool,
    ) -> Option<(Stream, Bytes)> {
        // Another process reads the socket soon: from here on this process's epoll must not hear of it.
        let (socket, open) = stream.leave_runtime().ok()?;
        self.send_socket(room, (socket, open), before, info, for_request).await?.reopen()
    }

    /// As [`give`](Self::give), for a connection that no runtime watches and that has no unanswered bytes. Its place in the
    /// counts comes back if no process took it.
    #[cfg(multi_process)]
    pub(super) async fn give_at_rest(
        &self,
        socket: UnregisteredStream,
        open: Open,
        info: ConnInfo,
        drain: &DrainSignal,
    ) -> Result<(), Open> {
        let Some(room) = self.room(drain).await else { return Err(open) };
        match self.send_socket(room, (socket, open), Bytes::new(), info, false).await {
            Some(returned) => Err(returned.open),
            None => Ok(()),
        }
    }

    /// `None`: another process has it.
    async fn send_socket(
        &self,
        room: mpsc::Permit<'_, IdleConn>,
        (socket, open): (UnregisteredStream, Open),
        before: Bytes,
        info: ConnInfo,
        for_request: bool,
    ) -> Option<Returned> {
        let (back, returned) = oneshot::channel();
        let origin = Some(Origin { open, back });
        room.send(IdleConn { server: self.server, before, info, socket, for_request, origin });
        returned.await.ok()
    }

    /// Room for one idle connection, once there is some; `None` if idle connections are no longer taken.
    async fn room(&self, drain: &DrainSignal) -> Option<mpsc::Permit<'_, IdleConn>> {
        tokio::select! {
            biased;
            room = self.idle_conns.reserve() => room.ok(),
            () = aborted(drain.clone()) => None,
        }
    }
}

impl Returned {
    /// To be served here again, with what has come while it was under way; `None` where it has ended and nothing is unanswered.
    /// Without this look a request that has come would go unseen until the runtime's next turn, and the connection would be closed
    /// as an idle one.
    fn reopen(self) -> Option<(Stream, Bytes)> {
        let mut buffer = [0; LOOK];
        let before = match self.socket.read(&mut buffer) {
            Ok(0) if self.before.is_empty() => return None,
            Ok(count) => {
                let mut before = BytesMut::from(self.before);
                before.extend_from_slice(&buffer[..count]);
                before.freeze()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.before,
            Err(_) => return None,
        };
        Some((self.socket.register(self.open).ok()?, before))
    }
}
