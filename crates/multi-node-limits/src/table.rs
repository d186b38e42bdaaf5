//! The shared table: a header, counters, gauges with a cell for each process, and cells for the keys of limits.

use std::fmt;
use std::hash::Hasher;
use std::io;
use std::ops::Deref;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Instant;

#[cfg(target_os = "linux")]
use multi_node_sys::shared_words::{SharedWords, boot_time_ns};
use siphasher::sip::SipHasher13;

use crate::window::Window;

/// The first word: what the file is, and the version of its layout. Another version has another word.
const MAGIC: u64 = u64::from_be_bytes(*b"mn-lim\0\x02");

/// Words of the header, a line of the processor's cache.
const HEADER: usize = 8;
const AT_MAGIC: usize = 0;
/// Of how many keys the table has cells.
const AT_KEYS: usize = 1;
/// The key of the hash, two words.
const AT_SECRET: usize = 2;
/// How many checks found no cell.
const AT_OVERFLOWS: usize = 4;
/// How many processes have cells of gauges.
const AT_PROCESSES: usize = 5;

/// Names of counters there may be.
pub(crate) const COUNTERS: usize = 256;

/// Names of gauges there may be.
pub(crate) const GAUGES: usize = 64;

/// Words of a counter and of a cell.
const PAIR: usize = 2;

/// Where the names of gauges are.
const AT_GAUGES: usize = HEADER + COUNTERS * PAIR;

/// Where the cells of gauges are, those of one process beside each other, so that processes do not share lines of the processor's cache.
const AT_CELLS: usize = AT_GAUGES + GAUGES;

/// The most keys.
pub const MOST_KEYS: usize = 1 << 24;

/// The most processes.
const MOST_PROCESSES: usize = 1 << 19;

/// How large a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Of how many keys it has cells.
    pub keys: usize,
    /// How many processes may have a part in gauges at a time.
    pub processes: usize,
}

impl Size {
    fn is_possible(self) -> bool {
        (1..=MOST_KEYS).contains(&self.keys) && (1..=MOST_PROCESSES).contains(&self.processes)
    }

    fn words(self) -> usize {
        AT_CELLS + self.processes * GAUGES + self.keys * PAIR
    }
}

/// The table, as one process sees it. Clones are the same table.
#[derive(Clone)]
pub struct SharedTable {
    memory: Arc<Memory>,
    /// Whose cells of gauges this process writes, counted from 0.
    process: usize,
}

struct Memory {
    words: Words,
    size: Size,
    secret: (u64, u64),
    clock: Clock,
}

enum Words {
    Heap(Box<[AtomicU64]>),
    #[cfg(target_os = "linux")]
    Shared(SharedWords),
}

enum Clock {
    #[cfg(target_os = "linux")]
    Boot,
    /// Since then, for a process that is alone.
    Since(Instant),
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        match self {
            Words::Heap(words) => words,
            #[cfg(target_os = "linux")]
            Words::Shared(words) => words,
        }
    }
}

impl fmt::Debug for SharedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTable").field("size", &self.memory.size).finish_non_exhaustive()
    }
}

impl SharedTable {
    /// A table of this size, and the file through which other processes open it. `secret` keeps clients from choosing keys that
    /// collide.
    ///
    /// # Errors
    /// Where the kernel gives no memory, and for a size that no table has.
    #[cfg(target_os = "linux")]
    pub fn create(size: Size, secret: [u8; 16]) -> io::Result<(SharedTable, OwnedFd)> {
        if !size.is_possible() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (words, file) = SharedWords::create("multi-node-limits", size.words())?;
        let secret = halves(secret);
        words[AT_KEYS].store(size.keys as u64, Relaxed);
        words[AT_PROCESSES].store(size.processes as u64, Relaxed);
        words[AT_SECRET].store(secret.0, Relaxed);
        words[AT_SECRET + 1].store(secret.1, Relaxed);
        words[AT_MAGIC].store(MAGIC, Relaxed);
        let memory = Memory { words: Words::Shared(words), size, secret, clock: Clock::Boot };
        Ok((SharedTable { memory: Arc::new(memory), process: 0 }, file))
    }

    /// The table that another process made.
    ///
    /// # Errors
    /// `InvalidData` where the file is no such table, or one of another layout.
    #[cfg(target_os = "linux")]
    pub fn open(file: &OwnedFd) -> io::Result<SharedTable> {
        let shared = SharedWords::open(file)?;
        let word = |at: usize| shared.get(at).map_or(0, |word| word.load(Relaxed));
        let count = |at: usize| usize::try_from(word(at)).unwrap_or(0);
        // What others may write here later changes neither size nor secret any more.
        let size = Size { keys: count(AT_KEYS), processes: count(AT_PROCESSES) };
        let secret = (word(AT_SECRET), word(AT_SECRET + 1));
        let is_one = word(AT_MAGIC) == MAGIC && size.is_possible() && shared.len() >= size.words();
        if !is_one {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is no table of limits of this version"));
        }
        let memory = Memory { words: Words::Shared(shared), size, secret, clock: Clock::Boot };
        Ok(SharedTable { memory: Arc::new(memory), process: 0 })
    }

    /// A table of a process that is alone.
    pub fn local(keys: usize, secret: [u8; 16]) -> SharedTable {
        let size = Size { keys: keys.clamp(1, MOST_KEYS), processes: 1 };
        let words = (0..size.words()).map(|_| AtomicU64::new(0)).collect();
        let clock = Clock::Since(Instant::now());
        let memory = Memory { words: Words::Heap(words), size, secret: halves(secret), clock };
        SharedTable { memory: Arc::new(memory), process: 0 }
    }

    /// The same table as this process sees it. `None`: the table has no cells for it.
    pub fn of_process(self, process: usize) -> Option<SharedTable> {
        (process < self.memory.size.processes).then_some(SharedTable { process, ..self })
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        self.memory.size
    }

    /// A process has ended: what it has added to gauges no longer counts.
    pub fn clear_gauges_of(&self, process: usize) {
        if process < self.memory.size.processes {
            let cells = (0..GAUGES).map(|gauge| self.gauge_cell(process, gauge));
            cells.for_each(|cell| cell.store(0, Relaxed));
        }
    }

    /// The tag of each gauge's name.
    pub(crate) fn gauges(&self) -> &[AtomicU64] {
        &self.memory.words[AT_GAUGES..AT_CELLS]
    }

    /// This process's part of a gauge.
    pub(crate) fn own_gauge_cell(&self, gauge: usize) -> &AtomicU64 {
        self.gauge_cell(self.process, gauge)
    }

    /// The parts of all processes in a gauge.
    pub(crate) fn gauge_cells(&self, gauge: usize) -> impl Iterator<Item = &AtomicU64> {
        (0..self.memory.size.processes).map(move |process| self.gauge_cell(process, gauge))
    }

    fn gauge_cell(&self, process: usize, gauge: usize) -> &AtomicU64 {
        &self.memory.words[AT_CELLS + process * GAUGES + gauge]
    }

    /// How many checks found no cell since the table was made, and were allowed.
    pub fn overflows(&self) -> u64 {
        self.memory.words[AT_OVERFLOWS].load(Relaxed)
    }

    pub(crate) fn overflowed(&self) {
        self.memory.words[AT_OVERFLOWS].fetch_add(1, Relaxed);
    }

    /// Nanoseconds that are the same in all processes, and above 0.
    pub(crate) fn now(&self) -> u64 {
        match self.memory.clock {
            #[cfg(target_os = "linux")]
            Clock::Boot => boot_time_ns(),
            Clock::Since(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1),
        }
    }

    pub(crate) fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.memory.secret.0, self.memory.secret.1)
    }

    /// Which of the tags is the name's. A name takes the first place that is free and stays there: two processes that take places for one
    /// name meet at the same. `None`: all places have other names.
    pub(crate) fn place_of<'a>(&self, name: &str, mut tags: impl Iterator<Item = &'a AtomicU64>) -> Option<usize> {
        let mut hasher = self.hasher();
        hasher.write(name.as_bytes());
        let tag = tag(&hasher);
        tags.position(|there| match there.compare_exchange(0, tag, SeqCst, SeqCst) {
            Ok(_) => true,
            Err(there) => there == tag,
        })
    }

    /// The pair of words of each counter: its name's tag and its value.
    pub(crate) fn counters(&self) -> &[AtomicU64] {
        &self.memory.words[HEADER..AT_GAUGES]
    }

    /// Where a key of this tag may have its cell.
    pub(crate) fn window(&self, tag: u64) -> Window<'_> {
        let Size { keys, processes } = self.memory.size;
        let first = AT_CELLS + processes * GAUGES;
        Window::new(&self.memory.words[first..first + keys * PAIR], tag)
    }
}

fn halves(secret: [u8; 16]) -> (u64, u64) {
    let half = |from: usize| secret[from..from + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    (half(0), half(8))
}

/// The hash as a tag, which is never 0: that is no key's.
pub(crate) fn tag(hasher: &SipHasher13) -> u64 {
    hasher.finish().max(1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn another_process_sees_the_same_table() {
        let (table, file) = SharedTable::create(Size { keys: 100, processes: 3 }, [7; 16]).expect("made");
        let other = SharedTable::open(&file).expect("opened");
        table.overflowed();
        assert_eq!((other.size(), other.overflows()), (Size { keys: 100, processes: 3 }, 1));
        assert!(other.clone().of_process(2).is_some() && other.clone().of_process(3).is_none());
        assert_eq!(tag(&table.hasher()), tag(&other.hasher()));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let (words, file) = SharedWords::create("other", 4096).expect("made");
        assert!(SharedTable::open(&file).is_err());
        words[AT_MAGIC].store(MAGIC, Relaxed);
        words[AT_PROCESSES].store(1, Relaxed);
        for keys in [0, 4096, u64::MAX] {
            words[AT_KEYS].store(keys, Relaxed);
            assert!(SharedTable::open(&file).is_err(), "{keys} keys");
        }
        words[AT_KEYS].store(100, Relaxed);
        for processes in [0, 100, u64::MAX] {
            words[AT_PROCESSES].store(processes, Relaxed);
            assert!(SharedTable::open(&file).is_err(), "{processes} processes");
        }
        words[AT_PROCESSES].store(2, Relaxed);
        assert!(SharedTable::open(&file).is_ok());
        words[AT_MAGIC].store(MAGIC + 1, Relaxed);
        assert!(SharedTable::open(&file).is_err(), "another layout");
        for (keys, processes) in [(0, 1), (MOST_KEYS + 1, 1), (1, 0), (1, MOST_PROCESSES + 1)] {
            assert!(
                SharedTable::create(Size { keys, processes }, [0; 16]).is_err(),
                "{keys} keys, {processes} processes"
            );
        }
    }
}
