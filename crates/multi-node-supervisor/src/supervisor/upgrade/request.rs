//! The new program's side: what it was started for, and what it takes over.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::courier;
use super::preflight::Verdict;
use super::state::{LEFT_OUT, Rested, State};
use crate::bind::Manner;
use crate::command::ReloadReport;
use crate::control::{self, Fd, PassedSocket};
use crate::environment::{self, UpgradeStep};
use crate::id::{Generation, NodeId, Slot};
use crate::output::Output;
use crate::process_links::Totals;
use crate::serve::Socket;
use crate::signals::{Kind, Relay};
use crate::supervisor::child::Image;
use crate::supervisor::fleet::Saved;
use crate::supervisor::guard::GuardProcess;
use crate::supervisor::member::SuspendedMember;
use crate::supervisor::watch::NodeEvent;
use crate::supervisor::workload::{StartContext, Workload, WorkloadSpec};
use crate::tls_state::TlsState;
use crate::{Error, SharedSecret, sys};

/// The request of a running master to continue in its place, or to report whether that would work.
#[derive(Debug)]
pub struct UpgradeRequest {
    socket: StdUnixStream,
    calling: UpgradeStep,
    state: State,
}

/// What a master leaves, decoded.
pub(crate) struct LeftState {
    pub(crate) sockets: Vec<Vec<Socket>>,
    pub(crate) load_file: OwnedFd,
    pub(crate) wake_fd: OwnedFd,
    pub(crate) limits: Option<OwnedFd>,
    pub(crate) images: BTreeMap<Generation, Image>,
    pub(crate) fleet: Saved,
    pub(crate) secret: Option<SharedSecret>,
    pub(crate) tls: Option<TlsState>,
    pub(crate) workload: Box<dyn Workload>,
    /// When it was left.
    pub(crate) left: Instant,
    pub(crate) inherited: InheritedLoop,
}

/// What of it the next master's loop begins with.
pub(crate) struct InheritedLoop {
    pub(crate) left: Instant,
    pub(crate) members: Vec<SuspendedMember>,
    /// What nodes have counted that have ended, by slot.
    pub(crate) ended: BTreeMap<Slot, Totals>,
    /// Unhandled events of nodes.
    pub(crate) news: Vec<(NodeId, NodeEvent)>,
    /// Signals that were not dealt with.
    pub(crate) signals: Vec<Kind>,
    /// How the nodes were replaced for this.
    pub(crate) reload: Option<ReloadReport>,
    /// What nodes write.
    pub(crate) outputs: Vec<Output>,
    /// Who guards the nodes.
    pub(crate) guard: Option<GuardProcess>,
}

/// A request that was read before `listen`. It waits here for `listen`.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

/// The request from standard input.
struct Taken {
    socket: StdUnixStream,
    calling: UpgradeStep,
    read: io::Result<State>,
}

impl Taken {
    /// Whether another process requested a step of an upgrade from this one. Then the environment contains the request, and
    /// standard input is a socket that the requester made. In a resume the requester is this process itself. Takes over
    /// standard input, and puts back what it was for the requester.
    fn find() -> Result<Option<Taken>, Error> {
        let Some((caller, calling)) = environment::requested() else { return Ok(None) };
        let maker = sys::socket::maker(io::stdin().as_fd()).ok();
        let rightly = calling == UpgradeStep::Preflight || caller == std::process::id();
        if maker != Some(caller) || !rightly {
            return Ok(None);
        }
        let socket = sys::socket::take_stdin().map_err(Error::io("take over the master's state"))?;
        let read = UpgradeRequest::read(&socket, calling);
        Ok(Some(Taken { socket, calling, read }))
    }
}

impl UpgradeRequest {
    /// Reads the request, if there is one, before any other code can touch standard input.
    /// [`received`](UpgradeRequest::received) returns it.
    pub fn claim() -> Result<(), Error> {
        if let Some(taken) = Taken::find()? {
            *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        }
        Ok(())
    }

    /// The call, if this process was called.
    ///
    /// # Errors
    /// [`Error::Resume`] for a state that cannot be read. A preflight has been answered by then.
    pub async fn received() -> Result<Option<UpgradeRequest>, Error> {
        let claimed = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
        let taken = if claimed.is_some() { claimed } else { Taken::find()? };
        let Some(Taken { socket, calling, read }) = taken else { return Ok(None) };
        match (read, calling) {
            (Ok(state), _) => Ok(Some(UpgradeRequest { socket, calling, state })),
            (Err(error), UpgradeStep::Preflight) => Err(conclude(socket, Err(unreadable(&error))).await),
            (Err(error), UpgradeStep::Resume) => Err(Error::Resume { cause: unreadable(&error) }),
        }
    }

    fn read(socket: &StdUnixStream, calling: UpgradeStep) -> io::Result<State> {
        if let Some(why) = LEFT_OUT {
            return Err(io::Error::other(why));
        }
        let mut state = courier::receive(socket.as_fd())?;
        if calling == UpgradeStep::Resume {
            if let Some(stdin) = state.rested.as_mut().and_then(|rested| rested.stdin.take()) {
                sys::exec::set_stdin(stdin.into_owned()?.as_fd())?;
            }
            // The program was started by a name that says nothing: that of a descriptor.
            sys::process::set_name(&state.name)?;
        }
        Ok(state)
    }

    /// The state to continue from. In a preflight it does not return.
    ///
    /// # Errors
    /// [`Error::Resume`] if this release or this program cannot continue from the state.
    pub(crate) async fn accept(
        self,
        addresses: &[Vec<String>],
        workload: Box<dyn WorkloadSpec>,
        manner: Manner,
    ) -> Result<LeftState, Error> {
        let checked = self.state.check(addresses, &*workload);
        match (self.calling, checked) {
            (UpgradeStep::Preflight, checked) => Err(conclude(self.socket, checked).await),
            (UpgradeStep::Resume, Ok(())) => {
                let decoded = unpack(self.state, workload, manner);
                decoded.map_err(|error| Error::Resume { cause: error.to_string() })
            }
            (UpgradeStep::Resume, Err(cause)) => Err(Error::Resume { cause }),
        }
    }

    /// Whether this process only has to tell whether it could continue.
    pub fn is_preflight(&self) -> bool {
        self.calling == UpgradeStep::Preflight
    }

    /// The program cannot come so far as to accept.
    pub async fn refuse(self, error: Error) -> Error {
        match self.calling {
            UpgradeStep::Preflight => conclude(self.socket, Err(error.to_string())).await,
            UpgradeStep::Resume => error,
        }
    }
}

/// Answers a preflight, and waits for the end, which the master brings about.
async fn conclude(socket: StdUnixStream, checked: Result<(), String>) -> Error {
    let verdict = match checked {
        Ok(()) => Verdict::Ready,
        Err(why) => Verdict::Refused { why },
    };
    let answered = async {
        let (mut reader, mut writer) = control::channel::<Verdict, Verdict>(socket)?;
        writer.send(verdict).await?;
        reader.next().await
    };
    // Whatever comes of it, there is no master any more that would want to know.
    let _ = answered.await;
    Error::MasterGone
}

fn unreadable(error: &io::Error) -> String {
    format!("the state of the running program cannot be read: {error}")
}

fn unpack(state: State, workload: Box<dyn WorkloadSpec>, manner: Manner) -> io::Result<LeftState> {
    let since = Duration::from_millis(sys::epoll::monotonic_ms().saturating_sub(state.written_ms));
    let now = Instant::now();
    let left = now.checked_sub(since).unwrap_or(now);
    let Rested { members, news, early: mut signals, signals: waiting, reload, outputs, guard, .. } =
        state.rested.unwrap_or_default();
    for (end, kind) in waiting {
        signals.extend(Relay::has_come(end.into_owned()?).then_some(kind));
    }
    let inherited = InheritedLoop { left, members, ended: state.ended, news, signals, reload, outputs, guard };
    let sockets = PassedSocket::open_all(state.sockets)?;
    let context = StartContext { sockets: &sockets, manner, open_files: None };
    let workload = workload.resume(state.workload, context)?;
    Ok(LeftState {
        sockets,
        load_file: state.load.into_owned()?,
        wake_fd: state.wake_fd.into_owned()?,
        limits: state.limits.map(Fd::into_owned).transpose()?,
        images: state.images,
        fleet: state.fleet,
        secret: state.secret,
        tls: state.tls,
        workload,
        left,
        inherited,
    })
}
