//! Accepting for the servers of Node.js programs, as far as workers can take the connections.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::primary::ToPrimary;
use crate::serve::Socket;
use crate::supervisor::told_to_rest;

/// How long a server pauses that cannot accept because descriptors or memory have run out.
const REST: Duration = Duration::from_millis(50);

/// The tasks that accept, one for each server.
#[derive(Debug)]
pub(super) struct Accepters {
    tasks: JoinSet<()>,
    inbox: mpsc::WeakSender<ToPrimary>,
    rest: watch::Sender<bool>,
}

impl Accepters {
    /// They send what they accept to `inbox`.
    pub(super) fn new(inbox: mpsc::WeakSender<ToPrimary>) -> Accepters {
        Accepters { tasks: JoinSet::new(), inbox, rest: watch::Sender::new(false) }
    }

    /// Accepts from one more socket, a connection for each permit of the gate.
    pub(super) fn add(&mut self, key: &str, socket: &Socket, gate: Arc<Semaphore>) -> io::Result<()> {
        let accepting = Accepting::from(socket)?;
        let (inbox, mut rest, key) = (self.inbox.clone(), self.rest.subscribe(), key.to_owned());
        self.tasks.spawn(async move {
            loop {
                let stream = tokio::select! {
                    () = told_to_rest(&mut rest) => return,
                    stream = accepting.next(&gate) => stream,
                };
                let Some(inbox) = inbox.upgrade() else { return };
                if inbox.send(ToPrimary::Accepted { key: key.clone(), stream }).await.is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Asks all of them to stop. Meanwhile the primary has to take what they have accepted.
    pub(super) fn rest(&mut self) {
        self.rest.send_replace(true);
    }

    /// Resolves when all have stopped. Cancel-safe.
    pub(super) async fn rested(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A socket from which connections are taken.
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    fn from(socket: &Socket) -> io::Result<Accepting> {
        socket.set_nonblocking(true)?;
        match socket.try_clone()? {
            Socket::Tcp(listener) => TcpListener::from_std(listener).map(Accepting::Tcp),
            Socket::Unix(listener) => UnixListener::from_std(listener).map(Accepting::Unix),
        }
    }

    /// The next connection that the gate allows. Cancel-safe.
    async fn next(&self, gate: &Semaphore) -> OwnedFd {
        let permit = gate.acquire().await;
        loop {
            match self.accept().await {
                Ok(stream) => {
                    permit.into_iter().for_each(tokio::sync::SemaphorePermit::forget);
                    return stream;
                }
                Err(error) => {
                    crate::log::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Accepting::Tcp(listener) => Ok(listener.accept().await?.0.into_std()?.into()),
            Accepting::Unix(listener) => Ok(listener.accept().await?.0.into_std()?.into()),
        }
    }
}
