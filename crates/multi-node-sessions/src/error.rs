//! Every way in which sessions cannot be read or written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ffi::{self, ErrorCode};

/// Why sessions could not be opened, read or written.
///
/// Each message says what failed, the value, the cause, and what can be done about it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A setting has a value that is not allowed.
    #[error("setting `{setting}`: {value} is not allowed; {allowed}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What would be allowed.
        allowed: &'static str,
    },
    /// A file or directory could not be made, opened or read.
    #[error("sessions: cannot {action} {}: {cause}", path.display())]
    Files {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        cause: Arc<std::io::Error>,
    },
    /// A file or directory could be read or changed by other users, or belongs to one.
    #[error("sessions: {} {problem}; {remedy}", path.display())]
    NotPrivate {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What can be done about it.
        remedy: &'static str,
    },
    /// The file is damaged, or is no database.
    #[error("sessions: {} is damaged: {cause}; restore it, or remove it to begin without sessions", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// The file is a database of another program, or of another version of this library.
    #[error("sessions: {} has {found}, and this version reads {expected}; use another directory, or remove it to begin without sessions", path.display())]
    OtherSchema {
        /// The database.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The file was removed or replaced while this process had it open.
    #[error("sessions: {} was removed or replaced while it was open; restart this process", path.display())]
    Replaced {
        /// The database.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("sessions: cannot write {}: the disk is full ({cause}); free some space", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// The database has reached its limit, and removing the sessions that expire soonest did not make enough room.
    #[error(
        "sessions: no room for a session of {bytes} bytes: {} has reached `max_bytes` ({max_bytes}), and removing {evicted} sessions was not enough; raise `max_bytes`",
        path.display()
    )]
    Full {
        /// The database.
        path: PathBuf,
        /// The limit.
        max_bytes: u64,
        /// How large the session is.
        bytes: usize,
        /// How many sessions were removed for it.
        evicted: u64,
    },
    /// Another process held the database until the deadline.
    #[error(
        "sessions: {} was locked by another process for {waited:?}{holder}; resume or end that process, or raise `busy_deadline`",
        path.display()
    )]
    Busy {
        /// The database.
        path: PathBuf,
        /// How long this process has waited.
        waited: Duration,
        /// Who holds it, where the system tells.
        holder: String,
    },
    /// Too many writes of this process wait already.
    #[error(
        "sessions: too many writes wait ({queued} writes, {bytes} bytes); try again later, or raise `max_queued_writes`"
    )]
    Overloaded {
        /// How many writes wait.
        queued: usize,
        /// How many bytes they have.
        bytes: usize,
    },
    /// The session is larger than allowed.
    #[error("sessions: a session of {bytes} bytes is larger than `max_session_bytes` ({max_bytes}); store less in it")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// A session's id is empty or too long.
    #[error("sessions: an id of {bytes} bytes is not allowed; 1 to 256 bytes")]
    Id {
        /// Its length.
        bytes: usize,
    },
    /// Something else that SQLite cannot do.
    #[error("sessions: cannot {action} {}: {cause}", path.display())]
    Database {
        /// What was tried.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// A read was aborted, since the runtime ends.
    #[error("sessions: a read was aborted: {cause}")]
    Aborted {
        /// What the runtime said.
        cause: String,
    },
    /// The sessions that machines share cannot be used. Whether a change has happened is unknown.
    #[error("sessions: cannot {action} a session that machines share: {cause}")]
    OtherMachines {
        /// What was tried.
        action: &'static str,
        /// Why it was not possible.
        cause: String,
    },
    /// The thread that writes has ended.
    #[error("sessions: the thread that writes {} has ended; restart this process", path.display())]
    Closed {
        /// The database.
        path: PathBuf,
    },
}

impl SessionError {
    pub(crate) fn files(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SessionError {
        let path = path.to_owned();
        move |cause| SessionError::Files { action, path, cause: Arc::new(cause) }
    }

    /// What an error of SQLite means for the user.
    pub(crate) fn sqlite(action: &'static str, path: &Path, error: &rusqlite::Error) -> SessionError {
        let (path, cause) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => SessionError::DiskFull { path, cause },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TooBig) => {
                SessionError::Corrupt { path, cause }
            }
            Some(ErrorCode::SystemIoFailure) => SessionError::io(action, path, &cause, error),
            _ if is_hostile(error) => SessionError::Corrupt { path, cause },
            _ => SessionError::Database { action, path, cause },
        }
    }

    /// SQLite says of some failures for lack of space that they are input and output.
    fn io(action: &'static str, path: PathBuf, cause: &str, error: &rusqlite::Error) -> SessionError {
        let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
        let cause = format!("{cause} (SQLite code {extended})");
        match extended {
            ffi::SQLITE_IOERR_SHMSIZE => SessionError::DiskFull { path, cause },
            ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA => {
                SessionError::Corrupt { path, cause }
            }
            _ => SessionError::Database { action, path, cause },
        }
    }
}

/// A value that is not of the type that the schema promises.
fn is_hostile(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    matches!(
        error,
        Error::InvalidColumnType(..) | Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..)
    )
}

/// Whether another process has the lock that was needed.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::FileLockingProtocolFailed))
}
