//! How far a connection is, as its bytes and its service see it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

mod answering;

pub(super) use self::answering::Answering;
use super::prefixed_io::PrefixedIo;
use super::shared::Shared;
use crate::busy_handoff::{BusyHandoff, LentConn};
use crate::crowd::Member;
use crate::idle_conn::HandoffSender;

/// How far a connection is, for the task that drives it.
///
/// All who write here run in one task with HTTP/1, and only response bodies and services in others with HTTP/2, so that no command
/// between these cells matters but that of one task.
pub(super) struct Progress {
    shared: Arc<Shared>,
    /// Where idle connections make room for new ones.
    member: Option<Arc<Member>>,
    /// No other process will have it.
    stays: bool,
    /// Requests begun; written by the connection's task alone.
    calls: AtomicU64,
    /// Requests fully answered.
    answered: AtomicU64,
    /// Bytes have come that belong to no request whose head is complete.
    heard: AtomicBool,
    /// A part of a TLS record has come, so that the client is sending.
    part_of_record: AtomicBool,
    /// The last request has a body, so that what comes is not the next head.
    bodied: AtomicBool,
    /// The client has sent all that it will, and hyper has read all of it.
    ended: AtomicBool,
    /// The client has shut down its writing side; some of what it sent before may be unread.
    half_closed: AtomicBool,
    /// The client has reset the connection.
    reset: AtomicBool,
    /// Bytes wait to be written, and the client takes none.
    blocked: AtomicBool,
    /// How often bytes were read or written.
    moves: AtomicU64,
    /// hyper has asked for bytes when there were none, and has got none since.
    starved: AtomicBool,
    /// All that hyper had to write by the time of its last flush has been written, the last response included.
    flushed: AtomicBool,
    /// The connection is being taken from hyper.
    taken: AtomicBool,
    /// hyper has asked for bytes while it was being taken.
    wanted: AtomicBool,
    /// The last request with a body that was read to its end.
    read_whole: AtomicU64,
    /// Another process owns the next request, of which hyper has got nothing.
    elsewhere: AtomicBool,
    /// The client speaks another protocol now.
    upgraded: AtomicBool,
    /// Requests with a body whose services have not answered yet.
    unanswered: Mutex<Vec<u64>>,
    /// It is on the list of connections that other processes may take.
    lent: OnceLock<Arc<LentConn>>,
    /// What was read last ended by an empty line.
    empty_line: AtomicBool,
    /// What the last request that offered an upgrade, and was answered without one, has left behind.
    unused: Mutex<Option<OnUpgrade>>,
}

/// As the bytes see it.
impl Progress {
    pub(super) fn new(shared: Arc<Shared>, member: Option<Arc<Member>>, stays: bool) -> Arc<Progress> {
        Arc::new(Progress {
            shared,
            member,
            stays,
            calls: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            heard: AtomicBool::new(false),
            part_of_record: AtomicBool::new(false),
            bodied: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            moves: AtomicU64::new(0),
            starved: AtomicBool::new(false),
            flushed: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            read_whole: AtomicU64::new(0),
            elsewhere: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            unanswered: Mutex::default(),
            unused: Mutex::default(),
            lent: OnceLock::new(),
            empty_line: AtomicBool::new(false),
        })
    }

    /// These bytes have come.
    pub(super) fn heard(&self, bytes: &[u8]) {
        self.empty_line.store(bytes.ends_with(b"\r\n\r\n"), Relaxed);
        self.starved.store(false, Relaxed);
        self.part_of_record.store(false, Relaxed);
        self.moved();
        if !self.is_busy() || !self.had_body() {
            self.heard.store(true, Relaxed);
        }
    }

    /// No bytes were there to be read, or only a part of a TLS record.
    pub(super) fn starved(&self, has_part: bool) {
        self.starved.store(true, Relaxed);
        self.part_of_record.store(has_part, Relaxed);
    }

    /// The client has sent all that it will.
    pub(super) fn ended(&self) {
        self.ended.store(true, Relaxed);
        self.half_closed();
    }

    /// The client has shut down its writing side.
    pub(super) fn half_closed(&self) {
        self.half_closed.store(true, Relaxed);
    }

    /// The client has reset the connection.
    pub(super) fn reset(&self) {
        self.reset.store(true, Relaxed);
    }

    /// hyper has bytes to write.
    pub(super) fn writes(&self) {
        self.flushed.store(false, Relaxed);
    }

    /// The client takes bytes that hyper writes.
    pub(super) fn written(&self) {
        self.blocked.store(false, Relaxed);
        self.moved();
    }

    /// The client takes no bytes at present.
    pub(super) fn blocked(&self) {
        self.blocked.store(true, Relaxed);
    }

    /// One task reads and writes.
    fn moved(&self) {
        self.moves.store(self.moves() + 1, Relaxed);
        if let Some(member) = &self.member {
            member.moved();
        }
    }

    /// There is nothing to be written any more.
    pub(super) fn flushed(&self) {
        self.flushed.store(true, Relaxed);
    }

    /// Another process owns the next request. hyper gets nothing until the connection has been taken from it, or is to stay.
    pub(super) fn belongs_elsewhere(&self) {
        self.elsewhere.store(true, Relaxed);
        self.starved(false);
    }

    /// hyper asks for bytes.
    pub(super) fn reads(&self) {
        if self.is_taken() {
            self.wanted.store(true, Relaxed);
        }
    }
}

/// While the runtime computes.
impl Progress {
    /// The connection on the list of those that other processes may take, once it is there.
    #[inline]
    pub(super) fn lent(&self) -> Option<&Arc<LentConn>> {
        self.lent.get()
    }

    /// The list that the connection comes on now, and the number of its server: it has answered a request and been kept.
    pub(super) fn list(&self) -> Option<(&Arc<BusyHandoff>, usize)> {
        if self.calls() == 0 || self.stays || self.lent.get().is_some() {
            return None;
        }
        let HandoffSender { busy_handoff, server, .. } = self.shared.handoff_sender.as_ref()?;
        Some((busy_handoff.as_ref()?, *server))
    }

    pub(super) fn set_lent(&self, lent: Arc<LentConn>) {
        // It is lent once.
        let _ = self.lent.set(lent);
    }

    /// Whether another process may take the connection before its task's next turn: nothing of its next request has been read.
    ///
    /// hyper has nothing in its buffer, although it shows that to nobody: the last request had no body, and what was read last ended by an
    /// empty line. So if there were bytes behind that request, they would be a whole head, and its request would have begun, or they
    /// would be empty lines, which mean nothing before a head (RFC 9112, section 2.2).
    pub(super) fn may_be_taken(&self) -> bool {
        self.empty_line.load(Relaxed)
            && !self.had_body()
            && self.awaits_next_head()
            && self.starved.load(Relaxed)
            && !self.has_begun()
            && !self.is_half_closed()
    }
}

/// As the service sees it.
impl Progress {
    pub(super) fn begin(self: &Arc<Self>, bodied: bool) -> Answering {
        self.calls.store(self.calls() + 1, Relaxed);
        self.heard.store(false, Relaxed);
        self.bodied.store(bodied, Relaxed);
        self.shared.line.request_began();
        if let Some(HandoffSender { busy_handoff: Some(busy_handoff), .. }) = &self.shared.handoff_sender {
            busy_handoff.begin_request();
        }
        let request = self.calls();
        if bodied {
            lock(&self.unanswered).push(request);
        }
        Answering::new(self.clone(), request, bodied)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A request that offered an upgrade has been answered without one.
    fn keep_unused(&self, upgrade: OnUpgrade) {
        *lock(&self.unused) = Some(upgrade);
    }

    /// The service has read the body of this request to its end, and so has hyper.
    pub(super) fn body_was_read(&self, request: u64) {
        self.read_whole.fetch_max(request, Relaxed);
    }

    /// Whether a request with a body has not been answered yet.
    pub(super) fn awaits_head(&self, request: u64) -> bool {
        lock(&self.unanswered).contains(&request)
    }
}

/// As the connection's task sees it.
impl Progress {
    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.calls() != self.answered.load(Relaxed)
    }

    /// Whether a part of a request's head has come, be it sealed still.
    pub(super) fn has_begun(&self) -> bool {
        self.heard.load(Relaxed) || self.part_of_record.load(Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Whether the client has shut down its writing side, as far as it is known.
    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Relaxed)
    }

    /// Whether the client is gone, so that no answer is needed.
    pub(super) fn is_reset(&self) -> bool {
        self.reset.load(Relaxed)
    }

    /// Whether bytes wait that the client does not take.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// How often bytes were read or written: it changes with each progress.
    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Relaxed)
    }

    /// Whether the last request had a body, which may not have been read completely.
    pub(super) fn had_body(&self) -> bool {
        self.bodied.load(Relaxed)
    }

    /// How many requests there have been.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Whether the process drains.
    pub(super) fn drains(&self) -> bool {
        self.shared.drain.is_draining()
    }

    /// Whether the connection stays open while it is idle. Call this in a drain.
    pub(super) fn keeps_idle(&self) -> bool {
        self.shared.keeps_idle()
    }

    /// Whether the connection is idle, and stays open nevertheless. Call this in a drain.
    pub(super) fn is_kept(&self) -> bool {
        self.keeps_idle() && !self.is_busy() && !self.has_begun()
    }

    /// Whether the connection moves to another process once it is at rest. Call this in a drain.
    pub(super) fn leaves(&self) -> bool {
        !self.stays && self.shared.gives()
    }

    /// Whether the connection can be taken from hyper, as far as can be seen from outside; asked when hyper has done what it could.
    ///
    /// No service call runs, no response body is left, and what was written has been flushed since. Of a request's body something
    /// may still be unread, in hyper's buffer or in the socket. The second is found out when hyper is asked to let go, the
    /// first is ruled out here: hyper asks for bytes of a body only when its buffer is empty.
    pub(super) fn is_at_rest(&self) -> bool {
        let starved = || self.starved.load(Relaxed);
        !self.is_busy() && self.flushed.load(Relaxed) && !self.has_ended() && (!self.had_body() || starved())
    }

    /// Whether the next bytes are the head of a request, as far as can be seen from outside: nothing is under way, what was written has been
    /// flushed, and the body of the request before was read to its end. Of a request that was sent before its predecessor was answered a part
    /// may be in hyper already.
    pub(super) fn awaits_next_head(&self) -> bool {
        let calls = self.calls();
        let is_first = calls == 0;
        let at_end = || !self.had_body() || self.read_whole.load(Relaxed) == calls;
        (is_first || (!self.is_busy() && self.flushed.load(Relaxed) && at_end()))
            && !self.upgraded.load(Relaxed)
            && !self.drains()
    }

    /// Whether another process owns the next request.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.elsewhere.load(Relaxed)
    }

    /// The connection stays, although another process owns the next request.
    pub(super) fn stay(&self) {
        self.elsewhere.store(false, Relaxed);
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Relaxed)
    }

    /// Whether hyper may no longer close the connection, and is watched for reading from it.
    pub(super) fn set_taken(&self, taken: bool) {
        self.wanted.store(false, Relaxed);
        self.taken.store(taken, Relaxed);
    }

    /// Whether hyper has asked for bytes since the connection was being taken from it.
    pub(super) fn has_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// The connection and the bytes read from it, if hyper has ended it by an upgrade that nothing waits for.
    ///
    /// hyper remembers an offered upgrade until the connection ends. Then it passes the connection to the holder of the other
    /// end, also if all requests were answered without an upgrade. Java's client offers h2c with the first request of each
    /// connection.
    pub(super) fn reclaim(&self) -> Option<(PrefixedIo, Bytes)> {
        let mut upgrade = lock(&self.unused).take()?;
        let Poll::Ready(Ok(upgraded)) = Pin::new(&mut upgrade).poll(&mut Context::from_waker(Waker::noop())) else {
            return None;
        };
        let parts = upgraded.downcast::<TokioIo<PrefixedIo>>().ok()?;
        Some((parts.io.into_inner(), parts.read_buf))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
