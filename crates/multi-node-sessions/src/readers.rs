//! Connections that read. A reader waits for no writer.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::connection;
use crate::error::{SessionError, is_busy};
use crate::locking::pause;
use crate::settings::Settings;

/// More would not be faster: a read takes microseconds.
const MOST: usize = 8;

pub(crate) struct Readers {
    path: PathBuf,
    settings: Settings,
    /// Opened at their first use.
    slots: Box<[Mutex<Option<Connection>>]>,
}

impl Readers {
    pub(crate) fn new(path: &Path, settings: &Settings) -> Readers {
        let slots = std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
        let slots = (0..slots).map(|_| Mutex::new(None)).collect();
        Readers { path: path.to_owned(), settings: *settings, slots }
    }

    /// Reads in this thread. Waits only while another process recovers the log after a crash, until the deadline.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        mut query: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SessionError> {
        let begin = Instant::now();
        loop {
            match self.try_read(&mut query) {
                Err(error) if is_busy(&error) && begin.elapsed() < self.settings.busy_deadline => {
                    pause(Duration::from_millis(1));
                }
                Err(error) if is_busy(&error) => return Err(self.busy(begin)),
                done => return done.map_err(|error| SessionError::sqlite(action, &self.path, &error)),
            }
        }
    }

    /// Reads in this thread; `None` if it would have to wait for another process.
    pub(crate) fn read_now<T>(
        &self,
        action: &'static str,
        mut query: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Option<Result<T, SessionError>> {
        match self.try_read(&mut query) {
            Err(error) if is_busy(&error) => None,
            done => Some(done.map_err(|error| SessionError::sqlite(action, &self.path, &error))),
        }
    }

    fn try_read<T>(&self, query: &mut impl FnMut(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut slot = self.slot();
        if slot.is_none() {
            let opened = connection::open(&self.path, &self.settings)?;
            opened.execute_batch("PRAGMA query_only = ON")?;
            *slot = Some(opened);
        }
        query(slot.as_ref().expect("it was opened above"))
    }

    /// A connection that nobody uses; where all are in use, one that will be free in microseconds.
    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        let free = self.slots.iter().find_map(|slot| match slot.try_lock() {
            Ok(slot) => Some(slot),
            Err(TryLockError::Poisoned(slot)) => Some(slot.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let any = || &self.slots[fastrand::usize(..self.slots.len())];
        free.unwrap_or_else(|| any().lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn busy(&self, begin: Instant) -> SessionError {
        SessionError::Busy { path: self.path.clone(), waited: begin.elapsed(), holder: String::new() }
    }
}
