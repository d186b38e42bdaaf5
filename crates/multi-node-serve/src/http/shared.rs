//! What all connections of one HTTP server have in common.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Extensions;
use tokio::time::Instant;

use super::builder::HttpBuilder;
use crate::Stream;
use crate::conn_info::ConnInfo;
use crate::crowd::Crowd;
use crate::drain::Waiting;
use crate::idle_conn::HandoffSender;
use crate::owners::Owners;
use crate::server::BoxFuture;
use crate::stream::ConnTracker;
use crate::tls::Handshakes;

/// How long before the end of a drain idle connections that were kept are closed.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What this library looks after itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) max_connections: Option<usize>,
    pub(super) header_timeout: Duration,
    pub(super) keep_alive_timeout: Duration,
    pub(super) half_close_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) proxy_protocol: bool,
    pub(super) handoff: bool,
    /// New connections beyond the limit are accepted, and the one that has been idle for the longest makes room.
    pub(super) idlest_leaves: bool,
}

/// What all connections of one HTTP server have in common.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) builder: HttpBuilder,
    /// What the requests of all connections carry.
    pub(super) extensions: Extensions,
    pub(super) drain: crate::DrainSignal,
    pub(super) line: crate::Line,
    pub(super) handoff_sender: Option<HandoffSender>,
    /// Where each process answers requests of its own keys.
    pub(super) owners: Option<Owners>,
    /// Where connections begin by a handshake.
    pub(super) handshakes: Option<Handshakes>,
    /// Where it is counted what becomes of them in a drain.
    pub(super) tracker: Arc<ConnTracker>,
    /// Where idle connections make room for new ones.
    pub(super) crowd: Option<Arc<Crowd>>,
}

impl Shared {
    /// Whether idle connections stay open in a drain, since they cannot be handed off and their clients can come back: other
    /// processes serve on. Call this in a drain.
    pub(super) fn keeps_idle(&self) -> bool {
        self.handshakes.is_some() && self.drain.waiting() == Waiting::Left
    }

    /// When an idle connection that is kept in a drain is closed in good order. `None` where none is kept.
    pub(super) fn kept_until(&self) -> Option<Instant> {
        self.drain.deadline().filter(|_| self.keeps_idle())?.checked_sub(LAST_WORD)
    }

    /// Whether other processes take connections that are idle in a drain.
    pub(super) fn gives(&self) -> bool {
        self.handoff_sender.as_ref().is_some_and(HandoffSender::is_open)
    }

    /// Lets another process have a connection; it comes back where none takes it.
    ///
    /// In a box, since every connection's task would be larger by what is needed once at most.
    pub(super) fn give(
        self: &Arc<Self>,
        stream: Stream,
        before: Bytes,
        info: ConnInfo,
    ) -> BoxFuture<Option<(Stream, Bytes)>> {
        let shared = self.clone();
        Box::pin(async move {
            match &shared.handoff_sender {
                Some(handoff_sender) => handoff_sender.give(stream, before, info, &shared.drain).await,
                None => Some((stream, before)),
            }
        })
    }

    /// Lets the owner of the request that `before` begins with have its connection; it comes back where that one does not take it.
    pub(super) fn give_to_owner(
        self: &Arc<Self>,
        stream: Stream,
        before: Bytes,
        info: ConnInfo,
    ) -> BoxFuture<Option<(Stream, Bytes)>> {
        let owners = self.owners.clone();
        Box::pin(async move {
            match owners {
                Some(owners) => owners.give(stream, before, info).await,
                None => Some((stream, before)),
            }
        })
    }
}
