//! A lock among processes that is a file (flock(2)). The kernel releases it when its holder ends.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::directory::open_private;
use crate::error::SessionError;

/// The lock is held until this is dropped.
pub(crate) struct FileLock {
    file: File,
}

impl FileLock {
    /// The lock, if nobody has it.
    pub(crate) fn try_acquire(path: &Path) -> Result<Option<FileLock>, SessionError> {
        let file = open_private(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FileLock { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(SessionError::files("lock", path)(error)),
        }
    }

    /// Waits for the lock until the deadline.
    pub(crate) fn acquire(path: &Path, deadline: Duration) -> Result<FileLock, SessionError> {
        let begin = Instant::now();
        loop {
            if let Some(lock) = FileLock::try_acquire(path)? {
                return Ok(lock);
            }
            if begin.elapsed() >= deadline {
                return Err(SessionError::Busy { path: path.to_owned(), waited: deadline, holder: String::new() });
            }
            pause(Duration::from_millis(2));
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// Sleeps for half of this time to all of it, so that processes that wait do not wake together.
pub(crate) fn pause(at_most: Duration) {
    let most = u64::try_from(at_most.as_micros()).unwrap_or(u64::MAX).max(2);
    std::thread::sleep(Duration::from_micros(fastrand::u64(most / 2..=most)));
}
