//! Accepting for the servers of Node.js programs, as far as workers can take the connections.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::first_heads::FirstHeads;
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
    /// Where requests have owners.
    heads: Option<FirstHeads>,
    rest: watch::Sender<bool>,
}

impl Accepters {
    /// They send what they accept to `inbox`, by way of `heads`.
    pub(super) fn new(inbox: mpsc::WeakSender<ToPrimary>, heads: Option<FirstHeads>) -> Accepters {
        Accepters { tasks: JoinSet::new(), inbox, heads, rest: watch::Sender::new(false) }
    }

    /// Accepts from one more socket, a connection for each permit of the gate.
    pub(super) fn add(&mut self, key: &str, socket: &Socket, gate: Arc<Semaphore>) -> io::Result<()> {
        let accepting = Accepting::from(socket)?;
        let (inbox, mut rest, key) = (self.inbox.clone(), self.rest.subscribe(), key.to_owned());
        let heads = self.heads.clone();
        self.tasks.spawn(async move {
            let mut looks = JoinSet::new();
            loop {
                let stream = tokio::select! {
                    () = told_to_rest(&mut rest) => break,
                    Some(_) = looks.join_next() => continue,
                    stream = accepting.next(&gate) => stream,
                };
                if let Some((heads, place)) = heads.as_ref().and_then(|heads| Some((heads, heads.place()?))) {
                    // It holds up no other connection.
                    gate.add_permits(1);
                    looks.spawn(heads.clone().look(key.clone(), stream, place, rest.clone()));
                    continue;
                }
                let Some(inbox) = inbox.upgrade() else { return };
                if inbox.send(ToPrimary::Accepted { key: key.clone(), stream }).await.is_err() {
                    return;
                }
            }
            while looks.join_next().await.is_some() {}
        });
        Ok(())
    }

    /// Whether heads of connections that were accepted are looked at still.
    pub(super) fn look(&self) -> bool {
        self.heads.as_ref().is_some_and(FirstHeads::is_at_work)
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
