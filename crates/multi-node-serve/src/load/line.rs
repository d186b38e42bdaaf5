//! One line of the load table, as its writer has it.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{ASLEEP, BUSY, Cells, LATE, LoadTable, ON_TRIAL, PAUSED, SERVING};
use crate::gate::Recent;

/// The handle of a line's writer; clones write the same line.
#[derive(Clone, Debug)]
pub struct Line {
    pub(super) table: LoadTable,
    pub(super) index: usize,
}

impl Line {
    /// Which line it is.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Says that the runtime is alive, at a time of [`multi_node_sys::epoll::monotonic_ms`]; due twice a second.
    pub fn beat(&self, now_ms: u64) {
        self.cells().gate.beat.store(now_ms, Relaxed);
    }

    /// The process takes connections from now on.
    pub(crate) fn begin_serving(&self, now_ms: u64) {
        let mut others = Vec::new();
        self.table.look(now_ms, &mut others);
        let gate = &self.cells().gate;
        let share = Recent::share_of(&others, now_ms);
        gate.recent.store(share.0, Relaxed);
        gate.forgotten.store(gate.accepted.load(Relaxed).wrapping_sub(share.at(now_ms)), Relaxed);
        gate.beat.store(now_ms, Relaxed);
        gate.set(SERVING, true);
    }

    /// The process takes no more connections.
    pub(crate) fn end_serving(&self) {
        self.cells().gate.set(SERVING, false);
    }

    /// Whether the runtime owes an answer to an offered connection.
    pub(crate) fn set_late(&self, late: bool) {
        self.cells().gate.set(LATE, late);
    }

    /// Whether the process has left the queue and may be asked back.
    pub(crate) fn set_asleep(&self, asleep: bool) {
        self.cells().gate.set(ASLEEP, asleep);
    }

    /// Whether the process takes no connections for now.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.cells().gate.set(PAUSED, paused);
    }

    /// Whether the runtime computes while its connections wait.
    pub(crate) fn set_busy(&self, busy: bool) {
        self.cells().gate.set(BUSY, busy);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.cells().gate.flags.load(Relaxed) & BUSY != 0
    }

    /// Whether the process takes its share of connections and no more.
    pub fn set_on_trial(&self, on_trial: bool) {
        self.cells().gate.set(ON_TRIAL, on_trial);
    }

    /// A connection was taken.
    pub(crate) fn opened(&self, now_ms: u64) {
        let gate = &self.cells().gate;
        gate.open.fetch_add(1, Relaxed);
        gate.accepted.fetch_add(1, Relaxed);
        // Threads of one runtime may count at once; a connection that gets lost in `recent` would not matter, but the
        // loop costs nothing.
        let _ = gate.recent.fetch_update(Relaxed, Relaxed, |recent| Some(Recent(recent).add(now_ms).0));
    }

    /// A connection that another process had accepted is open here.
    pub(crate) fn joined(&self) {
        self.cells().gate.open.fetch_add(1, Relaxed);
    }

    /// A connection has ended; says how many are left.
    pub(crate) fn closed(&self) -> u64 {
        self.cells().gate.open.fetch_sub(1, Release) - 1
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.cells().gate.open.load(Acquire)
    }

    /// Connections taken so far, those that another process had accepted not counted.
    pub fn accepted(&self) -> u64 {
        self.cells().gate.accepted.load(Relaxed)
    }

    /// A request has begun.
    pub(crate) fn request_began(&self) {
        self.requests_began(1);
    }

    /// This number of requests has begun.
    pub(crate) fn requests_began(&self, requests: u64) {
        self.cells().work.begun.fetch_add(requests, Relaxed);
    }

    /// Changes with each request that begins or ends, and with each connection that is taken.
    pub(crate) fn request_steps(&self) -> u64 {
        let Cells { gate, work } = self.cells();
        [&work.begun, &work.ended, &gate.accepted].into_iter().fold(0, |sum, cell| sum.wrapping_add(cell.load(Relaxed)))
    }

    /// A request has been answered, or will not be.
    pub(crate) fn request_ended(&self) {
        self.requests_ended(1);
    }

    /// This number of requests has ended.
    pub(crate) fn requests_ended(&self, requests: u64) {
        self.cells().work.ended.fetch_add(requests, Release);
    }

    /// A request was answered with a status that blames the server (5xx), or the service failed to answer.
    pub(crate) fn request_failed(&self) {
        self.requests_failed(1);
    }

    /// This number of requests has failed.
    pub(crate) fn requests_failed(&self, requests: u64) {
        self.cells().work.errors.fetch_add(requests, Relaxed);
    }

    /// A request was cut at the end of a drain.
    pub(crate) fn request_cut(&self) {
        self.cells().work.aborted.fetch_add(1, Relaxed);
    }

    fn cells(&self) -> &Cells {
        &self.table.0.lines()[self.index]
    }
}
