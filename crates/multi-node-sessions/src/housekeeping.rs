//! The thread that removes expired sessions and writes the log back into the database, in one process at a time.

use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use multi_node_sys::log;
use rusqlite::Connection;

use crate::connection;
use crate::directory::Files;
use crate::error::SessionError;
use crate::locking::{FileLock, pause};
use crate::settings::Settings;
use crate::statements::Change;
use crate::writer::Writer;

/// Expired sessions that one transaction removes, so that other writes wait for a millisecond at most.
const SWEEP: u32 = 200;

/// A log that is larger is written back.
const LARGE_LOG: u64 = 4 << 20;

/// A log that is larger is written back although writers have to wait for it.
const VERY_LARGE_LOG: u64 = 16 << 20;

/// How often a checkpoint asks for a lock, every half millisecond, before it is left for later.
const CHECKPOINT_TRIES: i32 = 400;

pub(crate) struct Housekeeping {
    pub(crate) files: Files,
    pub(crate) settings: Settings,
    /// The program may drop the database while this thread sleeps.
    pub(crate) writer: Weak<Writer>,
    /// A message after some hundreds of changes; closed when the writer has ended.
    pub(crate) written: Receiver<()>,
}

impl Housekeeping {
    pub(crate) fn start(self) -> Result<(), SessionError> {
        let path = self.files.database();
        let started = std::thread::Builder::new().name("sessions-keep".to_owned()).spawn(move || self.run());
        started.map(|_| ()).map_err(SessionError::files("start the thread that keeps house", &path))
    }

    fn run(self) {
        let mut next_sweep = Instant::now() + self.sweep_pause();
        loop {
            match self.written.recv_timeout(next_sweep.saturating_duration_since(Instant::now())) {
                Ok(()) => self.alone(Housekeeping::write_back),
                Err(RecvTimeoutError::Timeout) => {
                    self.alone(|this| this.sweep().and_then(|()| this.write_back()));
                    next_sweep = Instant::now() + self.sweep_pause();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Processes that were started together do not come together.
    fn sweep_pause(&self) -> Duration {
        self.settings.sweep_interval.mul_f64(0.75 + fastrand::f64() / 2.0)
    }

    /// Does it if no other process is at it.
    fn alone(&self, task: impl FnOnce(&Housekeeping) -> Result<(), SessionError>) {
        let done = match FileLock::try_acquire(&self.files.housekeeping_lock()) {
            Ok(None) => return,
            Ok(Some(_lock)) => task(self),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            log::warn!(%error, "sessions: expired sessions are not removed, or the log is not written back; the next try follows");
        }
    }

    fn sweep(&self) -> Result<(), SessionError> {
        // The writer is held for one transaction at a time, so that it can end.
        let step = || {
            let Some(writer) = self.writer.upgrade() else { return Ok(0) };
            let outcome = writer.enqueue(Change::Sweep { at_most: SWEEP })?;
            drop(writer);
            outcome.blocking_recv().unwrap_or(Ok(0))
        };
        while step()? >= SWEEP as usize {
            pause(Duration::from_millis(2));
        }
        Ok(())
    }

    fn write_back(&self) -> Result<(), SessionError> {
        if self.log_size() < LARGE_LOG {
            return Ok(());
        }
        let path = self.files.database();
        let failed = |error: rusqlite::Error| SessionError::sqlite("write back the log of", &path, &error);
        let mut connection = connection::open(&path, &self.settings).map_err(failed)?;
        checkpoint(&connection, "PASSIVE").map_err(failed)?;
        if self.log_size() >= VERY_LARGE_LOG {
            connection.busy_handler(Some(wait_for_lock)).map_err(failed)?;
            checkpoint(&connection, "TRUNCATE").map_err(failed)?;
        }
        Ok(())
    }

    fn log_size(&self) -> u64 {
        self.files.log().metadata().map_or(0, |found| found.len())
    }
}

/// Another process that reads or writes back is no failure: the rest is for the next time.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}

fn wait_for_lock(tries: i32) -> bool {
    pause(Duration::from_micros(500));
    tries < CHECKPOINT_TRIES
}
