//! What one end of a stream does about what happens. Pure: nothing here waits, and whatever comes in whatever order, the reader gets
//! the bytes as they were written, or a reset.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};

use super::StreamReset;
use super::frame::{Answer, Frame};

/// How many bytes the other end may be ahead of the reader.
pub(super) const WINDOW: u64 = 256 << 10;

/// How many bytes one frame has at most.
const MOST_BYTES: usize = 32 << 10;

/// The most frames with bytes that are sent from the first unanswered one on, with it. So no more can arrive out of order.
const MOST_FRAMES: usize = 16;

/// One end of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    sending: Sending,
    receiving: Receiving,
    /// Frames of this end that have no answer yet.
    in_flight: usize,
    reset: Option<StreamReset>,
}

impl Stream {
    /// The other end lets this one send `limit` bytes at first. `most_bytes`: what a frame may carry, if that is less than usual.
    pub(super) fn new(limit: u64, most_bytes: usize) -> Stream {
        let sending = Sending {
            most: most_bytes.clamp(1, MOST_BYTES),
            limit,
            sent: 0,
            unanswered: VecDeque::new(),
            has_ended: false,
        };
        Stream { sending, receiving: Receiving::new(), in_flight: 0, reset: None }
    }

    /// How many bytes may be sent now.
    pub(super) fn may_send(&self) -> usize {
        if self.reset.is_none() { self.sending.room() } else { 0 }
    }

    /// Sends bytes, at least one and not more than [`Stream::may_send`] says.
    pub(super) fn send(&mut self, bytes: Bytes) -> Frame {
        self.in_flight += 1;
        Frame::Data { at: self.sending.begin(bytes.len()), bytes }
    }

    /// No bytes follow.
    pub(super) fn finish(&mut self) -> Frame {
        self.in_flight += 1;
        self.sending.has_ended = true;
        Frame::End { at: self.sending.sent }
    }

    /// Repeats what is known, to see whether the other end is there.
    pub(super) fn sign_of_life(&mut self) -> Frame {
        self.in_flight += 1;
        Frame::Limit { limit: self.receiving.limit }
    }

    /// The other end has answered a frame of this one; `at`: where its bytes began, if it had any.
    pub(super) fn answered(&mut self, at: Option<u64>, answer: Answer) {
        self.in_flight = self.in_flight.saturating_sub(1);
        at.into_iter().for_each(|at| self.sending.answered(at));
        match answer {
            Answer::Taken { limit } => self.sending.raise(limit),
            Answer::Reset(reset) => self.reset(reset),
        }
    }

    /// The other end has sent a frame.
    pub(super) fn asked(&mut self, frame: Frame) -> Answer {
        if let Some(reset) = self.reset {
            return Answer::Reset(reset);
        }
        let is_well = match frame {
            // It came twice.
            Frame::Open { .. } => true,
            Frame::Data { at, bytes } => self.receiving.data(at, &bytes),
            Frame::End { at } => self.receiving.ends(at),
            Frame::Limit { limit } => {
                self.sending.raise(limit);
                true
            }
            Frame::Reset(reset) => {
                self.reset(reset);
                true
            }
        };
        if !is_well {
            self.reset(StreamReset::Protocol);
            return Answer::Reset(StreamReset::Protocol);
        }
        Answer::Taken { limit: self.receiving.limit }
    }

    /// The stream is over now, unless it was before. What has come whole can still be read.
    pub(super) fn reset(&mut self, reset: StreamReset) {
        self.reset.get_or_insert(reset);
    }

    /// Why it was reset.
    pub(super) fn why(&self) -> Option<StreamReset> {
        self.reset
    }

    /// What the reader can have.
    pub(super) fn ready(&self) -> &[u8] {
        &self.receiving.ready
    }

    /// The reader has taken this number of bytes. Gives what the other end has to know.
    pub(super) fn taken(&mut self, bytes: usize) -> Option<Frame> {
        let raised = self.receiving.taken(bytes);
        let frame = raised.filter(|_| self.reset.is_none()).map(|limit| Frame::Limit { limit })?;
        self.in_flight += 1;
        Some(frame)
    }

    /// How many bytes this end holds for the reader.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> usize {
        self.receiving.ready.len() + self.receiving.early.values().map(Bytes::len).sum::<usize>()
    }

    /// Nobody reads any more.
    pub(super) fn discard(&mut self) {
        let waits = self.receiving.ready.len();
        self.receiving.ready.clear();
        self.receiving.taken += waits as u64;
    }

    /// Whether all that the other end has sent has come.
    pub(super) fn has_all(&self) -> bool {
        self.receiving.end == Some(self.receiving.received)
    }

    /// Whether all that this end has sent is confirmed, its end too.
    pub(super) fn is_sent(&self) -> bool {
        self.sending.has_ended && self.in_flight == 0
    }
}

#[derive(Debug)]
struct Sending {
    /// How many bytes a frame may carry.
    most: usize,
    limit: u64,
    sent: u64,
    /// The frames from the first unanswered one on: where the bytes of each began, and whether it was answered.
    unanswered: VecDeque<(u64, bool)>,
    has_ended: bool,
}

impl Sending {
    fn room(&self) -> usize {
        let is_full = self.has_ended || self.unanswered.len() >= MOST_FRAMES;
        let room = if is_full { 0 } else { self.limit.saturating_sub(self.sent) };
        usize::try_from(room).map_or(self.most, |room| room.min(self.most))
    }

    fn begin(&mut self, bytes: usize) -> u64 {
        let at = self.sent;
        self.sent += bytes as u64;
        self.unanswered.push_back((at, false));
        at
    }

    fn answered(&mut self, at: u64) {
        self.unanswered.iter_mut().filter(|(begin, _)| *begin == at).for_each(|(_, answered)| *answered = true);
        while self.unanswered.front().is_some_and(|(_, answered)| *answered) {
            self.unanswered.pop_front();
        }
    }

    /// Answers may overtake each other: the highest counts.
    fn raise(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }
}

#[derive(Debug)]
struct Receiving {
    /// How many bytes came in order.
    received: u64,
    /// How many of them the reader has.
    taken: u64,
    /// How many may come.
    limit: u64,
    /// How many there are, once that is known.
    end: Option<u64>,
    /// For the reader.
    ready: BytesMut,
    /// What came before its turn, by where it begins. It has a copy, so that it holds no more memory than it seems.
    early: BTreeMap<u64, Bytes>,
}

impl Receiving {
    fn new() -> Receiving {
        let (ready, early) = (BytesMut::new(), BTreeMap::new());
        Receiving { received: 0, taken: 0, limit: WINDOW, end: None, ready, early }
    }

    /// False if that breaks the protocol.
    fn data(&mut self, at: u64, bytes: &[u8]) -> bool {
        let Some(to) = at.checked_add(bytes.len() as u64) else { return false };
        if to > self.limit || self.end.is_some_and(|end| to > end) {
            return false;
        }
        if to <= self.received {
            return true;
        }
        if at > self.received {
            let is_new = self.early.len() < MOST_FRAMES && !self.overlaps(at, to);
            let came_before = self.early.get(&at).is_some_and(|early| early.len() == bytes.len());
            if is_new {
                self.early.insert(at, Bytes::copy_from_slice(bytes));
            }
            return is_new || came_before;
        }
        at == self.received && self.take(bytes) && self.take_early()
    }

    /// Whether something that came early has one of these bytes.
    fn overlaps(&self, at: u64, to: u64) -> bool {
        self.early.range(..to).next_back().is_some_and(|(begin, bytes)| begin + bytes.len() as u64 > at)
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        self.ready.extend_from_slice(bytes);
        self.received += bytes.len() as u64;
        true
    }

    /// What came early and is next. False if it was in part there already.
    fn take_early(&mut self) -> bool {
        while let Some(bytes) = self.early.remove(&self.received) {
            self.take(&bytes);
        }
        self.early.keys().next().is_none_or(|first| *first > self.received)
    }

    /// False if that breaks the protocol.
    fn ends(&mut self, at: u64) -> bool {
        let last = self.early.last_key_value().map_or(self.received, |(begin, bytes)| begin + bytes.len() as u64);
        let is_well = at >= last && at <= self.limit && self.end.is_none_or(|end| end == at);
        if is_well {
            self.end = Some(at);
        }
        is_well
    }

    /// Gives the new limit where the other end should know it: half of the window is free.
    fn taken(&mut self, bytes: usize) -> Option<u64> {
        self.ready.advance(bytes);
        self.taken += bytes as u64;
        let limit = self.taken + WINDOW;
        if self.end.is_some() || limit - self.limit < WINDOW / 2 {
            return None;
        }
        self.limit = limit;
        Some(limit)
    }
}
