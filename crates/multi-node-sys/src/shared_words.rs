//! Words of memory that processes share: a file without a name (memfd_create(2)), of a fixed size, that each of them maps.
#![allow(unsafe_code)]
// Why the unsafe code here is sound. The mapping is used as words that are atomics: all bytes are valid for them, and other processes'
// writes are atomic accesses like our own. Their count is computed from the file's size when it is mapped, never read from the memory.
// The file is sealed against being resized, which is checked when it is opened, so no page of the mapping can vanish. The mapping is
// page-aligned, and is unmapped only when its owner is dropped, while references to it borrow from the owner.

use std::ffi::c_void;
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::time::{ClockId, clock_gettime};

/// A file that claims more is not ours, in bytes.
const MAX_BYTES: usize = 1 << 30;
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// Shared words.
#[derive(Debug)]
pub struct SharedWords {
    start: NonNull<c_void>,
    count: usize,
}

// SAFETY: the memory is made of atomics, and the handle itself is never changed.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Makes this number of words, all 0, and the file through which other processes map them. The file's size is sealed.
    pub fn create(name: &str, count: usize) -> io::Result<(SharedWords, OwnedFd)> {
        let bytes = count.checked_mul(size_of::<AtomicU64>()).filter(|&bytes| bytes <= MAX_BYTES);
        let bytes = bytes.ok_or(io::ErrorKind::InvalidInput)?;
        let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, bytes as u64)?;
        fcntl_add_seals(&file, SIZE_SEALS | SealFlags::SEAL)?;
        Ok((SharedWords::open(&file)?, file))
    }

    /// The words of this file, however many.
    ///
    /// # Errors
    /// `InvalidData` where its size may change, or is none that [`create`](SharedWords::create) makes.
    pub fn open(file: &OwnedFd) -> io::Result<SharedWords> {
        let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
        if !fcntl_get_seals(file)?.contains(SIZE_SEALS) {
            return Err(invalid("the shared memory can be resized"));
        }
        let bytes = usize::try_from(fstat(file)?.st_size).unwrap_or(0);
        if bytes < size_of::<AtomicU64>() || bytes > MAX_BYTES {
            return Err(invalid("the shared memory has a wrong size"));
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the address is for the kernel to choose, so no memory in use is mapped over.
        let start = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, file, 0)? };
        let start = NonNull::new(start).ok_or_else(|| invalid("the shared memory was mapped at address 0"))?;
        Ok(SharedWords { start, count: bytes / size_of::<AtomicU64>() })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `open` saw to it that the mapping has `count` words; see the top of the file for the rest.
        unsafe { std::slice::from_raw_parts(self.start.cast::<AtomicU64>().as_ptr(), self.count) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: the range is the one that `open` mapped, and nothing borrows from an owner that is dropped.
        let _ = unsafe { munmap(self.start.as_ptr(), self.count * size_of::<AtomicU64>()) };
    }
}

/// Nanoseconds since the system's start, times of sleep included: the same in all processes.
pub fn boot_time_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn two_mappings_are_the_same_words() {
        let (one, file) = SharedWords::create("words", 5).expect("made");
        let two = SharedWords::open(&file).expect("opened");
        one[4].store(7, Relaxed);
        assert_eq!((two.len(), two[4].load(Relaxed)), (5, 7));
    }

    #[test]
    fn a_file_that_can_be_resized_is_refused() {
        let file = crate::memory::file(&[0; 64]).expect("made");
        assert_eq!(SharedWords::open(&file).expect_err("it has no seals").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_clock_goes_on() {
        let before = boot_time_ns();
        while boot_time_ns() == before {}
        assert!(boot_time_ns() > before);
    }
}
