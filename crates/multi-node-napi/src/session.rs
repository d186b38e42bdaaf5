//! Sessions as JavaScript keeps them.
//!
//! A read runs on JavaScript's thread, for microseconds, which is less than what a message to another thread costs it. A write runs in the
//! database's thread; JavaScript polls what has finished, and is called when there is something. Whatever may take longer is a promise.

#![expect(clippy::needless_pass_by_value, reason = "Node-API makes owned values")]

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use multi_node::sessions::{self, Durability, Page, SessionError, Settings};
use napi::bindgen_prelude::{AsyncTask, Either3, Function, Null};
use napi::{Env, Task};
use napi_derive::napi;

use crate::failure::Failure;
use crate::wake;

/// Settings of a store, checked here.
#[napi(object)]
#[derive(Debug)]
pub struct SessionOptions {
    /// A directory that survives restarts.
    pub path: Option<String>,
    pub max_bytes: Option<f64>,
    pub max_session_bytes: Option<f64>,
    /// In milliseconds.
    pub busy_timeout: Option<f64>,
}

impl SessionOptions {
    pub(crate) fn settings(&self) -> Settings {
        let default = Settings::default();
        Settings {
            max_bytes: self.max_bytes.map_or(default.max_bytes, |bytes| bytes as u64),
            max_session_bytes: self.max_session_bytes.map_or(default.max_session_bytes, |bytes| bytes as usize),
            busy_deadline: self.busy_timeout.map_or(default.busy_deadline, |time| Duration::from_millis(time as u64)),
            ..default
        }
    }
}

/// Opens sessions: a promise, since another process may be about to open them.
#[napi(ts_return_type = "Promise<SessionDatabase>")]
pub fn open_sessions(options: SessionOptions) -> AsyncTask<Opening> {
    AsyncTask::new(Opening(options))
}

/// Removes sessions that were kept until the program's end, in a process that serves alone.
#[napi]
pub fn remove_sessions() {
    sessions::remove();
}

/// Opens in a thread of libuv's.
#[derive(Debug)]
pub struct Opening(SessionOptions);

impl Task for Opening {
    type Output = sessions::SessionDatabase;
    type JsValue = SessionDatabase;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        open(&self.0).map_err(failed)
    }

    fn resolve(&mut self, _: Env, database: Self::Output) -> napi::Result<SessionDatabase> {
        Ok(SessionDatabase { database, waker: Waker::noop().clone(), pending: VecDeque::new() })
    }
}

fn open(options: &SessionOptions) -> Result<sessions::SessionDatabase, SessionError> {
    let (directory, durability) = match &options.path {
        Some(path) => (path.into(), Durability::Durable),
        None => sessions::place().map(|place| (place.directory, place.durability))?,
    };
    sessions::SessionDatabase::open(directory, Settings { durability, ..options.settings() })
}

type Write = Pin<Box<dyn Future<Output = Result<bool, SessionError>> + Send>>;

/// The sessions that all processes of the program share.
#[napi]
pub struct SessionDatabase {
    database: sessions::SessionDatabase,
    waker: Waker,
    /// In the order in which they finish.
    pending: VecDeque<(u32, Write)>,
}

/// What came of a write.
#[napi(object)]
#[derive(Debug)]
pub struct FinishedWrite {
    pub ticket: u32,
    pub failure: Option<Failure>,
}

/// Some sessions of a list.
#[napi(object)]
#[derive(Debug)]
pub struct SessionPage {
    pub sessions: Vec<SessionText>,
    pub next: Option<f64>,
}

/// A session as JSON.
#[napi(object)]
#[derive(Debug)]
pub struct SessionText {
    pub id: String,
    pub data: String,
}

#[napi]
impl SessionDatabase {
    /// `turn` is called, on this thread, when a write may have finished.
    ///
    /// # Errors
    /// Where the environment ends.
    #[napi]
    pub fn attach(&mut self, turn: Function<'_, (), ()>) -> napi::Result<()> {
        self.waker = wake::waker(&turn)?;
        Ok(())
    }

    #[napi(getter)]
    pub fn path(&self) -> String {
        self.database.path().display().to_string()
    }

    /// The session's text; null where there is none; true where another process recovers the database, so that one asks again in a moment.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn load(&self, id: String) -> napi::Result<Either3<String, bool, Null>> {
        match self.database.load_now(id.as_bytes()) {
            None => Ok(Either3::B(true)),
            Some(Ok(None)) => Ok(Either3::C(Null)),
            Some(Ok(Some(session))) => text(session.data).map(Either3::A),
            Some(Err(error)) => Err(failed(error)),
        }
    }

    #[napi]
    pub fn put(&mut self, ticket: u32, id: String, expires: f64, data: String) {
        let write = self.database.put(id.as_bytes(), expires as i64, data.into_bytes());
        self.begin(ticket, Box::pin(write));
    }

    #[napi]
    pub fn touch(&mut self, ticket: u32, id: String, expires: f64) {
        let write = self.database.touch(id.as_bytes(), expires as i64);
        self.begin(ticket, Box::pin(write));
    }

    #[napi]
    pub fn revoke(&mut self, ticket: u32, id: String) {
        let write = self.database.revoke(id.as_bytes());
        self.begin(ticket, Box::pin(write));
    }

    #[napi]
    pub fn clear(&mut self, ticket: u32) {
        let write = self.database.clear();
        self.begin(ticket, Box::pin(async move { write.await.map(|()| true) }));
    }

    fn begin(&mut self, ticket: u32, write: Write) {
        self.pending.push_back((ticket, write));
        // Without it nothing would wake the task for it. The next look finds one that has finished already.
        if self.pending.len() == 1 {
            self.waker.wake_by_ref();
        }
    }

    /// The writes that have finished since this was last asked; `turn` is called when there are more.
    #[napi]
    pub fn finished(&mut self) -> Vec<FinishedWrite> {
        let mut context = Context::from_waker(&self.waker);
        let mut finished = Vec::new();
        while let Some((ticket, write)) = self.pending.front_mut() {
            let Poll::Ready(outcome) = write.as_mut().poll(&mut context) else { break };
            let failure = outcome.err().map(|error| Failure::from(&error));
            finished.push(FinishedWrite { ticket: *ticket, failure });
            self.pending.pop_front();
        }
        finished
    }

    #[napi(ts_return_type = "Promise<number>")]
    pub fn count(&self) -> AsyncTask<Counting> {
        AsyncTask::new(Counting(self.database.clone()))
    }

    #[napi(ts_return_type = "Promise<SessionPage>")]
    pub fn list(&self, after: Option<f64>) -> AsyncTask<Listing> {
        AsyncTask::new(Listing(self.database.clone(), after.map(|after| after as i64)))
    }
}

/// Counts in a thread of libuv's.
#[derive(Debug)]
pub struct Counting(sessions::SessionDatabase);

impl Task for Counting {
    type Output = u64;
    type JsValue = f64;

    fn compute(&mut self) -> napi::Result<u64> {
        self.0.count().map_err(failed)
    }

    fn resolve(&mut self, _: Env, count: u64) -> napi::Result<f64> {
        Ok(count as f64)
    }
}

/// Lists in a thread of libuv's.
#[derive(Debug)]
pub struct Listing(sessions::SessionDatabase, Option<i64>);

impl Task for Listing {
    type Output = SessionPage;
    type JsValue = SessionPage;

    fn compute(&mut self) -> napi::Result<SessionPage> {
        let Page { sessions, next } = self.0.list(self.1).map_err(failed)?;
        let session =
            |session: sessions::StoredSession| Ok(SessionText { id: text(session.id)?, data: text(session.data)? });
        let sessions = sessions.into_iter().map(session).collect::<napi::Result<_>>()?;
        Ok(SessionPage { sessions, next: next.map(|next| next as f64) })
    }

    fn resolve(&mut self, _: Env, page: SessionPage) -> napi::Result<SessionPage> {
        Ok(page)
    }
}

fn text(bytes: Vec<u8>) -> napi::Result<String> {
    session_text(bytes).map_err(Failure::into_error)
}

/// What this package has stored is text; whatever else there is was stored by others.
pub(crate) fn session_text(bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| Failure::no_session_text())
}

fn failed(error: SessionError) -> napi::Error {
    Failure::from(&error).into_error()
}
