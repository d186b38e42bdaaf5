//! What is asked of the database.

use rusqlite::{Connection, OptionalExtension, Row, params};

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// Its id.
    pub id: Vec<u8>,
    /// When it expires, in milliseconds since 1970.
    pub expires: i64,
    /// What the program has stored.
    pub data: Vec<u8>,
}

/// One change. It returns the number of sessions that it has changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new session; an expired one of the same id is replaced.
    Create {
        id: Vec<u8>,
        expires: i64,
        data: Vec<u8>,
    },
    /// A session that is there gets other bytes.
    Save {
        id: Vec<u8>,
        expires: i64,
        data: Vec<u8>,
    },
    /// A session is made or gets other bytes, unless it was revoked.
    Put {
        id: Vec<u8>,
        expires: i64,
        data: Vec<u8>,
    },
    Touch {
        id: Vec<u8>,
        expires: i64,
    },
    Delete {
        id: Vec<u8>,
    },
    /// A session becomes absent, and its id stays known for a while.
    Revoke {
        id: Vec<u8>,
    },
    /// Expired sessions are removed, at most this many.
    Sweep {
        at_most: u32,
    },
    Clear,
}

impl Change {
    /// The session that gets bytes, and how many.
    pub(crate) fn stores(&self) -> Option<(&[u8], usize)> {
        match self {
            Change::Create { id, data, .. } | Change::Save { id, data, .. } | Change::Put { id, data, .. } => {
                Some((id, data.len()))
            }
            Change::Touch { .. }
            | Change::Delete { .. }
            | Change::Revoke { .. }
            | Change::Sweep { .. }
            | Change::Clear => None,
        }
    }

    /// How much memory it holds while it waits.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Change>() + self.stores().map_or(0, |(id, data)| id.len() + data)
    }

    pub(crate) fn execute(&self, connection: &Connection, now: i64) -> rusqlite::Result<usize> {
        let prepared = |sql| connection.prepare_cached(sql);
        match self {
            Change::Create { id, expires, data } => prepared(CREATE)?.execute(params![id, expires, data, now]),
            Change::Save { id, expires, data } => prepared(SAVE)?.execute(params![id, expires, data, now]),
            Change::Put { id, expires, data } => prepared(PUT)?.execute(params![id, expires, data, now]),
            Change::Touch { id, expires } => prepared(TOUCH)?.execute(params![id, expires, now]),
            Change::Delete { id } => prepared("DELETE FROM sessions WHERE id = ?1")?.execute(params![id]),
            Change::Revoke { id } => prepared(REVOKE)?.execute(params![id, now]),
            Change::Sweep { at_most } => prepared(SWEEP)?.execute(params![now, now - REVOKED_MILLIS, at_most]),
            Change::Clear => prepared("DELETE FROM sessions")?.execute([]),
        }
    }
}

/// For how long the id of a revoked session stays known: longer than a request that still has the session.
const REVOKED_MILLIS: i64 = 600_000;

const CREATE: &str = "INSERT INTO sessions (id, expires, data) VALUES (?1, ?2, ?3)
    ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, data = excluded.data WHERE sessions.expires <= ?4";
const SAVE: &str = "UPDATE sessions SET expires = ?2, data = ?3 WHERE id = ?1 AND expires > ?4";
const PUT: &str = "INSERT INTO sessions (id, expires, data) VALUES (?1, ?2, ?3)
    ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, data = excluded.data
    WHERE sessions.expires > ?4 OR sessions.data <> x''";
/// A revoked session is one that has expired and has no bytes.
const REVOKE: &str = "UPDATE sessions SET expires = ?2, data = x'' WHERE id = ?1 AND expires > ?2";
const TOUCH: &str = "UPDATE sessions SET expires = ?2 WHERE id = ?1 AND expires > ?3";
const SWEEP: &str = "DELETE FROM sessions WHERE key IN
    (SELECT key FROM sessions WHERE expires <= ?1 AND (expires <= ?2 OR data <> x'') ORDER BY expires LIMIT ?3)";
const EVICT: &str = "DELETE FROM sessions WHERE key IN
    (SELECT key FROM sessions WHERE id <> ?1 ORDER BY expires LIMIT ?2)";
const LIST: &str = "SELECT key, id, expires, data FROM sessions WHERE key > ?1 AND expires > ?2 ORDER BY key";

/// Removes the sessions that expire soonest, but for this one.
pub(crate) fn evict(connection: &Connection, but_for: &[u8], at_most: u32) -> rusqlite::Result<usize> {
    connection.prepare_cached(EVICT)?.execute(params![but_for, at_most])
}

pub(crate) fn load(connection: &Connection, id: &[u8], now: i64) -> rusqlite::Result<Option<StoredSession>> {
    let mut statement =
        connection.prepare_cached("SELECT expires, data FROM sessions WHERE id = ?1 AND expires > ?2")?;
    let session = |row: &Row<'_>| Ok(StoredSession { id: id.to_vec(), expires: row.get(0)?, data: row.get(1)? });
    statement.query_row(params![id, now], session).optional()
}

/// When the session expires, if it has not.
pub(crate) fn expiry(connection: &Connection, id: &[u8], now: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT expires FROM sessions WHERE id = ?1 AND expires > ?2")?;
    statement.query_row(params![id, now], |row| row.get(0)).optional()
}

pub(crate) fn count(connection: &Connection, now: i64) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM sessions WHERE expires > ?1")?;
    statement.query_row(params![now], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Sessions after this key, until they have this many bytes; and the key to go on after, if there may be more.
pub(crate) fn list(
    connection: &Connection,
    after: i64,
    bytes: usize,
    now: i64,
) -> rusqlite::Result<(Vec<StoredSession>, Option<i64>)> {
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(params![after, now])?;
    let (mut sessions, mut total) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let session = StoredSession { id: row.get(1)?, expires: row.get(2)?, data: row.get(3)? };
        total += size_of::<StoredSession>() + session.id.len() + session.data.len();
        sessions.push(session);
        if total >= bytes {
            return Ok((sessions, Some(row.get(0)?)));
        }
    }
    Ok((sessions, None))
}
