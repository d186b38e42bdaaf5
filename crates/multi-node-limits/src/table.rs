//! The shared table: a header, counters, and cells for the keys of limits.

use std::fmt;
use std::hash::Hasher;
use std::io;
use std::ops::Deref;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

#[cfg(target_os = "linux")]
use multi_node_sys::shared_words::{SharedWords, boot_time_ns};
use siphasher::sip::SipHasher13;

use crate::window::Window;

/// The first word: what the file is, and the version of its layout. Another version has another word.
const MAGIC: u64 = u64::from_be_bytes(*b"mn-lim\0\x01");

/// Words of the header, a line of the processor's cache.
const HEADER: usize = 8;
const AT_MAGIC: usize = 0;
/// Of how many keys the table has cells.
const AT_KEYS: usize = 1;
/// The key of the hash, two words.
const AT_SECRET: usize = 2;
/// How many checks found no cell.
const AT_OVERFLOWS: usize = 4;

/// Names of counters there may be.
pub(crate) const COUNTERS: usize = 256;

/// Words of a counter and of a cell.
const PAIR: usize = 2;

/// The most keys.
pub const MOST_KEYS: usize = 1 << 24;

/// The table. Clones are the same table.
#[derive(Clone)]
pub struct SharedTable(Arc<Memory>);

struct Memory {
    words: Words,
    keys: usize,
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
        f.debug_struct("SharedTable").field("keys", &self.0.keys).finish_non_exhaustive()
    }
}

impl SharedTable {
    /// A table with cells for this number of keys, and the file through which other processes open it. `secret` keeps clients from choosing keys that
    /// collide.
    ///
    /// # Errors
    /// Where the kernel gives no memory, and for no keys or more than [`MOST_KEYS`].
    #[cfg(target_os = "linux")]
    pub fn create(keys: usize, secret: [u8; 16]) -> io::Result<(SharedTable, OwnedFd)> {
        if !(1..=MOST_KEYS).contains(&keys) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (words, file) = SharedWords::create("multi-node-limits", words(keys))?;
        let secret = halves(secret);
        words[AT_KEYS].store(keys as u64, Relaxed);
        words[AT_SECRET].store(secret.0, Relaxed);
        words[AT_SECRET + 1].store(secret.1, Relaxed);
        words[AT_MAGIC].store(MAGIC, Relaxed);
        Ok((SharedTable(Arc::new(Memory { words: Words::Shared(words), keys, secret, clock: Clock::Boot })), file))
    }

    /// The table that another process made.
    ///
    /// # Errors
    /// `InvalidData` where the file is no such table, or one of another layout.
    #[cfg(target_os = "linux")]
    pub fn open(file: &OwnedFd) -> io::Result<SharedTable> {
        let shared = SharedWords::open(file)?;
        let word = |at: usize| shared.get(at).map_or(0, |word| word.load(Relaxed));
        // What others may write here later changes neither count nor secret any more.
        let (keys, secret) = (usize::try_from(word(AT_KEYS)).unwrap_or(0), (word(AT_SECRET), word(AT_SECRET + 1)));
        let is_one = word(AT_MAGIC) == MAGIC && (1..=MOST_KEYS).contains(&keys) && shared.len() >= words(keys);
        if !is_one {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is no table of limits of this version"));
        }
        Ok(SharedTable(Arc::new(Memory { words: Words::Shared(shared), keys, secret, clock: Clock::Boot })))
    }

    /// A table of a process that is alone.
    pub fn local(keys: usize, secret: [u8; 16]) -> SharedTable {
        let keys = keys.clamp(1, MOST_KEYS);
        let words = (0..words(keys)).map(|_| AtomicU64::new(0)).collect();
        let clock = Clock::Since(Instant::now());
        SharedTable(Arc::new(Memory { words: Words::Heap(words), keys, secret: halves(secret), clock }))
    }

    /// Of how many keys it has cells.
    pub fn keys(&self) -> usize {
        self.0.keys
    }

    /// How many checks found no cell since the table was made, and were allowed.
    pub fn overflows(&self) -> u64 {
        self.0.words[AT_OVERFLOWS].load(Relaxed)
    }

    pub(crate) fn overflowed(&self) {
        self.0.words[AT_OVERFLOWS].fetch_add(1, Relaxed);
    }

    /// Nanoseconds that are the same in all processes, and above 0.
    pub(crate) fn now(&self) -> u64 {
        match self.0.clock {
            #[cfg(target_os = "linux")]
            Clock::Boot => boot_time_ns(),
            Clock::Since(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1),
        }
    }

    pub(crate) fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0.secret.0, self.0.secret.1)
    }

    /// The pair of words of each counter: its name's tag and its value.
    pub(crate) fn counters(&self) -> &[AtomicU64] {
        &self.0.words[HEADER..HEADER + COUNTERS * PAIR]
    }

    /// Where a key of this tag may have its cell.
    pub(crate) fn window(&self, tag: u64) -> Window<'_> {
        let first = HEADER + COUNTERS * PAIR;
        Window::new(&self.0.words[first..first + self.0.keys * PAIR], tag)
    }
}

fn words(keys: usize) -> usize {
    HEADER + (COUNTERS + keys) * PAIR
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
        let (table, file) = SharedTable::create(100, [7; 16]).expect("made");
        let other = SharedTable::open(&file).expect("opened");
        table.overflowed();
        assert_eq!((other.keys(), other.overflows()), (100, 1));
        assert_eq!(tag(&table.hasher()), tag(&other.hasher()));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let (words, file) = SharedWords::create("other", 4096).expect("made");
        assert!(SharedTable::open(&file).is_err());
        words[AT_MAGIC].store(MAGIC, Relaxed);
        for keys in [0, 4096, u64::MAX] {
            words[AT_KEYS].store(keys, Relaxed);
            assert!(SharedTable::open(&file).is_err(), "{keys} keys");
        }
        words[AT_KEYS].store(100, Relaxed);
        assert!(SharedTable::open(&file).is_ok());
        words[AT_MAGIC].store(MAGIC + 1, Relaxed);
        assert!(SharedTable::open(&file).is_err(), "another layout");
        assert!(SharedTable::create(0, [0; 16]).is_err() && SharedTable::create(MOST_KEYS + 1, [0; 16]).is_err());
    }
}
