//! From servers and sockets to connections that are being answered, and the wait for the last of them.

use std::io;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::busy_handoff::BusyHandoff;
use super::conn_limit::ConnLimit;
use super::drain::{DrainSignal, aborted};
use super::handoff_receiver::HandoffReceiver;
use super::idle_conn::{HandoffSender, IdleConn};
use super::listener::Listener;
use super::load::{Line, LoadTable};
use super::owners::Owners;
use super::server::{BoxError, Context, Ready, Servers, Site};
use super::socket::Socket;
use super::stream::ConnTracker;

/// Where a process stands among those that serve with it.
#[derive(Debug)]
pub struct Place {
    /// What all of them count.
    pub load: LoadTable,
    /// Its line of the table.
    pub line: usize,
    /// The wake-up; `None` for a process that is alone.
    pub wake_fd: Option<WakeFile>,
    /// Where idle connections go in a drain; `None`: they are closed, as they are once the receiver is gone.
    pub handoff_sender: Option<mpsc::Sender<IdleConn>>,
    /// Which connections others may take while the runtime computes; `None`: none.
    pub busy_handoff: Option<Arc<BusyHandoff>>,
    /// How many connections servers that speak HTTP and have no limit of their own allow together.
    pub most_connections: Option<usize>,
    /// Where each process answers requests of its own keys.
    pub owners: Option<Owners>,
    /// Whether it begins without new connections, until [`AcceptControl::open`](super::accept_control::AcceptControl::open).
    pub paused: bool,
}

impl Place {
    /// On this line of the table, for a process that is alone and has no limit.
    pub fn new(load: LoadTable, line: usize) -> Place {
        Place {
            load,
            line,
            wake_fd: None,
            handoff_sender: None,
            busy_handoff: None,
            most_connections: None,
            owners: None,
            paused: false,
        }
    }
}

#[cfg(unix)]
type WakeFile = std::os::fd::OwnedFd;
/// There are no doorbells where there are no other processes.
#[cfg(not(unix))]
type WakeFile = std::convert::Infallible;

/// Why a process could not begin to serve, or does not any more.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}", chain(.0.as_ref()))]
    Factory(BoxError),
    #[error("cannot {action}: {source}")]
    Io { action: &'static str, source: io::Error },
    #[error("there are sockets for {sockets} servers, and {servers} servers")]
    Sockets { servers: usize, sockets: usize },
    #[error("the load table has no line {0}")]
    Line(usize),
    #[error("the server ended before its time: {}", chain(.0.as_ref()))]
    Failed(BoxError),
    #[error("the server ended before its time, without an error")]
    Ended,
    #[error("the server panicked")]
    Panicked,
}

/// An error and its causes, outermost first.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// What a drain did to the connections that were open when it began, and to those that waited and were taken still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// They closed normally.
    pub finished: u64,
    /// They were still open at the deadline.
    pub aborted: u64,
    /// Other processes have taken them over.
    pub handed_off: u64,
}

/// A process that serves.
#[derive(Debug)]
pub struct Serving {
    tracker: Arc<ConnTracker>,
    drain: DrainSignal,
    handoff_receiver: HandoffReceiver,
    servers: JoinSet<Result<(), BoxError>>,
    /// What was counted when the drain began, by the task that leaves the queue.
    left: Option<oneshot::Receiver<Count>>,
}

/// Connections at one moment.
#[derive(Debug)]
struct Count {
    open: u64,
    accepted: u64,
}

/// Runs all factories, then opens the gate. `sockets[i]` belong to entry `i`.
pub async fn start<C: Context>(
    servers: Servers<C>,
    sockets: Vec<Vec<Socket>>,
    place: Place,
    context: C,
    drain: DrainSignal,
) -> Result<Serving, StartError> {
    start_after(std::future::ready(()), servers, sockets, place, context, drain).await
}

/// As [`start`], but opens the gate only when `settled` has resolved too, which is polled after the factories.
pub async fn start_after<C: Context>(
    settled: impl Future<Output = ()>,
    servers: Servers<C>,
    sockets: Vec<Vec<Socket>>,
    mut place: Place,
    context: C,
    drain: DrainSignal,
) -> Result<Serving, StartError> {
    let ready = make_ready(servers, &context).await?;
    settled.await;
    if ready.len() != sockets.len() {
        return Err(StartError::Sockets { servers: ready.len(), sockets: sockets.len() });
    }
    let (handoff_sender, most_connections) = (place.handoff_sender.take(), place.most_connections);
    let owners = place.owners.take();
    let busy_handoff = place.busy_handoff.take();
    let (tracker, ended) = open_doors(place, &sockets, drain.clone())?;
    let common = most_connections.map(|count| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))));
    let conn_limit: Vec<_> = ready.iter().map(|server| ConnLimit::new(server.limit(), common.as_ref())).collect();
    let takes_over =
        ready.iter().zip(&conn_limit).map(|(server, conn_limit)| server.takes_over().then(|| conn_limit.clone()));
    let (handoff_receiver, arrivals) = HandoffReceiver::new(tracker.clone(), drain.clone(), takes_over.collect());
    let mut tasks = JoinSet::new();
    let mut door = 0;
    let entries = ready.into_iter().zip(sockets).zip(arrivals).zip(conn_limit);
    for (index, (((server, sockets), arrivals), conn_limit)) in entries.enumerate() {
        let count = sockets.len();
        let listener = Listener::new(sockets, door, &tracker, &drain)
            .map_err(|source| StartError::Io { action: "accept connections", source })?;
        let handoff_sender = handoff_sender.clone().map(|idle_conns| HandoffSender {
            server: index,
            idle_conns,
            busy_handoff: busy_handoff.clone(),
        });
        let (context, drain, line) = (context.clone(), drain.clone(), tracker.line.clone());
        let owners = owners.as_ref().map(|owners| owners.of_server(index));
        let site = Site { listener, context, drain, conn_limit, line, handoff_sender, owners, arrivals };
        door += count;
        tasks.spawn(server.run(site));
    }
    tracker.line.begin_serving(tracker.now_ms());
    let (leaving, left) = oneshot::channel();
    tokio::spawn(leave_queue(tracker.clone(), drain.clone(), ended, leaving));
    Ok(Serving { tracker, drain, handoff_receiver, servers: tasks, left: Some(left) })
}

async fn make_ready<C: Context>(servers: Servers<C>, context: &C) -> Result<Vec<Box<dyn Ready<C>>>, StartError> {
    let mut ready = Vec::new();
    for entry in servers.into_entries() {
        ready.push(entry.server.start(context.clone()).await.map_err(StartError::Factory)?);
    }
    Ok(ready)
}

/// Resolves when the acceptor has left all queues.
type Ended = Option<oneshot::Receiver<()>>;

#[cfg(multi_process)]
fn open_doors(
    place: Place,
    sockets: &[Vec<Socket>],
    drain: DrainSignal,
) -> Result<(Arc<ConnTracker>, Ended), StartError> {
    let line = take_line(&place.load, place.line)?;
    line.set_paused(place.paused);
    let Some(wake_fd) = place.wake_fd else { return Ok((ConnTracker::new(line, drain, None), None)) };
    let failed = |source| StartError::Io { action: "start the acceptor", source };
    let files = sockets.iter().flatten().map(Socket::try_clone_file).collect::<io::Result<_>>().map_err(failed)?;
    let (acceptor, ended) =
        super::acceptor::Acceptor::start(place.load, line.clone(), wake_fd, files).map_err(failed)?;
    Ok((ConnTracker::new(line, drain, Some(acceptor)), Some(ended)))
}

#[cfg(not(multi_process))]
#[expect(clippy::needless_pass_by_value, reason = "as where there are nodes")]
fn open_doors(place: Place, _: &[Vec<Socket>], drain: DrainSignal) -> Result<(Arc<ConnTracker>, Ended), StartError> {
    Ok((ConnTracker::new(take_line(&place.load, place.line)?, drain), None))
}

fn take_line(load: &LoadTable, index: usize) -> Result<Line, StartError> {
    load.line(index).ok_or(StartError::Line(index))
}

/// Leaves the queue as soon as the drain begins, and says what was counted then.
async fn leave_queue(tracker: Arc<ConnTracker>, drain: DrainSignal, ended: Ended, left: oneshot::Sender<Count>) {
    drain.draining().await;
    let count = Count { open: tracker.line.open(), accepted: tracker.line.accepted() };
    tracker.leave();
    if let Some(ended) = ended {
        let _ = ended.await;
    }
    let _ = left.send(count);
}

impl Serving {
    /// Waits until the drain has begun and is done: no connection is open and every server has returned, or its deadline has
    /// come. Cancel-safe; call it once.
    pub(super) async fn drained(&mut self) -> DrainReport {
        let Some(left) = &mut self.left else { return DrainReport::default() };
        let begin = left.await;
        self.left = None;
        let deadline = aborted(self.drain.clone());
        let finished = async {
            while let Some(ended) = self.servers.join_next().await {
                if let Err(error) = judge(ended) {
                    multi_node_sys::log::warn!(%error, "a server failed while it drained");
                }
            }
            self.tracker.emptied().await;
        };
        tokio::select! {
            biased;
            () = finished => {}
            () = deadline => self.servers.abort_all(),
        }
        let (aborted, handed_off) = (self.tracker.aborted(), self.tracker.handed_off());
        let taken = |begin: Count| begin.open + self.tracker.line.accepted().wrapping_sub(begin.accepted);
        DrainReport { finished: begin.map_or(0, taken).saturating_sub(aborted + handed_off), aborted, handed_off }
    }

    /// How many idle connections with TLS stayed open in the drain, and how many of them were closed shortly before its end. Both are
    /// among those that the report calls finished.
    pub fn kept(&self) -> (u64, u64) {
        self.tracker.kept()
    }

    /// Where connections come in that other processes hand off.
    pub fn handoff_receiver(&self) -> HandoffReceiver {
        self.handoff_receiver.clone()
    }

    /// The way in.
    #[cfg(multi_process)]
    pub fn accept_control(&self) -> super::accept_control::AcceptControl {
        super::accept_control::AcceptControl::new(self.tracker.clone())
    }

    /// Connections open now.
    #[cfg(test)]
    pub(super) fn open(&self) -> u64 {
        self.tracker.line.open()
    }

    #[cfg(all(test, multi_process))]
    pub(super) fn acceptor(&self) -> super::acceptor::Acceptor {
        self.tracker.acceptor.clone().expect("this one is not alone")
    }

    /// Waits until the drain is done, or a server has ended before it began. Call it once.
    pub async fn finished(&mut self) -> Result<DrainReport, StartError> {
        let drain = self.drain.clone();
        tokio::select! {
            biased;
            () = drain.draining() => Ok(self.drained().await),
            error = self.failed() => Err(error),
        }
    }

    /// Resolves when a server has ended although no drain has begun. Cancel-safe.
    pub(super) async fn failed(&mut self) -> StartError {
        match self.servers.join_next().await {
            Some(ended) if !self.drain.is_draining() => judge(ended).err().unwrap_or(StartError::Ended),
            _ => std::future::pending().await,
        }
    }
}

fn judge(ended: Result<Result<(), BoxError>, JoinError>) -> Result<(), StartError> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(StartError::Failed(error)),
        Err(error) if error.is_cancelled() => Ok(()),
        Err(_) => Err(StartError::Panicked),
    }
}

#[cfg(all(test, multi_process))]
#[path = "serving_tests.rs"]
mod tests;
