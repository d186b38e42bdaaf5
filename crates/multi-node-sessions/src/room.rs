//! The database's size has a limit. Where it is reached, the sessions that expire soonest make room.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use multi_node_sys::log;
use rusqlite::Connection;

use crate::error::SessionError;
use crate::settings::Settings;
use crate::statements;

/// The size of SQLite's pages, which our databases are made with.
const PAGE: u64 = 4096;

/// Pages that a change may need beside those of the session's bytes: a leaf of the table and of each index, and their splits.
const PAGES_BESIDE: u64 = 6;

/// How many sessions are removed before the size is looked at again.
const AT_ONCE: u32 = 32;

/// For how long one change may remove others.
const LONGEST: Duration = Duration::from_millis(500);

/// The log tells of removed sessions no more often than this.
const QUIET: Duration = Duration::from_secs(60);

pub(crate) struct Room {
    path: PathBuf,
    max_bytes: u64,
    /// Pages that are left, as far as this transaction knows.
    left: u64,
    evicted: u64,
    told: Option<Instant>,
}

pub(crate) enum NoRoom {
    Sqlite(rusqlite::Error),
    Full(SessionError),
}

impl From<rusqlite::Error> for NoRoom {
    fn from(error: rusqlite::Error) -> Self {
        NoRoom::Sqlite(error)
    }
}

impl Room {
    pub(crate) fn new(path: PathBuf, settings: &Settings) -> Room {
        Room { path, max_bytes: settings.max_bytes, left: 0, evicted: 0, told: None }
    }

    /// Another process may have written since.
    pub(crate) fn begin_transaction(&mut self) {
        self.left = 0;
    }

    /// Makes room for a session of this many bytes.
    pub(crate) fn make(&mut self, connection: &Connection, id: &[u8], bytes: usize) -> Result<(), NoRoom> {
        let needed = bytes as u64 / PAGE + PAGES_BESIDE;
        if self.left < needed {
            self.left = self.pages_left(connection)?;
        }
        if self.left < needed {
            self.evict(connection, id, bytes, needed)?;
        }
        self.left -= needed;
        Ok(())
    }

    fn evict(&mut self, connection: &Connection, id: &[u8], bytes: usize, needed: u64) -> Result<(), NoRoom> {
        let (begin, mut evicted) = (Instant::now(), 0);
        while self.left < needed {
            let removed = statements::evict(connection, id, AT_ONCE)? as u64;
            evicted += removed;
            if removed == 0 || begin.elapsed() > LONGEST {
                let (path, max_bytes) = (self.path.clone(), self.max_bytes);
                return Err(NoRoom::Full(SessionError::Full { path, max_bytes, bytes, evicted }));
            }
            self.left = self.pages_left(connection)?;
        }
        self.tell(evicted);
        Ok(())
    }

    fn pages_left(&self, connection: &Connection) -> rusqlite::Result<u64> {
        let number = |sql| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
        let used = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
        Ok((self.max_bytes / PAGE).saturating_sub(used.unsigned_abs()))
    }

    fn tell(&mut self, evicted: u64) {
        self.evicted += evicted;
        if self.told.is_none_or(|told| told.elapsed() > QUIET) {
            log::warn!(
                path = %self.path.display(), evicted = self.evicted, max_bytes = self.max_bytes,
                "sessions removed before they expired: the database is full; raise `max_bytes`"
            );
            (self.told, self.evicted) = (Some(Instant::now()), 0);
        }
    }
}
