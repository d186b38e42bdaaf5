//! Decides which processes may wait for the next connection. Pure: lines of the load table in, a verdict out.
//!
//! A process waits while it has at most one connection more than the process with the fewest, or while it has had less than
//! its share of recent connections. The first rule makes the numbers of open connections even. The second rule limits a new
//! process, which has by far the fewest connections. Without it the new process would draw all new connections. With it, it
//! gets a quarter to a half more than its share until the numbers are even. Once they are even, the gate makes up for
//! nothing: a process that had more of the connections that are gone had them by chance. To compensate would pile up lasting
//! connections on the others.

/// A process whose heart has not beaten for so long does not count: it was stopped, or it hangs.
pub(super) const FRESH_MS: u64 = 1500;

/// The mean of recent connections from which on they are shared out.
const WORTH_SHARING: u64 = 2;

/// How many connections one process may be ahead of the others before they are woken.
const GAP: u64 = 16;

/// What one line of the load table says, as of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// It takes connections: it serves, and its heart beats.
    pub(super) serving: bool,
    /// Its runtime has not picked up a connection that it was offered.
    pub(super) late: bool,
    /// Its runtime computes while its connections wait.
    pub(super) busy: bool,
    /// It has left the queue because its gate closed, and may be asked back.
    pub(super) asleep: bool,
    /// Connections open now.
    pub(super) open: u64,
    /// Connections taken within about a second.
    pub(super) recent: u64,
    /// Connections taken since it began to serve.
    pub(super) accepted: u64,
    /// It serves, and takes no connections for now.
    pub(super) paused: bool,
    /// It takes its share of connections and no more, however few it has open: one that fails fast has few.
    pub(super) on_trial: bool,
}

/// What to do after a look at all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Wait for the next connection.
    pub(super) enter: bool,
    /// Wake a process that left the queue and may come back.
    pub(super) wake: bool,
    /// All have the same number of connections, or one more: what was recent may be forgotten, and is worth it.
    pub(super) level: bool,
}

/// Decides for the process whose line is `own`, which counts even if it was late.
pub(super) fn decide(lines: &[View], own: usize) -> Verdict {
    let Some(&me) = lines.get(own) else { return Verdict { enter: true, wake: false, level: false } };
    let fleet = Fleet::of(lines, own);
    let enter = !me.paused && fleet.admits(&me);
    // A sleeper is asked back if no other process might come, or if it is the better choice. An equally good one is not worth
    // a wake-up.
    let wanted = |line: &View| !enter || line.open < me.open || line.recent < me.recent;
    let wake = lines
        .iter()
        .enumerate()
        .any(|(index, line)| index != own && line.asleep && line.counts() && fleet.admits(line) && wanted(line));
    Verdict { enter, wake, level: fleet.is_level() }
}

/// Those who have let a connection wait. They do not count until they are seen to take one.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    /// What each line had taken by then.
    accepted: Vec<u64>,
}

impl PassedOver {
    /// All who are awake. Sleepers have given way as they should.
    pub(super) fn note(&mut self, lines: &[View]) {
        self.accepted.clear();
        self.accepted.extend(lines.iter().map(|line| if line.asleep { u64::MAX } else { line.accepted }));
    }

    /// Marks the lines of those who have taken nothing since.
    pub(super) fn mark(&self, lines: &mut [View], own: usize) {
        for (index, (line, accepted)) in lines.iter_mut().zip(&self.accepted).enumerate() {
            line.late |= index != own && line.accepted == *accepted;
        }
    }
}

/// The numbers of all lines that count, put together.
struct Fleet {
    lines: u64,
    least_open: u64,
    most_open: u64,
    recent: u64,
    /// Whether shares are counted out to the last connection for one of them.
    trial: bool,
}

impl Fleet {
    fn of(lines: &[View], own: usize) -> Fleet {
        let counts = |index, line: &View| line.counts() || (index == own && !line.paused);
        let counting = lines.iter().enumerate().filter(|&(index, line)| counts(index, line));
        let nobody = Fleet { lines: 0, least_open: u64::MAX, most_open: 0, recent: 0, trial: false };
        counting.fold(nobody, |fleet, (_, line)| Fleet {
            lines: fleet.lines + 1,
            least_open: if line.on_trial { fleet.least_open } else { fleet.least_open.min(line.open) },
            most_open: fleet.most_open.max(line.open),
            recent: fleet.recent + line.recent,
            trial: fleet.trial || line.on_trial,
        })
    }

    fn admits(&self, line: &View) -> bool {
        if line.on_trial && self.lines > 1 {
            return line.recent * self.lines <= self.recent;
        }
        line.open <= self.least_open.saturating_add(1) || self.owes(line)
    }

    fn is_level(&self) -> bool {
        !self.trial && self.is_worth_sharing() && self.most_open <= self.least_open.saturating_add(1)
    }

    fn is_worth_sharing(&self) -> bool {
        self.recent >= WORTH_SHARING * self.lines
    }

    /// Whether the line has had less than its share. If it is awake, that means less than the mean. If it is asleep, the
    /// shortfall must be larger: the process for which the others sleep has had half more than its share, or is [`GAP`]
    /// ahead. That saves wake-ups.
    ///
    /// A few connections are not worth sharing: they all go to the process with the fewest open connections.
    fn owes(&self, line: &View) -> bool {
        if !self.is_worth_sharing() {
            false
        } else if line.asleep {
            // recent < mean * (lines - 3/2) / (lines - 1)
            line.recent * self.lines * 2 * (self.lines - 1) < self.recent * (self.lines * 2).saturating_sub(3)
                || line.recent * self.lines + GAP <= self.recent
        } else {
            line.recent * self.lines < self.recent
        }
    }
}

impl View {
    fn counts(&self) -> bool {
        self.serving && !self.late && !self.paused
    }
}

/// Length of the window in which connections are recent.
pub(crate) const WINDOW_MS: u64 = 1000;
const COUNT_BITS: u32 = 24;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const EPOCH_MASK: u64 = u16::MAX as u64;

/// How many connections came within about the last second, in one word so that one atomic holds it: the
/// number of the window, the count of the window before, the count of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recent(pub(super) u64);

impl Recent {
    /// For a process that has just come: as many as the others had, lest it be owed what came before it.
    pub(super) fn share_of(others: &[View], now_ms: u64) -> Recent {
        let (count, sum) =
            others.iter().filter(|line| line.counts()).fold((0, 0), |(n, sum), line| (n + 1, sum + line.recent));
        let share = sum.checked_div(count).unwrap_or(0).min(COUNT_MAX);
        Recent(((now_ms / WINDOW_MS) & EPOCH_MASK) << (2 * COUNT_BITS) | share)
    }

    /// One connection more.
    pub(super) fn add(self, now_ms: u64) -> Recent {
        let (before, current) = self.counts(now_ms);
        let epoch = (now_ms / WINDOW_MS) & EPOCH_MASK;
        Recent(epoch << (2 * COUNT_BITS) | before << COUNT_BITS | (current + 1).min(COUNT_MAX))
    }

    /// The count now: this window's, and of the one before the part that is within reach.
    pub(super) fn at(self, now_ms: u64) -> u64 {
        let (before, current) = self.counts(now_ms);
        current + before * (WINDOW_MS - now_ms % WINDOW_MS) / WINDOW_MS
    }

    /// The counts of the window before this one and of this one.
    fn counts(self, now_ms: u64) -> (u64, u64) {
        let epoch = self.0 >> (2 * COUNT_BITS);
        let current = self.0 & COUNT_MAX;
        match (now_ms / WINDOW_MS).wrapping_sub(epoch) & EPOCH_MASK {
            0 => ((self.0 >> COUNT_BITS) & COUNT_MAX, current),
            1 => (current, 0),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
