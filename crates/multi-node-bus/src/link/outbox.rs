//! What waits for one peer.
//!
//! It is a buffer behind a short lock, not a channel: every publisher appends its bytes to the same allocation, and the writer
//! takes all of them at once. A channel would cost an allocation and a wake-up per message and peer.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use multi_node_fleet::id::NodeId;
use tokio::sync::Notify;

use super::stream::WriteHalf;
use crate::frame::{HEADER, Head, Kind, append};

/// How many bytes may wait beyond the bound for frames that must not be dropped, such as confirmations.
const CONTROL_BYTES: usize = 1 << 20;

/// A buffer that has grown beyond this is given back when it is empty.
const KEPT_CAPACITY: usize = 512 << 10;

/// At most this many bytes are written at once, by the task that sends them.
const DIRECT_BYTES: usize = 16 << 10;

/// Why a frame was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// Too many bytes wait for the peer.
    Full,
    /// The peer takes no payload of this size.
    TooLarge,
    /// The link has ended.
    Closed,
}

/// The queue to one peer over one link. Locks: taken after a topic's lock, never before.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) peer: NodeId,
    pub(crate) epoch: u64,
    most: usize,
    state: Mutex<State>,
    /// Wakes the writer.
    work: Notify,
    /// Wakes those who wait for room.
    room: Notify,
    /// Ends the reader.
    cut: Notify,
}

#[derive(Debug, Default)]
struct State {
    queued: Vec<u8>,
    /// Bytes that the writer has taken and not yet written.
    taken: usize,
    /// By channel the last message that was dropped. The writer tells the peer when there is room.
    missed: BTreeMap<u32, u64>,
    turn: Turn,
    /// The largest payload that the peer takes.
    most_payload: usize,
    wants_room: bool,
    stream: Option<std::sync::Arc<WriteHalf>>,
    closed: bool,
}

/// Who writes. One at a time, so that frames stay whole.
#[derive(Debug, Default, PartialEq, Eq)]
enum Turn {
    /// Nobody. The writer sleeps.
    #[default]
    Nobody,
    /// The writer, which has been woken.
    Writer,
    /// A sender that found nothing queued.
    Sender,
}

/// What the writer is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Bytes,
    Nothing,
    Closed,
}

impl Outbox {
    pub(crate) fn new(peer: NodeId, epoch: u64, most: usize, stream: std::sync::Arc<WriteHalf>) -> Outbox {
        let state = State { most_payload: usize::MAX, stream: Some(stream), ..State::default() };
        let (work, room, cut) = (Notify::new(), Notify::new(), Notify::new());
        Outbox { peer, epoch, most, state: Mutex::new(state), work, room, cut }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_most_payload(&self, most: usize) {
        self.lock().most_payload = most;
    }

    /// Queues messages that are already encoded as frames, each with its number, or remembers that the peer missed it. With `at_once`
    /// they are written now if nothing else waits. Says how many are queued.
    pub(crate) fn messages<'a>(
        &self,
        channel: u32,
        frames: impl Iterator<Item = (u64, &'a [u8])>,
        at_once: bool,
    ) -> usize {
        let mut state = self.lock();
        let queued = frames.filter(|(seq, frame)| state.queue(channel, *seq, frame, self.most).is_ok()).count();
        if at_once {
            self.write_or_wake(state);
        } else {
            self.wake(state);
        }
        queued
    }

    /// Queues a frame of the protocol itself. It may exceed the bound; a peer that reads none of them loses its link.
    pub(crate) fn control(&self, head: Head, parts: &[&[u8]]) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        append(head, parts, &mut state.queued);
        if state.waiting() > self.most + CONTROL_BYTES {
            drop(state);
            self.cut();
        } else {
            self.wake(state);
        }
    }

    /// Queues a request or an answer, unless the bound is reached. Where nothing else waits it is written at once: to wake the
    /// writer first would cost a good part of a round trip.
    pub(crate) fn send_now(&self, head: Head, before: &[u8], payload: &[u8]) -> Result<(), NotSent> {
        let mut state = self.lock();
        state.accepts(HEADER + before.len() + payload.len(), payload.len(), self.most)?;
        append(head, &[before, payload], &mut state.queued);
        self.write_or_wake(state);
        Ok(())
    }

    fn write_or_wake(&self, mut state: MutexGuard<'_, State>) {
        match state.stream.clone() {
            Some(stream) if state.turn == Turn::Nobody && state.queued.len() <= DIRECT_BYTES => {
                state.turn = Turn::Sender;
                let batch = mem::take(&mut state.queued);
                state.taken = batch.len();
                drop(state);
                let written = stream.try_write(&batch).unwrap_or(0);
                self.sender_wrote(batch, written);
            }
            _ => self.wake(state),
        }
    }

    /// Gives the turn back. What was not written goes before what was queued meanwhile.
    fn sender_wrote(&self, mut batch: Vec<u8>, written: usize) {
        let mut state = self.lock();
        batch.drain(..written);
        batch.extend_from_slice(&state.queued);
        state.queued = batch;
        state.taken = 0;
        state.turn = Turn::Nobody;
        if !state.queued.is_empty() || !state.missed.is_empty() {
            self.wake(state);
        } else {
            self.tell_room(state);
        }
    }

    /// Wakes the writer, unless somebody has the turn who will look again.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if state.turn == Turn::Nobody {
            state.turn = Turn::Writer;
            drop(state);
            self.work.notify_one();
        }
    }

    /// Gives the writer all that waits, in place of its empty buffer, which is used again.
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> Taken {
        let mut state = self.lock();
        if state.closed {
            return Taken::Closed;
        }
        for (channel, seq) in mem::take(&mut state.missed) {
            append(Head::new(Kind::Missed).channel(channel).seq(seq), &[], &mut state.queued);
        }
        if batch.capacity() > KEPT_CAPACITY {
            *batch = Vec::new();
        }
        if state.queued.is_empty() {
            state.turn = Turn::Nobody;
            return Taken::Nothing;
        }
        mem::swap(&mut state.queued, batch);
        state.taken = batch.len();
        Taken::Bytes
    }

    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.lock();
        state.taken -= bytes;
        self.tell_room(state);
    }

    fn tell_room(&self, mut state: MutexGuard<'_, State>) {
        if state.wants_room && state.waiting() <= self.most / 2 {
            // Who waits for less asks again.
            state.wants_room = false;
            drop(state);
            self.room.notify_waiters();
        }
    }

    pub(super) async fn work(&self) {
        self.work.notified().await;
    }

    /// Waits until at most this many bytes wait, or the link has ended.
    pub(crate) async fn until_at_most(&self, bytes: usize) {
        loop {
            let mut notified = std::pin::pin!(self.room.notified());
            notified.as_mut().enable();
            {
                let mut state = self.lock();
                if state.closed || state.waiting() <= bytes {
                    return;
                }
                state.wants_room = true;
            }
            notified.await;
        }
    }

    /// Waits until half of the bound is free.
    pub(crate) async fn room(&self) {
        self.until_at_most(self.most / 2).await;
    }

    /// Ends the link from this side.
    pub(crate) fn cut(&self) {
        self.close();
        self.cut.notify_one();
    }

    pub(crate) async fn is_cut(&self) {
        self.cut.notified().await;
    }

    /// Takes nothing more. The socket closes with its writer and reader.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queued = Vec::new();
        state.missed = BTreeMap::new();
        state.stream = None;
        drop(state);
        self.work.notify_one();
        self.room.notify_waiters();
    }
}

impl State {
    /// Queues a message, or remembers that the peer missed it.
    fn queue(&mut self, channel: u32, seq: u64, frame: &[u8], most: usize) -> Result<(), NotSent> {
        let accepted = self.accepts(frame.len(), frame.len() - HEADER, most);
        match accepted {
            Ok(()) => self.queued.extend_from_slice(frame),
            Err(NotSent::Closed) => {}
            Err(NotSent::Full | NotSent::TooLarge) => drop(self.missed.insert(channel, seq)),
        }
        accepted
    }

    fn accepts(&self, frame: usize, payload: usize, most: usize) -> Result<(), NotSent> {
        if self.closed {
            Err(NotSent::Closed)
        } else if payload > self.most_payload {
            Err(NotSent::TooLarge)
        } else if self.waiting() + frame > most {
            Err(NotSent::Full)
        } else {
            Ok(())
        }
    }

    fn waiting(&self) -> usize {
        self.queued.len() + self.taken
    }
}
