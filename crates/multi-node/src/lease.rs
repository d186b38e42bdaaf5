//! Jobs that only one process may do at a time: this process's part in leases.
//!
//! ```no_run
//! use multi_node::{BoxError, Handle};
//! use multi_node::lease::{Lease, LeaseRefused};
//! use std::time::Duration;
//!
//! async fn send_mails() {}
//!
//! # fn f(node: Handle) -> Result<(), LeaseRefused> {
//! node.leader("mails", async |lease: Lease| {
//!     while !lease.is_lost() {
//!         send_mails().await;
//!         tokio::select! {
//!             () = tokio::time::sleep(Duration::from_secs(60)) => {}
//!             () = lease.lost() => {}
//!         }
//!     }
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! The master grants a lease. Its holder also locks the lease's file, so that no process of a later run holds the lease beside it.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::id::{Generation, NodeId};
#[doc(inline)]
pub use crate::leases::LeaseRefused;
use crate::leases::{Claim, Leases, MOST_LEASES, Standing, check_lease_name};
use crate::options::Settings;
use crate::process_links::LeaseRequest;
use crate::serve::DrainSignal;
#[cfg(multi_process)]
use crate::{
    lease_files::{LeaseDirectory, LeaseFile},
    plan,
};

#[cfg(all(multi_process, feature = "join"))]
mod machines;
#[cfg(all(multi_process, feature = "join"))]
mod term;
#[cfg(all(multi_process, feature = "join"))]
pub(crate) use machines::lead;

/// How long a process rests after its job has panicked, before it waits for the lease again.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// How often the holder of a lease tries to lock its file while a process of an earlier run has it.
const LOCK_EVERY: Duration = Duration::from_millis(50);

/// How often it tries if the file cannot be used.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// The right to do a job that only one process of the machine may do at a time. [`Handle::leader`](crate::Handle::leader) gives it to a closure, which holds it until it
/// returns.
///
/// ```no_run
/// use multi_node::lease::Lease;
///
/// async fn job(lease: Lease) {
///     tokio::select! {
///         () = lease.lost() => println!("{} is another node's from now on", lease.name()),
///         () = std::future::pending() => {} // the work
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Lease {
    name: Arc<str>,
    draining: DrainSignal,
    /// Of a lease over machines: the token of its term, and whether it is over.
    term: Option<(u64, watch::Receiver<bool>)>,
}

impl Lease {
    /// The lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Resolves when the job should end: the process drains, its master has gone, or a lease over machines was not renewed. Until the closure returns no other process gets the
    /// lease. Cancel-safe.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.draining.draining() => {}
            () = self.term_is_over() => {}
        }
    }

    async fn term_is_over(&self) {
        match &self.term {
            // Its sender goes when the job has ended.
            Some((_, over)) => drop(over.clone().wait_for(|over| *over).await),
            None => std::future::pending().await,
        }
    }

    /// Whether the job should end.
    pub fn is_lost(&self) -> bool {
        self.draining.is_draining() || self.term.as_ref().is_some_and(|(_, over)| *over.borrow())
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("name", &self.name).field("is_lost", &self.is_lost()).finish()
    }
}

/// A process's part in one lease, as [`Handle::leader`](crate::Handle::leader) returns it. It resolves when this process no longer takes part: its closure has returned, or
/// the process drains. Dropping it changes nothing.
#[derive(Debug)]
pub struct Leadership(JoinHandle<()>);

impl Future for Leadership {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // An error means that the runtime ends.
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// Where this process finds the files of leases.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeasePlace(#[cfg(multi_process)] Option<LeaseDirectory>);

#[cfg(multi_process)]
impl LeasePlace {
    /// For the process that leads the run. Where its nodes have another user, they have the files.
    pub(crate) fn of_run(settings: &Settings) -> LeasePlace {
        let is_of_this_user = settings.launch.identity.is_none();
        LeasePlace(is_of_this_user.then(|| LeaseDirectory::of(&plan::own_run(settings))))
    }

    /// For a node.
    pub(crate) fn of_node() -> LeasePlace {
        LeasePlace(LeaseDirectory::of_node())
    }

    fn try_lock(&self, name: &str) -> Result<Option<LeaseFile>, String> {
        let Some(directory) = &self.0 else { return Err("the environment does not name the instance".to_owned()) };
        directory.try_lock(name).map_err(|(path, error)| format!("{}: {error}", path.display()))
    }
}

/// A process that is alone on its system.
#[cfg(not(multi_process))]
impl LeasePlace {
    pub(crate) fn of_run(_: &Settings) -> LeasePlace {
        LeasePlace()
    }

    fn try_lock(&self, _: &str) -> Result<Option<LeaseFile>, String> {
        Ok(Some(LeaseFile))
    }
}

#[cfg(not(multi_process))]
struct LeaseFile;

/// What a process asks of its loop. Of each job two messages may wait: that it wants its lease, and that it returns it.
pub(crate) fn requests() -> (mpsc::Sender<LeaseRequest>, mpsc::Receiver<LeaseRequest>) {
    mpsc::channel(2 * MOST_LEASES)
}

/// This process's part in all leases.
#[derive(Clone)]
pub(crate) struct Leader(Arc<Part>);

struct Part {
    requests: mpsc::Sender<LeaseRequest>,
    place: LeasePlace,
    draining: DrainSignal,
    tickets: AtomicU64,
    /// One for each job that may run or wait.
    room: Arc<Semaphore>,
    /// How many jobs run.
    running: watch::Sender<usize>,
}

impl Leader {
    pub(crate) fn new(requests: mpsc::Sender<LeaseRequest>, place: LeasePlace, draining: DrainSignal) -> Leader {
        let (room, running) = (Arc::new(Semaphore::new(MOST_LEASES)), watch::Sender::new(0));
        Leader(Arc::new(Part { requests, place, draining, tickets: AtomicU64::new(1), room, running }))
    }

    #[cfg(test)]
    pub(crate) fn detached() -> Leader {
        Leader::new(requests().0, LeasePlace::default(), crate::serve::Drain::new().1)
    }

    /// Does the job in a task whenever this process holds the lease.
    pub(crate) fn take_part<F, R>(&self, name: &str, job: F) -> Result<Leadership, LeaseRefused>
    where
        F: Fn(Lease) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        check_lease_name(name)?;
        let room = self.0.room.clone().try_acquire_owned().map_err(|_| LeaseRefused::TooMany)?;
        let seeker = Seeker { part: self.0.clone(), name: name.into(), _room: room };
        Ok(Leadership(tokio::spawn(async move { seeker.lead(job).await })))
    }

    /// Where the files of this program's leases are, if this process has them.
    #[cfg(multi_process)]
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        self.0.place.0.as_ref().map(|directory| directory.path().to_owned())
    }

    #[cfg(not(multi_process))]
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        None
    }

    /// Resolves when no job runs any more, or the drain's time is over.
    pub(crate) async fn all_returned(&self) {
        let mut running = self.0.running.subscribe();
        let returned = running.wait_for(|running| *running == 0);
        // Without a drain the service has ended by an error.
        if let Some(deadline) = self.0.draining.deadline() {
            let _ = tokio::time::timeout_at(deadline, returned).await;
        }
    }
}

/// Who waits for a lease, to do one job.
struct Seeker {
    part: Arc<Part>,
    name: Arc<str>,
    _room: OwnedSemaphorePermit,
}

impl Seeker {
    async fn lead<F, R>(self, job: F)
    where
        F: Fn(Lease) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let drains = self.part.draining.clone();
        loop {
            let term = tokio::select! {
                term = self.term() => term,
                () = drains.draining() => return,
            };
            let doing = job(Lease { name: self.name.clone(), draining: drains.clone(), term: None });
            // The term ends with the job, also where the runtime ends.
            let done = tokio::spawn(async move {
                let _term = term;
                doing.await;
            });
            match done.await {
                Err(error) if error.is_panic() => {}
                _ => return,
            }
            crate::log::error!(
                lease = &*self.name,
                "the job of a lease has panicked; this process waits for the lease again"
            );
            tokio::select! {
                () = tokio::time::sleep(AFTER_PANIC) => {}
                () = drains.draining() => return,
            }
        }
    }

    /// Resolves when this process holds the lease: the master has granted it, and its file is locked. Cancel-safe.
    async fn term(&self) -> Term {
        let (granted, is_granted) = oneshot::channel();
        let ticket = self.part.tickets.fetch_add(1, Ordering::Relaxed);
        let Ok(returns) = self.part.requests.clone().reserve_owned().await else { return std::future::pending().await };
        let claim = OwnClaim { ticket, returns: Some(returns) };
        // Without anybody who grants it, the process never gets it.
        let _ = self.part.requests.send(LeaseRequest::Seek { ticket, name: self.name.to_string(), granted }).await;
        if is_granted.await.is_err() {
            std::future::pending::<()>().await;
        }
        let file = self.lock().await;
        self.part.running.send_modify(|running| *running += 1);
        crate::log::debug!(lease = &*self.name, "this process holds the lease");
        Term { _file: file, _running: Running(self.part.clone()), _claim: claim }
    }

    async fn lock(&self) -> LeaseFile {
        let mut is_told = false;
        loop {
            let tells = !std::mem::replace(&mut is_told, true);
            let pause = match self.part.place.try_lock(&self.name) {
                Ok(Some(file)) => return file,
                Ok(None) => {
                    if tells {
                        crate::log::info!(
                            lease = &*self.name,
                            "a job waits for its lease, which a process of an earlier run holds, or `multi-node lock`"
                        );
                    }
                    LOCK_EVERY
                }
                Err(error) => {
                    if tells {
                        crate::log::error!(
                            lease = &*self.name,
                            error,
                            "cannot lock the file of a lease; its job waits"
                        );
                    }
                    AFTER_ERROR
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// The time for which this process holds a lease. When it ends, the file is unlocked first, so that the next holder finds it so.
struct Term {
    _file: LeaseFile,
    _running: Running,
    _claim: OwnClaim,
}

struct Running(Arc<Part>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

/// A claim that the master knows of, and that is returned.
struct OwnClaim {
    ticket: u64,
    /// Room for the message, so that it is never lost.
    returns: Option<OwnedPermit<LeaseRequest>>,
}

impl Drop for OwnClaim {
    fn drop(&mut self) {
        if let Some(returns) = self.returns.take() {
            returns.send(LeaseRequest::Return { ticket: self.ticket });
        }
    }
}

/// The leases of a process that serves alone: it grants them to itself, by the rules of a master.
pub(crate) struct OwnLeases {
    requests: mpsc::Receiver<LeaseRequest>,
    leases: Leases,
    waiting: Vec<(u64, oneshot::Sender<()>)>,
}

impl OwnLeases {
    pub(crate) fn new(requests: mpsc::Receiver<LeaseRequest>) -> OwnLeases {
        OwnLeases { requests, leases: Leases::default(), waiting: Vec::new() }
    }

    /// Handles the next request. Cancel-safe.
    pub(crate) async fn turn(&mut self) {
        match self.requests.recv().await {
            Some(LeaseRequest::Seek { ticket, name, granted }) => {
                // The bounds were checked where it was asked.
                if self.leases.seek(&name, own_claim(ticket)).is_ok() {
                    self.waiting.push((ticket, granted));
                }
            }
            Some(LeaseRequest::Return { ticket }) => {
                self.leases.give_back(own_claim(ticket));
                self.waiting.retain(|(waiting, _)| *waiting != ticket);
            }
            None => std::future::pending().await,
        }
        for claim in self.leases.settle(|_| Standing::Serves(Generation::default())) {
            let granted = self.waiting.iter().position(|(ticket, _)| *ticket == claim.ticket);
            if let Some((_, granted)) = granted.map(|at| self.waiting.swap_remove(at)) {
                // It may have stopped waiting, and then returns the lease.
                let _ = granted.send(());
            }
        }
    }
}

fn own_claim(ticket: u64) -> Claim {
    Claim { id: NodeId::MASTER, ticket }
}
