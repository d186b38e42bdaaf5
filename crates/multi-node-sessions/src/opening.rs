//! A database is made once and checked by every process that opens it. One process at a time opens.

use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use multi_node_sys::log;
use rusqlite::Connection;

use crate::connection;
use crate::directory::{self, Files};
use crate::error::{SessionError, is_busy};
use crate::locking::{FileLock, pause};
use crate::settings::{Durability, Settings};

/// "mnss": the file is a database of sessions of this library.
const APPLICATION: i64 = 0x6d6e_7373;
const VERSION: i64 = 1;
const EXPECTED: &str = "sessions of multi-node, version 1";

const TABLE: &str = "CREATE TABLE sessions (key INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, expires INTEGER NOT NULL, data BLOB NOT NULL) STRICT";
const BY_EXPIRY: &str = "CREATE INDEX sessions_by_expiry ON sessions (expires)";

/// Opens the database for writing; makes it where there is none.
pub(crate) fn open(files: &Files, settings: &Settings) -> Result<Connection, SessionError> {
    let mut lock = FileLock::acquire(&files.opening_lock(), settings.busy_deadline)?;
    if settings.durability == Durability::UntilShutdown {
        remove_after_reboot(files, &mut lock)?;
    }
    let path = files.database();
    let exists = path.symlink_metadata().is_ok();
    if !exists {
        make(files, settings)?;
    }
    check_files(files)?;
    let connection = connection::open(&path, settings).map_err(|error| failed(&path, &error))?;
    until(settings.busy_deadline, || verify(&connection)).map_err(|error| verification(&path, error, settings))?;
    Ok(connection)
}

/// What was kept without waiting for the disk may be damaged after a power cut, and is of no use: it was to be kept until shutdown.
fn remove_after_reboot(files: &Files, lock: &mut FileLock) -> Result<(), SessionError> {
    let path = files.opening_lock();
    let Ok(boot) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return Ok(()) };
    let mut before = String::new();
    let mut file = lock.file();
    // A file that is no text is of another boot, too.
    let _ = file.take(100).read_to_string(&mut before);
    if before == boot {
        return Ok(());
    }
    let names = [files.database(), files.log(), files.index()];
    if names.iter().any(|name| name.symlink_metadata().is_ok()) {
        log::info!(path = %files.database().display(), "sessions of an earlier boot removed");
    }
    names.iter().try_for_each(|name| directory::remove(name))?;
    let written = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| file.write_all(boot.as_bytes()));
    written.map_err(SessionError::files("write", &path))
}

/// A database that is not finished never has the name of one that is.
fn make(files: &Files, settings: &Settings) -> Result<(), SessionError> {
    let unfinished = files.unfinished();
    // A log without its database would be taken for the new one's.
    for stale in [&unfinished, &files.log(), &files.index()] {
        directory::remove(stale)?;
    }
    drop(directory::open_private(&unfinished)?);
    let made = connection::create(&unfinished, settings).and_then(|connection| {
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; {TABLE}; {BY_EXPIRY};
             PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
        // The last connection writes the log back and removes it.
        connection.close().map_err(|(_, error)| error)
    });
    made.map_err(|error| SessionError::sqlite("make", &unfinished, &error))?;
    std::fs::rename(&unfinished, files.database()).map_err(SessionError::files("rename", &unfinished))
}

fn check_files(files: &Files) -> Result<(), SessionError> {
    let path = files.database();
    directory::check_file(&path)?;
    let size = path.metadata().map_err(SessionError::files("open", &path))?.len();
    if size == 0 {
        return Err(SessionError::Corrupt { path, cause: "it is empty".to_owned() });
    }
    // SQLite makes them with the database's mode; they may be missing.
    let others = [files.log(), files.index()];
    others.iter().filter(|path| path.symlink_metadata().is_ok()).try_for_each(|path| directory::check_file(path))
}

enum Mismatch {
    Sqlite(rusqlite::Error),
    Schema(String),
    Damage(String),
}

impl From<rusqlite::Error> for Mismatch {
    fn from(error: rusqlite::Error) -> Self {
        Mismatch::Sqlite(error)
    }
}

/// The schema is exactly ours, so that a file has no trigger, view or expression of somebody else's.
fn verify(connection: &Connection) -> Result<(), Mismatch> {
    let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    if (application, version) != (APPLICATION, VERSION) {
        let found = match application {
            APPLICATION => format!("sessions of multi-node, version {version}"),
            _ => format!("data of another program (application id {application:#x})"),
        };
        return Err(Mismatch::Schema(found));
    }
    let mut statement =
        connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid LIMIT 3")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    if found != [TABLE, BY_EXPIRY] {
        return Err(Mismatch::Schema("another schema than its version number says".to_owned()));
    }
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Mismatch::Damage(format!("its journal mode is {mode}, not wal")));
    }
    check_free_pages(connection)
}

/// A free list that is longer than the file would make the database seem empty.
fn check_free_pages(connection: &Connection) -> Result<(), Mismatch> {
    let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let (pages, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
    if free >= pages {
        return Err(Mismatch::Damage(format!("it has {pages} pages, and {free} of them are free")));
    }
    Ok(())
}

/// Tries again while another process recovers the log.
fn until(deadline: Duration, mut attempt: impl FnMut() -> Result<(), Mismatch>) -> Result<(), Mismatch> {
    let begin = Instant::now();
    loop {
        match attempt() {
            Err(Mismatch::Sqlite(error)) if is_busy(&error) && begin.elapsed() < deadline => {
                pause(Duration::from_millis(2));
            }
            done => return done,
        }
    }
}

fn verification(path: &Path, mismatch: Mismatch, settings: &Settings) -> SessionError {
    match mismatch {
        Mismatch::Sqlite(error) if is_busy(&error) => {
            SessionError::Busy { path: path.to_owned(), waited: settings.busy_deadline, holder: String::new() }
        }
        Mismatch::Sqlite(error) => failed(path, &error),
        Mismatch::Schema(found) => SessionError::OtherSchema { path: path.to_owned(), found, expected: EXPECTED },
        Mismatch::Damage(cause) => SessionError::Corrupt { path: path.to_owned(), cause },
    }
}

fn failed(path: &Path, error: &rusqlite::Error) -> SessionError {
    SessionError::sqlite("open", path, error)
}
