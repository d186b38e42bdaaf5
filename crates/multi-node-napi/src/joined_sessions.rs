//! Sessions that several machines share, as JavaScript asks for them.

#![expect(clippy::needless_pass_by_value, reason = "Node-API makes owned values")]

use std::task::{Context, Poll, Waker};

use multi_node::sessions::{Creation, JoinedSessions, SessionError};
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use tokio::runtime;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::service::Service;
use crate::session::{SessionOptions, session_text};
use crate::wake;

/// How many answers wait for JavaScript. Further ones wait for room.
const QUEUE: usize = 256;

/// The answer to a question.
#[napi(object, object_from_js = false)]
pub struct SessionAnswer {
    pub ticket: u32,
    pub failure: Option<Failure>,
    /// The session's text, where that was asked for.
    pub data: Option<String>,
    /// Whether something was there, or has changed.
    pub done: bool,
}

/// What came of a question: the text that was asked for, and whether something was there or has changed.
type Outcome = Result<(Option<String>, bool), Failure>;

#[napi]
impl Service {
    /// The sessions of all machines. `turn` is called, on this thread, when there may be answers.
    ///
    /// # Errors
    /// Where the environment ends.
    #[napi]
    pub fn joined_sessions(
        &self,
        options: SessionOptions,
        turn: Function<'_, (), ()>,
    ) -> napi::Result<JoinedSessionsHandle> {
        let (tell, answers) = mpsc::channel(QUEUE);
        let sessions = self.handle.joined_sessions(options.settings());
        Ok(JoinedSessionsHandle { runtime: self.runtime.clone(), sessions, waker: wake::waker(&turn)?, tell, answers })
    }
}

/// The sessions that all machines share.
#[napi]
pub struct JoinedSessionsHandle {
    runtime: runtime::Handle,
    sessions: JoinedSessions,
    waker: Waker,
    tell: mpsc::Sender<(u32, Outcome)>,
    answers: mpsc::Receiver<(u32, Outcome)>,
}

#[napi]
impl JoinedSessionsHandle {
    #[napi]
    pub fn load(&self, ticket: u32, id: String) {
        let sessions = self.sessions.clone();
        self.ask(ticket, async move {
            let found = sessions.load(id.as_bytes()).await.map_err(failed)?;
            let text = found.map(|session| session_text(session.data)).transpose()?;
            let is_there = text.is_some();
            Ok((text, is_there))
        });
    }

    #[napi]
    pub fn create(&self, ticket: u32, id: String, expires: f64, data: String) {
        let sessions = self.sessions.clone();
        self.ask(ticket, async move {
            let created = sessions.create(id.as_bytes(), expires as i64, data.into_bytes()).await.map_err(failed)?;
            Ok((None, created == Creation::Created))
        });
    }

    #[napi]
    pub fn save(&self, ticket: u32, id: String, expires: f64, data: String) {
        let sessions = self.sessions.clone();
        self.ask(ticket, async move { changed(sessions.save(id.as_bytes(), expires as i64, data.into_bytes()).await) });
    }

    #[napi]
    pub fn touch(&self, ticket: u32, id: String, expires: f64) {
        let sessions = self.sessions.clone();
        self.ask(ticket, async move { changed(sessions.touch(id.as_bytes(), expires as i64).await) });
    }

    #[napi]
    pub fn destroy(&self, ticket: u32, id: String) {
        let sessions = self.sessions.clone();
        self.ask(ticket, async move { changed(sessions.delete(id.as_bytes()).await) });
    }

    fn ask(&self, ticket: u32, question: impl Future<Output = Outcome> + Send + 'static) {
        let tell = self.tell.clone();
        self.runtime.spawn(async move {
            let outcome = question.await;
            // An error means that JavaScript has ended.
            let _ = tell.send((ticket, outcome)).await;
        });
    }

    /// The answers that have come; `turn` is called when there are more.
    #[napi]
    pub fn take(&mut self) -> Vec<SessionAnswer> {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        let mut answers = Vec::new();
        while let Poll::Ready(Some((ticket, outcome))) = self.answers.poll_recv(&mut context) {
            answers.push(match outcome {
                Ok((data, done)) => SessionAnswer { ticket, failure: None, data, done },
                Err(failure) => SessionAnswer { ticket, failure: Some(failure), data: None, done: false },
            });
        }
        answers
    }
}

fn changed(outcome: Result<bool, SessionError>) -> Outcome {
    outcome.map(|done| (None, done)).map_err(failed)
}

fn failed(error: SessionError) -> Failure {
    Failure::from(&error)
}
