//! A connection to the database, with everything turned off that a hostile file could use.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::settings::{Durability, Settings};

/// What a row has beside the session's bytes, at most.
const ROW_OVERHEAD: usize = 1024;

/// A log of this many pages (64 MiB) is written back by the next writer. Before that, housekeeping does it.
const LOG_PAGES_AT_MOST: u32 = 16_384;

pub(crate) fn open(path: &Path, settings: &Settings) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | no_mutex())?;
    configure(&connection, settings)?;
    Ok(connection)
}

pub(crate) fn create(path: &Path, settings: &Settings) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | no_mutex();
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection, settings)?;
    Ok(connection)
}

/// One thread at a time has a connection, and a symbolic link in the place of the file is not followed.
fn no_mutex() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}

fn configure(connection: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    let longest = (settings.max_session_bytes + ROW_OVERHEAD).max(1 << 16);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(longest).unwrap_or(i32::MAX))?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let synchronous = match settings.durability {
        Durability::UntilShutdown => "OFF",
        Durability::Durable => "NORMAL",
    };
    connection.execute_batch(&format!(
        "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -1024;
         PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = {LOG_PAGES_AT_MOST};"
    ))?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}
