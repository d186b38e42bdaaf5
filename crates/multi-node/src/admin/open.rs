//! The way from the options to an open control socket, and its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::handler::CommandHandler;
use super::observer::Observer;
use super::protocol::{Answer, Refusal};
use super::session;
use super::socket::ControlSocket;
use crate::log_buffer::LogBuffer;
use crate::options::{ControlName, OptionInForce, Settings};
use crate::{Error, sys};

/// How many clients are spoken with at once; more are refused.
const MOST_CLIENTS: usize = 64;

/// How long clients have at the end to read the answers they wait for.
const DRAIN_NOTICE: Duration = Duration::from_secs(1);

/// How long to wait after an error in accepting, which is for the most part a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The control socket, before it is attended to.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    socket: Option<ControlSocket>,
    options: Vec<OptionInForce>,
    log_buffer: LogBuffer,
}

impl Admin {
    /// Opens what the settings ask for.
    pub(crate) async fn open(settings: &mut Settings) -> Result<Admin, Error> {
        let socket = match (&settings.control_path, &settings.control) {
            (Some(path), _) => Some(ControlSocket::open_at(path).await?),
            (None, ControlName::Exactly(name)) => without(ControlSocket::open(name).await)?,
            (None, ControlName::Preferred(name)) => without(ControlSocket::open_preferred(name).await)?,
            (None, ControlName::Off) => None,
        };
        // From now on the program has the name that its socket has.
        if let Some(name) = socket.as_ref().and_then(ControlSocket::name).filter(|_| settings.control_path.is_none()) {
            settings.control.rename(name);
        }
        let log_buffer = if socket.is_some() { LogBuffer::kept() } else { LogBuffer::default() };
        Ok(Admin { socket, options: settings.listed(), log_buffer })
    }

    /// Where the log is written for those who follow it.
    pub(crate) fn log_buffer(&self) -> LogBuffer {
        self.log_buffer.clone()
    }

    /// Answers clients from now on.
    pub(crate) fn attend(self, observer: Observer) -> OpenSocket {
        let (closing, is_closing) = watch::channel(false);
        let Admin { socket, options, log_buffer } = self;
        let task = socket.map(|socket| {
            let handler = Arc::new(CommandHandler::new(observer, options, log_buffer));
            tokio::spawn(attend(socket, handler, is_closing))
        });
        OpenSocket { closing, task }
    }
}

/// A program without a control socket serves all the same, unless the socket has to be at a given path.
fn without(opened: Result<ControlSocket, Error>) -> Result<Option<ControlSocket>, Error> {
    match opened {
        Err(error @ Error::ControlSocket { .. }) => {
            crate::log::warn!(
                target: "multi_node",
                "{error}; the program serves without: `multi-node status`, `reload` and the others cannot reach it, signals can"
            );
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

/// A control socket that is attended to. It has to be closed before the program ends, so that clients get their answers.
pub(crate) struct OpenSocket {
    closing: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl OpenSocket {
    /// Lets clients have the answers they wait for, and removes the socket.
    pub(crate) async fn close(self) {
        self.closing.send_replace(true);
        if let Some(mut task) = self.task
            && tokio::time::timeout(DRAIN_NOTICE, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

async fn attend(socket: ControlSocket, handler: Arc<CommandHandler>, mut closing: watch::Receiver<bool>) {
    let (places, mut sessions) = (Arc::new(Semaphore::new(MOST_CLIENTS)), JoinSet::new());
    let (end_sessions, ends) = watch::channel(false);
    // A shortage of descriptors lasts, and is logged once.
    let mut lacks = false;
    loop {
        let stream = tokio::select! {
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    lacks = false;
                    stream
                }
                Err(error) => {
                    if !std::mem::replace(&mut lacks, true) {
                        crate::log::warn!(%error, "cannot accept on the control socket; trying again");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            Some(_) = sessions.join_next() => continue,
            () = session::ends(&mut closing) => break,
        };
        if let Err(refusal) = admit(&stream) {
            refuse(&stream, refusal);
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            refuse(&stream, too_many());
            continue;
        };
        let (handler, ends) = (handler.clone(), ends.clone());
        sessions.spawn(async move {
            session::converse(stream, &handler, ends).await;
            drop(place);
        });
    }
    // No further client may connect, and a successor may open its own socket: who sees its connection end relies on that.
    drop(socket);
    end_sessions.send_replace(true);
    while sessions.join_next().await.is_some() {}
}

/// The file's mode already keeps other users out; this check holds even if the mode was changed.
fn admit(stream: &UnixStream) -> Result<(), Refusal> {
    let user = sys::process::user();
    match stream.peer_cred().map(|peer| peer.uid()) {
        Ok(peer) if peer == user || peer == 0 => Ok(()),
        Ok(peer) => {
            let why = format!("user {peer} may not use this control socket: it is for user {user} and root");
            Err(Refusal { code: "not_allowed".to_owned(), why })
        }
        Err(error) => {
            Err(Refusal { code: "not_allowed".to_owned(), why: format!("you cannot be identified: {error}") })
        }
    }
}

fn too_many() -> Refusal {
    let why = format!("{MOST_CLIENTS} clients are connected already; try again when one has left");
    Refusal { code: "too_many".to_owned(), why }
}

/// Says it, if that can be said without waiting.
fn refuse(stream: &UnixStream, refusal: Refusal) {
    if let Ok(mut line) = serde_json::to_vec(&Answer::Refused(refusal)) {
        line.push(b'\n');
        // One that does not read is not owed more.
        let _ = stream.try_write(&line);
    }
}
