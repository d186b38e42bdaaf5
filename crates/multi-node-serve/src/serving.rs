//! From servers and sockets to connections that are being answered, and the wait for the last of them.

use std::io;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::drain::{DrainSignal, cut};
use super::intake::Intake;
use super::listener::Listener;
use super::load::{Line, LoadTable};
use super::parcel::{Outlet, Parcel};
use super::places::Places;
use super::server::{BoxError, Context, Ready, Servers, Site};
use super::socket::Socket;
use super::stream::Doors;

/// Where a process stands among those that serve with it.
#[derive(Debug)]
pub struct Place {
    /// What all of them count.
    pub load: LoadTable,
    /// Its line of the table.
    pub line: usize,
    /// The doorbell; `None` for a process that is alone.
    pub bell: Option<BellFile>,
    /// Where connections go to that are idle in a drain; `None`: they are closed. So are they once nobody receives any more.
    pub outlet: Option<mpsc::Sender<Parcel>>,
    /// How many connections servers that speak HTTP and have no limit of their own allow together.
    pub most_connections: Option<usize>,
}

#[cfg(unix)]
type BellFile = std::os::fd::OwnedFd;
/// There are no doorbells where there are no other processes.
#[cfg(not(unix))]
type BellFile = std::convert::Infallible;

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
    /// They ended by themselves.
    pub finished: u64,
    /// They were still open at the deadline.
    pub cut: u64,
    /// Other processes have taken them over.
    pub handed_over: u64,
}

/// A process that serves.
#[derive(Debug)]
pub struct Serving {
    doors: Arc<Doors>,
    drain: DrainSignal,
    intake: Intake,
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
    mut place: Place,
    context: C,
    drain: DrainSignal,
) -> Result<Serving, StartError> {
    let ready = make_ready(servers, &context).await?;
    if ready.len() != sockets.len() {
        return Err(StartError::Sockets { servers: ready.len(), sockets: sockets.len() });
    }
    let (outlet, most_connections) = (place.outlet.take(), place.most_connections);
    let (doors, ended) = open_doors(place, &sockets, drain.clone())?;
    let common = most_connections.map(|count| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))));
    let places: Vec<_> = ready.iter().map(|server| Places::new(server.limit(), common.as_ref())).collect();
    let takes_over = ready.iter().zip(&places).map(|(server, places)| server.takes_over().then(|| places.clone()));
    let (intake, arrivals) = Intake::new(doors.clone(), drain.clone(), takes_over.collect());
    let mut tasks = JoinSet::new();
    let mut door = 0;
    let entries = ready.into_iter().zip(sockets).zip(arrivals).zip(places);
    for (index, (((server, sockets), arrivals), places)) in entries.enumerate() {
        let count = sockets.len();
        let listener = Listener::new(sockets, door, &doors, &drain)
            .map_err(|source| StartError::Io { action: "accept connections", source })?;
        let outlet = outlet.clone().map(|parcels| Outlet { server: index, parcels });
        let (context, drain, line) = (context.clone(), drain.clone(), doors.line.clone());
        let site = Site { listener, context, drain, places, line, outlet, arrivals };
        door += count;
        tasks.spawn(server.run(site));
    }
    doors.line.begin_serving(doors.now_ms());
    let (leaving, left) = oneshot::channel();
    tokio::spawn(leave_queue(doors.clone(), drain.clone(), ended, leaving));
    Ok(Serving { doors, drain, intake, servers: tasks, left: Some(left) })
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
fn open_doors(place: Place, sockets: &[Vec<Socket>], drain: DrainSignal) -> Result<(Arc<Doors>, Ended), StartError> {
    let line = take_line(&place.load, place.line)?;
    let Some(bell) = place.bell else { return Ok((Doors::new(line, drain, None), None)) };
    let failed = |source| StartError::Io { action: "start the acceptor", source };
    let files = sockets.iter().flatten().map(Socket::try_clone_file).collect::<io::Result<_>>().map_err(failed)?;
    let (acceptor, ended) = super::acceptor::Acceptor::start(place.load, line.clone(), bell, files).map_err(failed)?;
    Ok((Doors::new(line, drain, Some(acceptor)), Some(ended)))
}

#[cfg(not(multi_process))]
#[expect(clippy::needless_pass_by_value, reason = "as where there are nodes")]
fn open_doors(place: Place, _: &[Vec<Socket>], drain: DrainSignal) -> Result<(Arc<Doors>, Ended), StartError> {
    Ok((Doors::new(take_line(&place.load, place.line)?, drain), None))
}

fn take_line(load: &LoadTable, index: usize) -> Result<Line, StartError> {
    load.line(index).ok_or(StartError::Line(index))
}

/// Leaves the queue as soon as the drain begins, and says what was counted then.
async fn leave_queue(doors: Arc<Doors>, drain: DrainSignal, ended: Ended, left: oneshot::Sender<Count>) {
    drain.draining().await;
    let count = Count { open: doors.line.open(), accepted: doors.line.accepted() };
    doors.leave();
    if let Some(ended) = ended {
        let _ = ended.await;
    }
    let _ = left.send(count);
}

impl Serving {
    /// Waits until the drain has begun and is done: no connection is open and every server has returned, or its deadline
    /// has come. Cancel-safe; to be asked once.
    pub(super) async fn drained(&mut self) -> DrainReport {
        let Some(left) = &mut self.left else { return DrainReport::default() };
        let begin = left.await;
        self.left = None;
        let deadline = cut(self.drain.clone());
        let finished = async {
            while let Some(ended) = self.servers.join_next().await {
                if let Err(error) = judge(ended) {
                    multi_node_sys::log::warn!(%error, "a server failed while it drained");
                }
            }
            self.doors.emptied().await;
        };
        tokio::select! {
            biased;
            () = finished => {}
            () = deadline => self.servers.abort_all(),
        }
        let (cut, handed_over) = (self.doors.cut(), self.doors.handed_over());
        let taken = |begin: Count| begin.open + self.doors.line.accepted().wrapping_sub(begin.accepted);
        DrainReport { finished: begin.map_or(0, taken).saturating_sub(cut + handed_over), cut, handed_over }
    }

    /// Where connections come in that other processes hand over.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// The way in.
    #[cfg(multi_process)]
    pub fn entrance(&self) -> super::entrance::Entrance {
        super::entrance::Entrance::new(self.doors.clone())
    }

    /// Connections open now.
    #[cfg(test)]
    pub(super) fn open(&self) -> u64 {
        self.doors.line.open()
    }

    #[cfg(all(test, multi_process))]
    pub(super) fn acceptor(&self) -> super::acceptor::Acceptor {
        self.doors.acceptor.clone().expect("this one is not alone")
    }

    /// Waits until the drain is done, or a server has ended before it began. To be asked once.
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
