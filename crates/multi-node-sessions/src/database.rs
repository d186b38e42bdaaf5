//! The database as a program has it.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::batch::{Outcome, WriteConnection};
use crate::clock::unix_millis;
use crate::directory::Files;
use crate::error::SessionError;
use crate::housekeeping::Housekeeping;
use crate::opening;
use crate::readers::Readers;
use crate::settings::Settings;
use crate::statements::{self, Change, StoredSession};
use crate::writer::Writer;

/// The longest id.
const MAX_ID_BYTES: usize = 256;

/// A page of a list has this many bytes, at most, unless its last session has more.
const PAGE_BYTES: usize = 1 << 20;

/// A touch that moves the expiry by less than this is not written, in milliseconds: most sessions are written once a minute at most.
const TOUCH_MILLIS: i64 = 60_000;

/// Nor one that moves it by less than this part of the time that is left, so that short sessions do not expire early.
const TOUCH_PART: i64 = 10;

/// What came of [`SessionDatabase::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The session is stored.
    Created,
    /// Another session has this id: try another one. Nothing was changed.
    Collision,
}

/// Some sessions of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<StoredSession>,
    /// What [`SessionDatabase::list`] gets for those that follow; `None` at the end.
    pub next: Option<i64>,
}

/// Sessions that several processes share. Cheap to clone.
///
/// An expired session is absent. Reads run in the calling thread, for microseconds. Writes run in a thread of the database, which ends when the
/// last clone has been dropped and everything in its queue is written.
#[derive(Clone)]
pub struct SessionDatabase {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    settings: Settings,
    readers: Readers,
    writer: Arc<Writer>,
}

impl SessionDatabase {
    /// Opens the sessions of this directory, which must belong to this process's user and be closed to other writers. The directory is made
    /// where it is missing, with mode 0700; its parent must exist. May block until the busy deadline.
    ///
    /// # Errors
    /// A file that is damaged, of another version or of another user is an error, and never a store without sessions.
    pub fn open(directory: impl AsRef<Path>, settings: Settings) -> Result<SessionDatabase, SessionError> {
        settings.check()?;
        let files = Files::prepare(directory.as_ref())?;
        let connection = opening::open(&files, &settings)?;
        let path = files.database();
        let (written, reminders) = sync_channel(1);
        let connection = WriteConnection::new(connection, &files, &settings);
        let writer = Arc::new(Writer::start(connection, path.clone(), &settings, written)?);
        let housekeeping = Housekeeping { files, settings, writer: Arc::downgrade(&writer), written: reminders };
        housekeeping.start()?;
        let readers = Readers::new(&path, &settings);
        Ok(SessionDatabase { shared: Arc::new(Shared { path, settings, readers, writer }) })
    }

    /// The file of the database.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The session of this id, unless it has expired.
    ///
    /// # Errors
    /// Where the file cannot be read, or another process recovers it for longer than the busy deadline.
    pub fn load(&self, id: &[u8]) -> Result<Option<StoredSession>, SessionError> {
        check_id(id)?;
        self.shared.readers.read("read", |connection| statements::load(connection, id, unix_millis()))
    }

    /// As [`load`](Self::load), but never waits: `None` while another process recovers the database after a crash, which takes milliseconds.
    pub fn load_now(&self, id: &[u8]) -> Option<Result<Option<StoredSession>, SessionError>> {
        if let Err(error) = check_id(id) {
            return Some(Err(error));
        }
        self.shared.readers.read_now("read", |connection| statements::load(connection, id, unix_millis()))
    }

    /// How many sessions there are. Takes time in proportion to their number: about a millisecond for 50,000.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn count(&self) -> Result<u64, SessionError> {
        self.shared.readers.read("read", |connection| statements::count(connection, unix_millis()))
    }

    /// The sessions after a page, or the first ones. Sessions that are made or removed meanwhile may be missing.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn list(&self, after: Option<i64>) -> Result<Page, SessionError> {
        let after = after.unwrap_or(i64::MIN);
        let query = |connection: &_| statements::list(connection, after, PAGE_BYTES, unix_millis());
        let (sessions, next) = self.shared.readers.read("read", query)?;
        Ok(Page { sessions, next })
    }

    /// Stores a new session. `expires` is in milliseconds since 1970.
    pub fn create(&self, id: &[u8], expires: i64, data: Vec<u8>) -> PendingWrite<Creation> {
        let creation = |changed| if changed == 0 { Creation::Collision } else { Creation::Created };
        self.store(id, data, creation, |id, data| Change::Create { id, expires, data })
    }

    /// Changes a session that is there. It is `false` where there is none, which is no error: a late save does not bring back a session that
    /// somebody has deleted.
    pub fn save(&self, id: &[u8], expires: i64, data: Vec<u8>) -> PendingWrite<bool> {
        self.store(id, data, any, |id, data| Change::Save { id, expires, data })
    }

    /// Stores a session whether it is there or not, for callers that do not know. It is `false` where the session was
    /// [revoked](Self::revoke) within the last ten minutes: then it stays absent. Prefer [`create`](Self::create) and [`save`](Self::save).
    pub fn put(&self, id: &[u8], expires: i64, data: Vec<u8>) -> PendingWrite<bool> {
        self.store(id, data, any, |id, data| Change::Put { id, expires, data })
    }

    /// Moves the expiry alone. It is `false` where there is no such session.
    ///
    /// A move of less than a minute, or less than a tenth of the time until `expires`, whichever is shorter, is not written.
    pub fn touch(&self, id: &[u8], expires: i64) -> PendingWrite<bool> {
        match self.needs_touch(id, expires) {
            Err(error) => PendingWrite::done(Err(error)),
            Ok(Touch::Absent) => PendingWrite::done(Ok(false)),
            Ok(Touch::Recent) => PendingWrite::done(Ok(true)),
            Ok(Touch::Needed) => self.write(Change::Touch { id: id.to_vec(), expires }, any),
        }
    }

    /// Deletes a session. It is `false` where there was none.
    pub fn delete(&self, id: &[u8]) -> PendingWrite<bool> {
        match check_id(id) {
            Ok(()) => self.write(Change::Delete { id: id.to_vec() }, any),
            Err(error) => PendingWrite::done(Err(error)),
        }
    }

    /// Deletes a session as [`delete`](Self::delete) does, and keeps its id for ten minutes, so that no late [`put`](Self::put) brings it back.
    pub fn revoke(&self, id: &[u8]) -> PendingWrite<bool> {
        match check_id(id) {
            Ok(()) => self.write(Change::Revoke { id: id.to_vec() }, any),
            Err(error) => PendingWrite::done(Err(error)),
        }
    }

    /// Removes expired sessions, at most this many, and returns how many. The database also does this regularly.
    pub fn sweep(&self, at_most: u32) -> PendingWrite<usize> {
        self.write(Change::Sweep { at_most }, |removed| removed)
    }

    /// Deletes all sessions.
    pub fn clear(&self) -> PendingWrite<()> {
        self.write(Change::Clear, |_| ())
    }

    fn needs_touch(&self, id: &[u8], expires: i64) -> Result<Touch, SessionError> {
        check_id(id)?;
        let now = unix_millis();
        let stored = self.shared.readers.read("read", |connection| statements::expiry(connection, id, now))?;
        Ok(match stored {
            None => Touch::Absent,
            Some(stored) if is_recent(stored, expires, now) => Touch::Recent,
            Some(_) => Touch::Needed,
        })
    }

    fn store<T>(
        &self,
        id: &[u8],
        data: Vec<u8>,
        result: fn(usize) -> T,
        change: impl FnOnce(Vec<u8>, Vec<u8>) -> Change,
    ) -> PendingWrite<T> {
        let max_bytes = self.shared.settings.max_session_bytes;
        match check_id(id) {
            Err(error) => PendingWrite::done(Err(error)),
            Ok(()) if data.len() > max_bytes => {
                PendingWrite::done(Err(SessionError::TooLarge { bytes: data.len(), max_bytes }))
            }
            Ok(()) => self.write(change(id.to_vec(), data), result),
        }
    }

    fn write<T>(&self, change: Change, result: fn(usize) -> T) -> PendingWrite<T> {
        match self.shared.writer.enqueue(change) {
            Ok(outcome) => PendingWrite { state: State::Waiting(outcome, result), path: self.shared.path.clone() },
            Err(error) => PendingWrite::done(Err(error)),
        }
    }
}

impl fmt::Debug for SessionDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDatabase").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

enum Touch {
    Absent,
    Recent,
    Needed,
}

fn is_recent(stored: i64, expires: i64, now: i64) -> bool {
    let part = expires.saturating_sub(now) / TOUCH_PART;
    (0..TOUCH_MILLIS.min(part)).contains(&expires.saturating_sub(stored))
}

fn any(changed: usize) -> bool {
    changed > 0
}

fn check_id(id: &[u8]) -> Result<(), SessionError> {
    if (1..=MAX_ID_BYTES).contains(&id.len()) { Ok(()) } else { Err(SessionError::Id { bytes: id.len() }) }
}

/// A write that is under way, as a future or by [`wait`](Self::wait). It happens also if this is dropped.
///
/// When it returns without an error, every process sees the change. With [`SessionError::Busy`] and [`SessionError::Overloaded`] nothing was changed.
#[must_use = "whether the write has succeeded is only known here"]
pub struct PendingWrite<T> {
    state: State<T>,
    path: PathBuf,
}

enum State<T> {
    Waiting(oneshot::Receiver<Outcome>, fn(usize) -> T),
    Done(Option<Result<T, SessionError>>),
}

impl<T> PendingWrite<T> {
    fn done(result: Result<T, SessionError>) -> PendingWrite<T> {
        PendingWrite { state: State::Done(Some(result)), path: PathBuf::new() }
    }

    /// Blocks this thread until the write is done. Not for a thread that runs futures: await it there.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<T, SessionError> {
        match self.state {
            State::Waiting(outcome, result) => finished(outcome.blocking_recv(), result, &self.path),
            State::Done(result) => result.expect("it is taken by the future's end alone, which has consumed this"),
        }
    }
}

fn finished<T, E>(received: Result<Outcome, E>, result: fn(usize) -> T, path: &Path) -> Result<T, SessionError> {
    received.unwrap_or_else(|_| Err(SessionError::Closed { path: path.to_owned() })).map(result)
}

impl<T: Unpin> Future for PendingWrite<T> {
    type Output = Result<T, SessionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match &mut this.state {
            State::Waiting(outcome, result) => {
                let received = ready!(Pin::new(outcome).poll(context));
                Poll::Ready(finished(received, *result, &this.path))
            }
            State::Done(result) => Poll::Ready(result.take().expect("a future is not polled after its end")),
        }
    }
}

impl<T> fmt::Debug for PendingWrite<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingWrite").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
