//! The load table: what each process has to do, for the others to see.
//!
//! The master makes a memfd and every node maps it. A line has one writer, the process whose line it is, and once that
//! has ended, the master. There are two exceptions: all may move the mark up to which its recent connections are forgotten, and the
//! master counts skipped messages. Everybody reads.
#![allow(unsafe_code)]
// Why the unsafe code here is sound. A mapping is used only as one `Header` and `count` `Cells` behind it, and every
// field of both is an atomic: all bytes are valid for them, and other processes' writes are atomic accesses like our
// own. `count` is computed from the file's size when it is mapped, never read from the shared memory, so what a
// process writes there can mislead a count but never an index. The file is sealed against being resized, which is
// checked when it is opened, so no page of the mapping can vanish. The mapping is page-aligned, which is more than the
// types ask for, and it is unmapped only when the last handle is dropped, while references to it borrow from a handle.

mod line;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

#[cfg(multi_process)]
use std::os::fd::OwnedFd;

pub use self::line::Line;
use super::gate::{FRESH_MS, Recent, View};

const MAGIC: u64 = u64::from_be_bytes(*b"mn-load\0");
const VERSION: u32 = 1;

const SERVING: u32 = 1;
const LATE: u32 = 2;
const ASLEEP: u32 = 4;
const PAUSED: u32 = 8;
const ON_TRIAL: u32 = 16;
const BUSY: u32 = 32;

#[derive(Default)]
#[repr(C, align(128))]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    /// One more than the highest line ever taken, so that a look at all lines ends there.
    used: AtomicU32,
    /// How often a process has given an alarm because a connection waits.
    alarms: AtomicU64,
}

/// One line. What the gate reads stands apart from what changes with each request.
#[derive(Default)]
#[repr(C, align(128))]
struct Cells {
    gate: GateCells,
    work: WorkCells,
}

#[derive(Default)]
#[repr(C, align(64))]
struct GateCells {
    flags: AtomicU32,
    beat: AtomicU64,
    open: AtomicU64,
    accepted: AtomicU64,
    recent: AtomicU64,
    /// The value of `accepted` when all processes had equally many connections open, which resets the past. The process that
    /// sees this writes it, for all lines.
    forgotten: AtomicU64,
}

#[derive(Default)]
#[repr(C, align(64))]
struct WorkCells {
    begun: AtomicU64,
    ended: AtomicU64,
    errors: AtomicU64,
    aborted: AtomicU64,
    /// Messages of kinds that their receiver did not know. The master counts those here that it was sent by this line's process.
    skipped: AtomicU64,
}

/// What a line has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections open now.
    pub open: u64,
    /// Connections taken since the process began to serve.
    pub accepted: u64,
    /// Requests begun since then.
    pub requests: u64,
    /// Requests begun and not fully answered.
    pub in_flight: u64,
    /// Messages of kinds that their receiver did not know.
    pub skipped: u64,
}

/// Requests of a line that did not end well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Answered with a status that blames the server (5xx), or not at all since the service failed.
    pub errors: u64,
    /// Not fully answered when the drain's time was over.
    pub aborted: u64,
}

/// The table; clones are the same table.
#[derive(Clone)]
pub struct LoadTable(Arc<Memory>);

enum Memory {
    Heap {
        header: Box<Header>,
        lines: Box<[Cells]>,
    },
    #[cfg(multi_process)]
    Mapped(Mapping),
}

impl LoadTable {
    /// A table in memory that the returned file carries to other processes.
    #[cfg(multi_process)]
    pub fn create(lines: usize) -> io::Result<(LoadTable, OwnedFd)> {
        let file = Mapping::file(lines)?;
        let table = LoadTable(Arc::new(Memory::Mapped(Mapping::new(&file)?)));
        table.0.header().magic.store(MAGIC, Relaxed);
        table.0.header().version.store(VERSION, Release);
        Ok((table, file))
    }

    /// The table that another process made.
    ///
    /// # Errors
    ///
    /// `InvalidData` where the file is not such a table.
    #[cfg(multi_process)]
    pub fn open(file: OwnedFd) -> io::Result<LoadTable> {
        let table = LoadTable(Arc::new(Memory::Mapped(Mapping::new(&file)?)));
        drop(file); // the mapping stands without it
        let header = table.0.header();
        if header.version.load(Acquire) != VERSION || header.magic.load(Relaxed) != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is no load table of this version"));
        }
        Ok(table)
    }

    /// A table of one line for a process that is alone.
    pub fn local() -> LoadTable {
        LoadTable::on_heap(1)
    }

    /// A table that does not leave this process.
    pub(crate) fn on_heap(lines: usize) -> LoadTable {
        let lines = (0..lines).map(|_| Cells::default()).collect();
        LoadTable(Arc::new(Memory::Heap { header: Box::default(), lines }))
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.0.lines().len()
    }

    /// The handle of a line's one writer.
    pub fn line(&self, index: usize) -> Option<Line> {
        self.0.lines().get(index)?;
        let used = u32::try_from(index + 1).ok()?;
        self.0.header().used.fetch_max(used, Relaxed);
        Some(Line { table: self.clone(), index })
    }

    /// What a line has counted; zeros for a line that there is not.
    pub fn counts(&self, index: usize) -> Counts {
        let Some(Cells { gate, work }) = self.0.lines().get(index) else { return Counts::default() };
        // Read in this order, a request that ends meanwhile cannot make `in_flight` too low.
        let ended = work.ended.load(Acquire);
        let requests = work.begun.load(Relaxed);
        Counts {
            open: gate.open.load(Relaxed),
            accepted: gate.accepted.load(Relaxed),
            requests,
            in_flight: requests.saturating_sub(ended),
            skipped: work.skipped.load(Relaxed),
        }
    }

    /// Which of a line's requests did not end well; zeros for a line that there is not.
    pub fn faults(&self, index: usize) -> Faults {
        let Some(Cells { work, .. }) = self.0.lines().get(index) else { return Faults::default() };
        Faults { errors: work.errors.load(Relaxed), aborted: work.aborted.load(Relaxed) }
    }

    /// How many requests a line's process has in flight, if it can take some of a process that computes.
    #[cfg(multi_process)]
    pub fn in_flight_if_free(&self, index: usize) -> Option<u64> {
        let view = self.0.lines().get(index)?.gate.view(multi_node_sys::epoll::monotonic_ms());
        let free = view.serving && !view.late && !view.busy && !view.paused && !view.on_trial;
        free.then(|| self.counts(index).in_flight)
    }

    /// A message was skipped, by the process of this line or by the master that it was sent to.
    pub fn skipped(&self, index: usize) {
        if let Some(Cells { work, .. }) = self.0.lines().get(index) {
            work.skipped.fetch_add(1, Relaxed);
        }
    }

    /// After a process's end: it takes part no more, and has nothing open. Says what it has counted.
    pub fn close(&self, index: usize) -> Counts {
        if let Some(Cells { gate, work }) = self.0.lines().get(index) {
            gate.flags.store(0, Relaxed);
            gate.open.store(0, Relaxed);
            work.ended.store(work.begun.load(Relaxed), Relaxed);
        }
        self.counts(index)
    }

    /// Makes a closed line as good as new.
    pub fn clear(&self, index: usize) {
        let Some(Cells { gate, work }) = self.0.lines().get(index) else { return };
        let gate = [&gate.beat, &gate.accepted, &gate.recent, &gate.forgotten];
        let work = [&work.begun, &work.ended, &work.errors, &work.aborted, &work.skipped];
        gate.into_iter().chain(work).for_each(|cell| cell.store(0, Relaxed));
    }

    /// Fills `views` with what the lines in use say.
    pub(super) fn look(&self, now_ms: u64, views: &mut Vec<View>) {
        views.clear();
        views.extend(self.in_use().iter().map(|cells| cells.gate.view(now_ms)));
    }

    /// Connections until now no longer count in the balance.
    pub(super) fn forget_recent(&self) {
        for Cells { gate, .. } in self.in_use() {
            gate.forgotten.store(gate.accepted.load(Relaxed), Relaxed);
        }
    }

    /// Connections taken by all processes together; changes whenever one of them takes one.
    pub(super) fn accepted(&self) -> u64 {
        self.in_use().iter().fold(0, |sum, cells| sum.wrapping_add(cells.gate.accepted.load(Relaxed)))
    }

    /// Marks that a connection waits, for the processes that are woken after this.
    pub(super) fn alarm(&self) {
        self.0.header().alarms.fetch_add(1, Release);
    }

    /// How often that was said.
    pub(super) fn alarms(&self) -> u64 {
        self.0.header().alarms.load(Acquire)
    }

    /// Whether any other process than the one of this line serves.
    pub(super) fn serves_beside(&self, index: usize) -> bool {
        let serving = |cells: &Cells| cells.gate.flags.load(Relaxed) & SERVING != 0;
        self.in_use().iter().enumerate().any(|(other, cells)| other != index && serving(cells))
    }

    fn in_use(&self) -> &[Cells] {
        let lines = self.0.lines();
        let used = usize::try_from(self.0.header().used.load(Relaxed)).unwrap_or(usize::MAX);
        &lines[..used.min(lines.len())]
    }
}

impl fmt::Debug for LoadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadTable").field("lines", &self.lines()).finish_non_exhaustive()
    }
}

impl GateCells {
    fn view(&self, now_ms: u64) -> View {
        let flags = self.flags.load(Relaxed);
        let fresh = now_ms.saturating_sub(self.beat.load(Relaxed)) <= FRESH_MS;
        let accepted = self.accepted.load(Relaxed);
        let remembered = accepted.wrapping_sub(self.forgotten.load(Relaxed));
        View {
            serving: flags & SERVING != 0 && fresh,
            late: flags & LATE != 0,
            busy: flags & BUSY != 0,
            asleep: flags & ASLEEP != 0,
            open: self.open.load(Relaxed),
            recent: Recent(self.recent.load(Relaxed)).at(now_ms).min(remembered),
            accepted,
            paused: flags & PAUSED != 0,
            on_trial: flags & ON_TRIAL != 0,
        }
    }

    fn set(&self, flag: u32, on: bool) {
        match on {
            true => self.flags.fetch_or(flag, Relaxed),
            false => self.flags.fetch_and(!flag, Relaxed),
        };
    }
}

impl Memory {
    fn header(&self) -> &Header {
        match self {
            Memory::Heap { header, .. } => header,
            #[cfg(multi_process)]
            Memory::Mapped(mapping) => mapping.header(),
        }
    }

    fn lines(&self) -> &[Cells] {
        match self {
            Memory::Heap { lines, .. } => lines,
            #[cfg(multi_process)]
            Memory::Mapped(mapping) => mapping.lines(),
        }
    }
}

#[cfg(multi_process)]
use mapping::Mapping;

#[cfg(multi_process)]
mod mapping {
    use std::ffi::c_void;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::ptr::{self, NonNull};

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

    use super::{Cells, Header};

    /// Three times 4096 processes fit; a file that claims more is not ours.
    const MAX_BYTES: usize = 2 << 20;
    const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

    /// A mapped file that holds a header and lines.
    pub(super) struct Mapping {
        start: NonNull<c_void>,
        bytes: usize,
        count: usize,
    }

    // SAFETY: the memory is made of atomics, and the handle itself is never changed.
    unsafe impl Send for Mapping {}
    // SAFETY: as above.
    unsafe impl Sync for Mapping {}

    impl Mapping {
        /// A file of zeros with room for `lines`, whose size can no longer be changed.
        pub(super) fn file(lines: usize) -> io::Result<OwnedFd> {
            let bytes = lines.checked_mul(size_of::<Cells>()).and_then(|b| b.checked_add(size_of::<Header>()));
            let bytes = bytes.filter(|&bytes| bytes <= MAX_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
            let file = memfd_create("multi-node-load", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
            ftruncate(&file, bytes as u64)?;
            fcntl_add_seals(&file, SIZE_SEALS | SealFlags::SEAL)?;
            Ok(file)
        }

        pub(super) fn new(file: &OwnedFd) -> io::Result<Mapping> {
            let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
            if !fcntl_get_seals(file)?.contains(SIZE_SEALS) {
                return Err(invalid("the load table can be resized"));
            }
            let bytes = usize::try_from(fstat(file)?.st_size).unwrap_or(0);
            if bytes < size_of::<Header>() || bytes > MAX_BYTES {
                return Err(invalid("the load table has a wrong size"));
            }
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: the address is for the kernel to choose, so no memory in use is mapped over.
            let start = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, file, 0)? };
            let start = NonNull::new(start).ok_or_else(|| invalid("the load table was mapped at address 0"))?;
            Ok(Mapping { start, bytes, count: (bytes - size_of::<Header>()) / size_of::<Cells>() })
        }

        pub(super) fn header(&self) -> &Header {
            // SAFETY: `new` saw to it that the mapping is at least so long; see the top of the file for the rest.
            unsafe { self.start.cast::<Header>().as_ref() }
        }

        pub(super) fn lines(&self) -> &[Cells] {
            // SAFETY: `count` lines fit behind the header, as `new` computed; see the top of the file for the rest.
            unsafe {
                let first = self.start.cast::<Header>().add(1).cast::<Cells>();
                std::slice::from_raw_parts(first.as_ptr(), self.count)
            }
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: the range is the one that `new` mapped, and nothing borrows from a handle that is dropped.
            let _ = unsafe { munmap(self.start.as_ptr(), self.bytes) };
        }
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
