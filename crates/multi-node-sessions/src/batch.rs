//! Several changes as one transaction.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::clock::unix_millis;
use crate::directory::Files;
use crate::error::{SessionError, is_busy};
use crate::holder;
use crate::locking::pause;
use crate::room::{NoRoom, Room};
use crate::settings::Settings;
use crate::statements::Change;

/// Pauses between two tries to get the lock: from the first to the longest. Most waits are for one transaction, of some 50 µs.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_micros(250);

/// What a change has come to: the number of sessions that it changed.
pub(crate) type Outcome = Result<usize, SessionError>;

/// The connection that writes.
pub(crate) struct WriteConnection {
    connection: Connection,
    path: PathBuf,
    index: PathBuf,
    identity: Option<(u64, u64)>,
    room: Room,
    busy_deadline: Duration,
}

impl WriteConnection {
    pub(crate) fn new(connection: Connection, files: &Files, settings: &Settings) -> WriteConnection {
        let path = files.database();
        WriteConnection {
            connection,
            identity: identity(&path),
            index: files.index(),
            room: Room::new(path.clone(), settings),
            path,
            busy_deadline: settings.busy_deadline,
        }
    }

    /// Waits for other processes until the deadline; then nothing has happened.
    pub(crate) fn begin(&mut self, deadline: Instant) -> Result<(), SessionError> {
        let mut longest = FIRST_PAUSE;
        loop {
            match self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
                Ok(_) => return self.check_identity(),
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    pause(longest);
                    longest = (longest * 3 / 2).min(LONGEST_PAUSE);
                }
                Err(error) if is_busy(&error) => return Err(self.busy()),
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// All changes of a transaction that has begun. Each has its own outcome, unless the transaction as a whole fails.
    pub(crate) fn execute<'a>(
        &mut self,
        changes: impl Iterator<Item = &'a Change>,
    ) -> Result<Vec<Outcome>, SessionError> {
        self.room.begin_transaction();
        let now = unix_millis();
        let mut outcomes = Vec::new();
        for change in changes {
            let outcome = self.change(change, now);
            // Some failures end the whole transaction.
            if self.connection.is_autocommit() {
                return Err(outcome.err().unwrap_or_else(|| SessionError::Closed { path: self.path.clone() }));
            }
            outcomes.push(outcome);
        }
        self.commit()?;
        Ok(outcomes)
    }

    fn change(&mut self, change: &Change, now: i64) -> Outcome {
        if let Some((id, bytes)) = change.stores() {
            match self.room.make(&self.connection, id, bytes) {
                Err(NoRoom::Full(error)) => return Err(error),
                Err(NoRoom::Sqlite(error)) => return Err(self.failed(&error)),
                Ok(()) => {}
            }
        }
        change.execute(&self.connection, now).map_err(|error| self.failed(&error))
    }

    fn commit(&mut self) -> Result<(), SessionError> {
        let committed = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        committed.map(|_| ()).map_err(|error| {
            self.roll_back();
            self.failed(&error)
        })
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // All callers that wait get the error that came first.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Processes that have a removed file open could still write to it, and other processes would not see that.
    fn check_identity(&self) -> Result<(), SessionError> {
        if self.identity == identity(&self.path) {
            return Ok(());
        }
        self.roll_back();
        Err(SessionError::Replaced { path: self.path.clone() })
    }

    fn busy(&self) -> SessionError {
        let holder = holder::describe(&self.index);
        SessionError::Busy { path: self.path.clone(), waited: self.busy_deadline, holder }
    }

    fn failed(&self, error: &rusqlite::Error) -> SessionError {
        SessionError::sqlite("write", &self.path, error)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}
