//! The way out for connections of an event loop that is not tokio's.

#[cfg(multi_process)]
use std::io;
use std::os::fd::OwnedFd;

use super::ConnGuard;
#[cfg(multi_process)]
use crate::conn_info::ConnInfo;
use crate::drain::DrainSignal;
use crate::idle_conn::HandoffSender;
#[cfg(multi_process)]
use crate::stream::UnregisteredStream;

/// Passes connections of one server on to nodes that continue to serve, while this one drains.
#[derive(Clone, Debug)]
pub struct ConnHandoff {
    handoff_sender: Option<HandoffSender>,
    drain: DrainSignal,
}

impl ConnHandoff {
    pub(crate) fn new(handoff_sender: Option<HandoffSender>, drain: DrainSignal) -> ConnHandoff {
        ConnHandoff { handoff_sender, drain }
    }

    /// Whether there may be nodes that take connections. Before the drain has begun this is so wherever hand-off is possible.
    pub fn is_open(&self) -> bool {
        self.handoff_sender.as_ref().is_some_and(HandoffSender::is_open)
    }

    /// Passes a connection on. It has to be at rest between two requests: nobody reads from it or writes to it until this
    /// resolves.
    ///
    /// `Ok`: another node serves it, and `socket` was closed here without ending it. `Err`: no node took it, and the place in
    /// the counts comes back; the socket was closed, which does not end the connection as long as the caller has a duplicate.
    ///
    /// # Errors
    ///
    /// The place in the counts, as above.
    #[cfg(multi_process)]
    pub async fn give(&self, socket: OwnedFd, count: ConnGuard) -> Result<(), ConnGuard> {
        let Some(handoff_sender) = &self.handoff_sender else { return Err(count) };
        let socket = UnregisteredStream::from(socket);
        let info = |socket: &UnregisteredStream| {
            io::Result::Ok(ConnInfo { peer: socket.peer_addr()?, local: socket.local_addr()? })
        };
        let Ok(info) = info(&socket) else { return Err(count) };
        handoff_sender.give_at_rest(socket, count.0, info, &self.drain).await.map_err(ConnGuard)
    }

    /// As with several processes: no process takes it.
    #[cfg(not(multi_process))]
    #[allow(clippy::unused_async, missing_docs)]
    pub async fn give(&self, _: OwnedFd, count: ConnGuard) -> Result<(), ConnGuard> {
        Err(count)
    }
}
