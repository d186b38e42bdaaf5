//! One HTTP connection from its first byte to its last.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::body::RequestBody;
use super::clock::Clock;
use super::exchange::Exchange;
use super::heads::Heads;
use super::http2::http2;
use super::prefixed_io::PrefixedIo;
use super::progress::Progress;
use super::shared::Shared;
use super::sniff::{Opening, Protocol, Sniffed, proxy_header, sniff};
use crate::busy_handoff::Holder;
use crate::conn_info::ConnInfo;
use crate::crowd::{Crowd, Member, Membership};
use crate::drain::{Seen, Watch};
use crate::lingering_close::lingering_close;
use crate::server::BoxError;
use crate::{Addr, Stream};

/// A connection that is served here from now on.
pub(super) struct Connection<S> {
    stream: Stream,
    /// What was read of it already.
    before: Bytes,
    info: ConnInfo,
    /// A proxy's header is due.
    proxied: bool,
    next: Next,
    shared: Arc<Shared>,
    /// Where idle connections make room for new ones.
    member: Option<Arc<Member>>,
    service: S,
}

/// Where a connection comes from.
pub(super) enum Origin {
    /// It is new.
    Accepted { peer: Addr },
    /// Another process has served it, and has read this of it. `for_request`: this process answers the next request, although another may own it.
    HandedOver { before: Bytes, info: ConnInfo, for_request: bool },
}

/// What was decided about a connection before its next request.
#[derive(Clone, Copy, Default)]
struct Next {
    /// No other process will have it in the drain.
    stays: bool,
    /// The request is answered here, although another process may own it.
    is_ours: bool,
}

/// hyper's part of an HTTP/1 connection.
type Hyper<S> = UpgradeableConnection<TokioIo<PrefixedIo>, Exchange<S>>;

/// How hyper's part of a connection came to its end.
#[derive(Clone, Copy)]
enum End {
    /// hyper finished it; true: without an error.
    Finished(bool),
    /// It was taken from hyper while nothing was under way.
    Taken,
    /// It was too slow.
    TimedOut,
    /// The drain's deadline came, or the client is gone.
    Cut,
    /// Another process has it.
    Given,
}

impl<S, B> Connection<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// `None` where the client has gone already.
    pub(super) fn new(stream: Stream, origin: Origin, shared: Arc<Shared>, service: S) -> Option<Connection<S>> {
        let (before, info, proxied, is_ours) = match origin {
            Origin::HandedOver { before, info, for_request } => (before, info, false, for_request),
            Origin::Accepted { peer } => {
                let local = stream.local_addr().ok()?;
                (Bytes::new(), ConnInfo { peer, local }, shared.settings.proxy_protocol, false)
            }
        };
        let next = Next { stays: false, is_ours };
        Some(Connection { stream, before, info, proxied, next, shared, member: None, service })
    }

    /// Where idle connections make room for new ones, it becomes one of them.
    pub(super) fn join(&self) -> Option<Membership> {
        self.shared.crowd.as_ref().map(Crowd::join)
    }

    /// As [`serve`](Self::serve), until the connection has to make room.
    pub(super) async fn serve_as(mut self, membership: Membership) {
        self.member = Some(membership.member.clone());
        tokio::select! {
            () = self.serve() => {}
            () = membership.over() => {}
        }
    }

    /// Serves the connection until it has ended. The future is the task of this connection: so it is kept small, and what is needed rarely
    /// is in boxes.
    #[expect(clippy::manual_async_fn, reason = "the future of an `async fn` would have room for `self` twice")]
    pub(super) fn serve(mut self) -> impl Future<Output = ()> {
        async move {
            let mut watch = pin!(Watch::new(self.shared.drain.clone()));
            if let Some(handshakes) = &self.shared.handshakes {
                let mut before = self.before;
                if self.proxied {
                    let header = proxy_header(&mut self.stream, watch.as_mut(), &self.shared, &mut self.info);
                    let Some(behind) = Box::pin(header).await else { return };
                    (before, self.proxied) = (behind, false);
                }
                let Some(secured) = handshakes.secure(self.stream, before, &self.shared.drain).await else { return };
                (self.stream, self.before) = (secured, Bytes::new());
            }
            loop {
                let stays = self.next.stays;
                let opening =
                    Opening { shared: &self.shared, before: self.before, proxied: self.proxied && !stays, stays };
                match sniff(&mut self.stream, watch.as_mut(), opening, &mut self.info).await {
                    Sniffed::Speaks(protocol, _) if !agrees(&self.stream, protocol) => {
                        return lingering_close(self.stream, &self.shared.drain).await;
                    }
                    Sniffed::Speaks(Protocol::Http1, first) => {
                        let origin = (first, self.next, self.member);
                        return http1(self.stream, origin, watch, &self.shared, self.service, &self.info).await;
                    }
                    Sniffed::Speaks(Protocol::Http2, first) => {
                        let origin = (first, self.member);
                        return Box::pin(http2(self.stream, origin, watch, &self.shared, self.service, &self.info))
                            .await;
                    }
                    Sniffed::Nothing => return lingering_close(self.stream, &self.shared.drain).await,
                    Sniffed::Leaves(read) => match self.shared.give(self.stream, read, self.info).await {
                        // Nobody takes it. It has left with the proxy's header behind it.
                        Some((back, read)) => (self.stream, self.before, self.next.stays) = (back, read, true),
                        None => return,
                    },
                }
            }
        }
    }
}

/// Whether the client speaks what it has chosen in the handshake, if it has.
fn agrees(stream: &Stream, protocol: Protocol) -> bool {
    stream.agreed_protocol().is_none_or(|agreed| (agreed == b"h2") == (protocol == Protocol::Http2))
}

#[expect(clippy::manual_async_fn, reason = "the future of an `async fn` would have room for the arguments twice")]
fn http1<S, B>(
    mut stream: Stream,
    (mut before, mut next, member): (Bytes, Next, Option<Arc<Member>>),
    mut watch: Pin<&mut Watch>,
    shared: &Arc<Shared>,
    mut service: S,
    info: &ConnInfo,
) -> impl Future<Output = ()>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    async move {
        loop {
            let progress = Progress::new(shared.clone(), member.clone(), next.stays);
            let heads = shared.owners.as_ref().map(|owners| Heads::new(owners, *info, next.is_ours));
            // hyper keeps the service where the client has offered an upgrade.
            let spare = heads.is_some().then(|| service.clone());
            let exchange = Exchange::new(service, progress.clone(), (info, stream.tls_info()), true);
            let io = PrefixedIo::new(stream, before, progress.clone(), true).with_info(*info).with_heads(heads);
            // In a box, since glibc is quick about two pieces below a kilobyte, and slow about a larger one.
            let mut hyper = Box::new(shared.builder.http1.serve_connection(TokioIo::new(io), exchange).with_upgrades());
            let end = drive(&mut hyper, watch.as_mut(), &progress).await;
            if matches!(end, End::TimedOut) && progress.drains() && progress.is_kept() {
                shared.tracker.close_kept();
            }
            if matches!(end, End::Finished(_)) && progress.has_ended() {
                // Both sides have closed it. If it ended by an upgrade that nobody took, it is closed here.
                return drop(progress.reclaim());
            }
            let Some(Parts { left, read, service: back }) = apart(*hyper, &progress) else { return };
            let rest = settle(&end, left, read, &progress);
            if let Rest::Drop = rest {
                return;
            }
            // In a box, since with it the task's future is larger than what glibc is quick about.
            let Some((left, read)) = Box::pin(pass_on(rest, shared, info, &mut next)).await else { return };
            // If hyper has kept the service, no answer is possible any more.
            let Some(back) = back.or(spare) else { return lingering_close(left, &shared.drain).await };
            (stream, before, service) = (left, read, back);
        }
    }
}

/// Lets hyper serve the connection until it has ended, or leaves hyper.
async fn drive<S, B>(hyper: &mut Hyper<S>, mut watch: Pin<&mut Watch>, progress: &Progress) -> End
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut clock = Clock::new(progress);
    let mut asked = false;
    poll_fn(|cx| {
        match progress.lent().map_or(Holder::Task, |lent| lent.begin_turn()) {
            Holder::Task => {}
            Holder::Thread => return Poll::Pending,
            Holder::Other => return Poll::Ready(End::Given),
        }
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut *hyper).poll(cx) {
                return Poll::Ready(finished(progress, ended.is_ok()));
            }
            if progress.is_reset() {
                return Poll::Ready(End::Cut);
            }
            if progress.is_taken() {
                // It was not at rest: a task of the service's own still reads the request. hyper closes it after that.
                progress.set_taken(false);
                progress.stay();
            } else if !asked && may_leave(progress) {
                if progress.calls() == 0 {
                    return Poll::Ready(End::Taken);
                }
                asked = true;
                progress.set_taken(true);
                Pin::new(&mut *hyper).graceful_shutdown();
            } else if progress.is_elsewhere() {
                progress.stay();
            } else {
                let seen = watch.as_mut().poll(cx, clock.deadline());
                if seen.is_pending()
                    && let Some(lent) = progress.lent()
                    && progress.may_be_taken()
                {
                    lent.rest();
                }
                match ready!(seen) {
                    Seen::Drain if progress.is_kept() => progress.shared().tracker.keep(),
                    Seen::Drain => {}
                    Seen::Due if clock.client_is_gone() => return Poll::Ready(End::Cut),
                    Seen::Due => return Poll::Ready(End::TimedOut),
                    Seen::Cut => return Poll::Ready(End::Cut),
                }
            }
        }
    })
    .await
}

/// The connection and what was read of it, where it is served here further.
async fn pass_on(rest: Rest, shared: &Arc<Shared>, info: &ConnInfo, next: &mut Next) -> Option<(Stream, Bytes)> {
    match rest {
        Rest::Again(left, read) => Some((left, read)),
        Rest::Leave(left, read) => {
            next.stays = true;
            shared.give(left, read, *info).await
        }
        Rest::Move(left, read) => {
            next.is_ours = true;
            shared.give_to_owner(left, read, *info).await
        }
        Rest::Close(left) => {
            lingering_close(left, &shared.drain).await;
            None
        }
        Rest::Given(left) => {
            if let Ok((socket, open)) = left.leave_runtime() {
                drop(socket);
                open.moved();
            }
            None
        }
        Rest::Drop => None,
    }
}

/// Whether the connection may be taken from hyper now: another process owns its next request, or a drain hands it off, or else closes it.
/// A drain does not close it if a request has begun: that request is answered first, and its response announces the close. The same holds
/// for the next request of a connection that is kept.
#[inline]
fn may_leave(progress: &Progress) -> bool {
    let in_drain = || progress.leaves() || !(progress.has_begun() || progress.keeps_idle());
    // Mostly neither is so, and this is asked often.
    (progress.is_elsewhere() || progress.drains() && in_drain()) && progress.is_at_rest()
}

/// How hyper has ended a connection.
///
/// Here it shows whether hyper has released the connection at the safe point. If asked to, hyper ends an idle connection
/// without reading more. If it does read more, it still expected the rest of a request's body. That rest must not be parsed
/// as the head of the next request.
fn finished(progress: &Progress, well: bool) -> End {
    match progress.is_taken() && well && !progress.has_wanted() {
        true => End::Taken,
        false => End::Finished(well),
    }
}

/// What is left of hyper's part of a connection.
struct Parts<S> {
    left: Stream,
    /// What was read of it, and not used.
    read: Bytes,
    /// `None` where hyper has ended it by an upgrade.
    service: Option<S>,
}

/// Takes hyper's part of a connection apart; `None` if an upgrade owns the connection.
fn apart<S, B>(hyper: Hyper<S>, progress: &Progress) -> Option<Parts<S>>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let (prefixed_io, read, service) = match hyper.into_parts() {
        Some(parts) => (parts.io.into_inner(), parts.read_buf, Some(parts.service.into_service())),
        None => progress.reclaim().map(|(prefixed_io, read)| (prefixed_io, read, None))?,
    };
    let (left, unread) = prefixed_io.into_parts();
    Some(Parts { left, read: joined(read, unread), service })
}

/// What hyper has read and not used, and what it has not even read.
fn joined(read: Bytes, unread: Bytes) -> Bytes {
    match (read.is_empty(), unread.is_empty()) {
        (true, _) => unread,
        (_, true) => read,
        _ => [read, unread].concat().into(),
    }
}

/// What becomes of a connection that hyper has let go of.
enum Rest {
    /// It continues in another process, which gets the bytes that were read from it.
    Leave(Stream, Bytes),
    /// It moves to the process that owns its next request.
    Move(Stream, Bytes),
    /// It continues: the head of a request had come in the same read as the one before it.
    Again(Stream, Bytes),
    /// It is closed with care, since the client may have sent unread bytes.
    Close(Stream),
    /// Another process has it already.
    Given(Stream),
    /// It can just be dropped, or has been.
    Drop,
}

/// Decides what becomes of a connection that hyper has let go of.
///
/// `End::Taken` is the safe point, the only one at which a connection is passed on. See to it that this stays true:
///
/// - No service call runs and no response body is left: [`Progress::is_at_rest`] counts both.
/// - The last response has been written and flushed: hyper calls `poll_flush` of what it writes to only when its own buffer is
///   empty, `Progress` has seen such a call after the response's end, and nothing was written since.
/// - The request before has been read to its end: with one that had no body there is nothing to read. With one that had, hyper was
///   asked to let go, and did so without looking for more bytes ([`finished`]); its buffer was empty if it was inside a body.
///   Before the first request there is none.
/// - hyper has not decided to close the connection, by a `Connection: close` of either side, HTTP/1.0, or an error: then it does so in
///   the same poll in which the response is flushed, and the end is `Finished`.
/// - Nothing is lost: of a head that is incomplete hyper uses up nothing. It is in `read` together with all else that was read, and the
///   rest stays in the socket, since nobody reads from it from here on.
fn settle(end: &End, stream: Stream, read: Bytes, progress: &Progress) -> Rest {
    match end {
        End::Taken if progress.is_elsewhere() => Rest::Move(stream, read),
        End::Taken if progress.leaves() => Rest::Leave(stream, read),
        End::Taken if !read.is_empty() => Rest::Again(stream, read),
        End::Taken | End::TimedOut => Rest::Close(stream),
        End::Given => Rest::Given(stream),
        End::Cut => Rest::Drop,
        End::Finished(well) => {
            let pending = || !read.is_empty() || stream.has_unread();
            match !well || progress.had_body() || progress.drains() || pending() {
                true => Rest::Close(stream),
                false => Rest::Drop,
            }
        }
    }
}
