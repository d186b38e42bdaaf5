//! Cells of keys: two words each, that all processes read and write at once, and that a killed process may leave half-written.
//!
//! # The protocol
//!
//! A cell has a *tag*, the hash of its key, and a *state*:
//!
//! - *live*: the key's time, as [`Quota`] has it. A time that has passed is that of a quiet key, as good as none.
//! - *claimed*: a process is about to take the cell for another key. It has a number that no other claim has, and the time of the claim.
//! - *free*: nobody's.
//!
//! Only a live state counts. A key's cell is one of the [`WIDTH`] behind the place that its tag gives.
//!
//! An **event** at a live cell is one compare-and-swap of its state, from the time that was read to the next. The state is read before the
//! tag: a process that takes the cell for another key changes the state first, and so makes the swap fail. No state comes twice in a cell, since
//! live times only grow and each claim has its number. Only an event that is given back, or a key that is forgotten, moves a time back. While the
//! cell is that key's, a swap that meets an old time again is right. If another key has taken the cell meanwhile and has the same time to the
//! nanosecond, one event counts for that key.
//!
//! A **claim** takes the first cell of the window that is free, quiet, or claimed for longer than [`STALE_MS`], in four steps, each of them
//! an atomic instruction: (1) the state becomes the claim, (2) the tag becomes the key's, (3) the window is searched for other cells of
//! this tag, (4) the state becomes the time of the first event. In (3) a live cell is used in place of the claimed one, which is freed, and
//! another claim of the same key is freed, so that its step 4 fails. Of two processes that claim cells for one key, the later of the
//! two steps 2 comes before that process's step 3, which therefore sees the other's tag: so no key gets two live cells. Loads and stores are
//! sequentially consistent for this.
//!
//! A process that is **killed** between the steps leaves a claim, which counts for nobody and is taken over after [`STALE_MS`]. Its event
//! was not answered, so nothing that was allowed is lost. One that is *stopped* there for longer finds, when it goes on, that its state has been
//! taken: its step 4 fails. Its step 2 could reach a cell that others have taken meanwhile only if the tag is the old one again; then that
//! key may be allowed a second burst. That takes a stop within a few nanoseconds, and the return of the same key to the same cell.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::quota::{Allowed, Denied, Quota};

/// Where a key may be, in cells: four lines of the processor's cache.
pub(crate) const WIDTH: usize = 16;

/// The state of a cell that is free again.
const FREE: u64 = 1 << 62;
/// What a claim has set.
const CLAIM: u64 = 1 << 63;
/// Bits of a claim that tell it from others of the same millisecond.
const NUMBER_BITS: u32 = 22;

/// After this time, in milliseconds, the claimer counts as killed. A claim takes less than a microsecond of computing.
const STALE_MS: u64 = 1000;

/// How often an event is tried before the key counts as one without a cell. One try more is needed where another process was faster.
const TRIES: usize = 256;

/// What became of an event.
pub(crate) type Answer = Result<Allowed, Denied>;

/// There is no cell for the key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The cells in which a key may be.
pub(crate) struct Window<'a> {
    cells: &'a [AtomicU64],
    tag: u64,
    first: usize,
}

/// A cell as it was seen.
#[derive(Clone, Copy)]
struct Seen<'a> {
    cell: Cell<'a>,
    state: u64,
    tag: u64,
}

#[derive(Clone, Copy)]
struct Cell<'a> {
    tag: &'a AtomicU64,
    state: &'a AtomicU64,
}

impl<'a> Window<'a> {
    /// `cells`: the words of all cells.
    pub(crate) fn new(cells: &'a [AtomicU64], tag: u64) -> Window<'a> {
        let count = (cells.len() / 2) as u64;
        // The high bits choose, by a multiplication in place of a division.
        let first = (u128::from(tag) * u128::from(count)) >> 64;
        Window { cells, tag, first: usize::try_from(first).unwrap_or(0) }
    }

    /// Counts an event of the key.
    pub(crate) fn event(&self, quota: &Quota, now: impl Fn() -> u64) -> Result<Answer, Full> {
        for _ in 0..TRIES {
            let now = now();
            if let Some(answer) = self.attempt(quota, now)? {
                return Ok(answer);
            }
            std::hint::spin_loop();
        }
        Err(Full)
    }

    /// The key's time, if it has a cell.
    pub(crate) fn time(&self) -> Option<u64> {
        self.own().map(|seen| seen.state)
    }

    /// Changes the key's time, if it has a cell.
    pub(crate) fn change(&self, change: impl Fn(u64) -> u64) {
        for _ in 0..TRIES {
            let Some(Seen { cell, state, .. }) = self.own() else { return };
            if cell.state.compare_exchange(state, change(state), SeqCst, SeqCst).is_ok() {
                return;
            }
            std::hint::spin_loop();
        }
    }

    fn own(&self) -> Option<Seen<'a>> {
        self.cells().map(Cell::seen).find(|seen| seen.tag == self.tag && is_live(seen.state))
    }

    /// `None`: another process was faster.
    fn attempt(&self, quota: &Quota, now: u64) -> Result<Option<Answer>, Full> {
        let mut empty = None;
        for cell in self.cells() {
            let seen = cell.seen();
            if seen.tag == self.tag && is_live(seen.state) {
                return Ok(seen.count(quota, now));
            }
            empty = empty.or(Some(seen).filter(|seen| is_claimable(seen.state, now)));
        }
        let Some(seen) = empty else { return Err(Full) };
        let Some(claim) = Claim::make(seen, self.tag, now) else { return Ok(None) };
        if !self.is_alone(&claim) {
            claim.withdraw();
            return Ok(None);
        }
        Ok(claim.finish(quota, now))
    }

    /// Whether no other cell is the key's: other claims of it are freed.
    fn is_alone(&self, claim: &Claim<'_>) -> bool {
        self.cells().filter(|cell| !std::ptr::eq(cell.state, claim.cell.state)).all(|cell| {
            while cell.tag.load(SeqCst) == self.tag {
                let state = cell.state.load(SeqCst);
                if is_live(state) {
                    return false;
                }
                if state == FREE || cell.state.compare_exchange(state, FREE, SeqCst, SeqCst).is_ok() {
                    return true;
                }
            }
            true
        })
    }

    fn cells(&self) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        let (cells, first, count) = (self.cells, self.first, self.cells.len() / 2);
        (0..WIDTH.min(count)).map(move |step| {
            let at = 2 * ((first + step) % count);
            Cell { tag: &cells[at], state: &cells[at + 1] }
        })
    }
}

impl<'a> Cell<'a> {
    /// The state first: see the protocol.
    fn seen(self) -> Seen<'a> {
        let state = self.state.load(SeqCst);
        Seen { cell: self, state, tag: self.tag.load(SeqCst) }
    }
}

impl Seen<'_> {
    /// Counts an event at a live cell; `None`: the state has changed.
    fn count(&self, quota: &Quota, now: u64) -> Option<Answer> {
        match quota.event(self.state, now) {
            Ok((next, allowed)) => {
                let swapped = self.cell.state.compare_exchange(self.state, next, SeqCst, SeqCst);
                swapped.is_ok().then_some(Ok(allowed))
            }
            Err(denied) => Some(Err(denied)),
        }
    }
}

/// A cell between the first and the last step.
struct Claim<'a> {
    cell: Cell<'a>,
    state: u64,
}

impl<'a> Claim<'a> {
    /// The first two steps.
    fn make(seen: Seen<'a>, tag: u64, now: u64) -> Option<Claim<'a>> {
        let Seen { cell, state: before, tag: old } = seen;
        let state = CLAIM | ((now / 1_000_000) << NUMBER_BITS) & !(CLAIM | FREE) | number();
        cell.state.compare_exchange(before, state, SeqCst, SeqCst).ok()?;
        let claim = Claim { cell, state };
        match cell.tag.compare_exchange(old, tag, SeqCst, SeqCst) {
            Ok(_) => Some(claim),
            // One that was stopped has gone on: the next try sees it.
            Err(_) => {
                claim.withdraw();
                None
            }
        }
    }

    fn withdraw(self) {
        let _ = self.cell.state.compare_exchange(self.state, FREE, SeqCst, SeqCst);
    }

    /// The last step.
    fn finish(self, quota: &Quota, now: u64) -> Option<Answer> {
        match quota.event(0, now) {
            Ok((time, allowed)) => {
                let swapped = self.cell.state.compare_exchange(self.state, time, SeqCst, SeqCst);
                swapped.is_ok().then_some(Ok(allowed))
            }
            Err(denied) => {
                self.withdraw();
                Some(Err(denied))
            }
        }
    }
}

fn is_live(state: u64) -> bool {
    state & (CLAIM | FREE) == 0
}

fn is_claimable(state: u64, now: u64) -> bool {
    match state {
        FREE => true,
        state if is_live(state) => state <= now,
        claim => {
            let at = (claim & !(CLAIM | FREE)) >> NUMBER_BITS;
            (now / 1_000_000).saturating_sub(at) > STALE_MS
        }
    }
}

/// Another number for each claim of this process, and for the most part another than those of other processes.
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let own = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 42;
    (own ^ NEXT.fetch_add(1, Relaxed)) & ((1 << NUMBER_BITS) - 1)
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
