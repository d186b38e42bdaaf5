//! The new program's side: what it was started for, and what it takes over.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::rehearsal::Verdict;
use super::state::{Arrived, State};
use super::{courier, packing};
use crate::control;
use crate::environment::{self, Calling};
use crate::foreign::{Output, Program};
use crate::id::{Generation, NodeId, Slot};
use crate::order::ReloadReport;
use crate::serve::Socket;
use crate::signals::{Kind, Relay};
use crate::supervisor::child::Image;
use crate::supervisor::fleet::Saved;
use crate::supervisor::foreign::Legacy;
use crate::supervisor::guard::GuardProcess;
use crate::supervisor::member::Resting;
use crate::supervisor::primary_process::Running;
use crate::supervisor::watch::Heard;
use crate::wires::Totals;
use crate::{Error, SharedSecret, sys};

/// The call of a running master to go on in its place, or to say whether that could be done.
#[derive(Debug)]
pub struct Call {
    socket: StdUnixStream,
    calling: Calling,
    state: State,
    arrived: Arrived,
}

/// What a master leaves, unpacked.
pub(crate) struct Estate {
    pub(crate) sockets: Vec<Vec<Socket>>,
    pub(crate) load_file: OwnedFd,
    pub(crate) bell: OwnedFd,
    pub(crate) limits: Option<OwnedFd>,
    pub(crate) images: Vec<(Generation, Image)>,
    pub(crate) fleet: Saved,
    pub(crate) secret: Option<SharedSecret>,
    /// What was known of the nodes, where they are of another program.
    pub(crate) foreign: Option<Legacy>,
    /// When it was left.
    pub(crate) left: Instant,
    pub(crate) heritage: Heritage,
}

/// What of it the next master's loop begins with.
pub(crate) struct Heritage {
    pub(crate) left: Instant,
    pub(crate) members: Vec<Resting>,
    /// What nodes have counted that have ended, by slot.
    pub(crate) ended: BTreeMap<Slot, Totals>,
    /// What was heard of nodes and not dealt with.
    pub(crate) news: Vec<(NodeId, Heard)>,
    /// Signals that were not dealt with.
    pub(crate) signals: Vec<Kind>,
    /// How the nodes were replaced for this.
    pub(crate) reload: Option<ReloadReport>,
    /// What other programs write.
    pub(crate) outputs: Vec<Output>,
    /// Who guards the nodes.
    pub(crate) guard: Option<GuardProcess>,
    /// The primary process of Node.js programs.
    pub(crate) primary: Option<Running>,
}

/// A call that was taken over before `listen`, for which it waits here.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

/// What stood on standard input.
struct Taken {
    socket: StdUnixStream,
    calling: Calling,
    read: io::Result<(State, Arrived)>,
}

impl Taken {
    /// Whether this process was called: the environment says so, and standard input is a socket that the caller made, who
    /// is this process itself in a succession. It takes over standard input, which is again what it was for the caller.
    fn find() -> Result<Option<Taken>, Error> {
        let Some((caller, calling)) = environment::called() else { return Ok(None) };
        let maker = sys::socket::maker(io::stdin().as_fd()).ok();
        let rightly = calling == Calling::Rehearsal || caller == std::process::id();
        if maker != Some(caller) || !rightly {
            return Ok(None);
        }
        let socket = sys::socket::take_stdin().map_err(Error::io("take over the master's state"))?;
        let read = Call::read(&socket, calling);
        Ok(Some(Taken { socket, calling, read }))
    }
}

impl Call {
    /// Takes the call over before anybody else can touch standard input, if there is one. [`heard`](Call::heard) gives it.
    pub fn claim() -> Result<(), Error> {
        if let Some(taken) = Taken::find()? {
            *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        }
        Ok(())
    }

    /// The call, if this process was called.
    ///
    /// # Errors
    /// [`Error::Succession`] for a state that cannot be read. A rehearsal has been answered by then.
    pub async fn heard() -> Result<Option<Call>, Error> {
        let claimed = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
        let taken = if claimed.is_some() { claimed } else { Taken::find()? };
        let Some(Taken { socket, calling, read }) = taken else { return Ok(None) };
        match (read, calling) {
            (Ok((state, arrived)), _) => Ok(Some(Call { socket, calling, state, arrived })),
            (Err(error), Calling::Rehearsal) => Err(conclude(socket, Err(unreadable(&error))).await),
            (Err(error), Calling::Succession) => Err(Error::Succession { cause: unreadable(&error) }),
        }
    }

    fn read(socket: &StdUnixStream, calling: Calling) -> io::Result<(State, Arrived)> {
        let (state, mut arrived) = courier::receive(socket.as_fd())?;
        if calling == Calling::Succession {
            if let Some(stdin) = state.stdin {
                sys::exec::set_stdin(arrived.take(stdin)?.as_fd())?;
            }
            // The program was started by a name that says nothing: that of a descriptor.
            sys::process::set_name(&state.name)?;
        }
        Ok((state, arrived))
    }

    /// What there is to go on with, unless this was only to see whether it could be done: then it does not return.
    ///
    /// # Errors
    /// [`Error::Succession`] where this release or this program cannot go on from the state.
    pub(crate) async fn accept(self, addresses: &[Vec<String>], program: Option<&Program>) -> Result<Estate, Error> {
        let checked = self.state.check(addresses, program);
        match (self.calling, checked) {
            (Calling::Rehearsal, checked) => Err(conclude(self.socket, checked).await),
            (Calling::Succession, Ok(())) => {
                let unpacked = unpack(self.state, self.arrived);
                unpacked.map_err(|error| Error::Succession { cause: error.to_string() })
            }
            (Calling::Succession, Err(cause)) => Err(Error::Succession { cause }),
        }
    }

    /// The program cannot come so far as to accept.
    pub async fn refuse(self, error: Error) -> Error {
        match self.calling {
            Calling::Rehearsal => conclude(self.socket, Err(error.to_string())).await,
            Calling::Succession => error,
        }
    }
}

/// Answers a rehearsal, and waits for the end, which the master brings about.
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

fn unpack(state: State, mut arrived: Arrived) -> io::Result<Estate> {
    let arrived = &mut arrived;
    let since = Duration::from_millis(sys::epoll::monotonic_ms().saturating_sub(state.written_ms));
    let now = Instant::now();
    let left = now.checked_sub(since).unwrap_or(now);
    let mut signals = state.early;
    for (kind, end) in state.signals {
        signals.extend(Relay::has_come(arrived.take(end)?).then_some(kind));
    }
    let sockets = packing::unpack_sockets(&state.sockets, arrived)?;
    let given = sockets.first().map(Vec::as_slice).unwrap_or_default();
    let foreign = state.foreign.map(|foreign| Legacy::unpack(foreign, given, arrived)).transpose()?;
    let heritage = Heritage {
        left,
        members: each(state.members, |member| packing::unpack_member(member, foreign.as_ref(), arrived))?,
        ended: state.ended,
        news: state.news,
        signals,
        reload: state.reload,
        outputs: each(state.outputs, |output| packing::unpack_output(output, arrived))?,
        primary: state.primary.map(|primary| packing::unpack_primary(primary, arrived)).transpose()?,
        guard: state.guard.map(|guard| packing::unpack_guard(guard, arrived)).transpose()?,
    };
    Ok(Estate {
        sockets,
        load_file: arrived.take(state.load)?,
        bell: arrived.take(state.bell)?,
        limits: state.limits.map(|limits| arrived.take(limits)).transpose()?,
        images: each(state.images, |image| packing::unpack_image(image, arrived))?,
        fleet: state.fleet,
        secret: state.secret,
        foreign,
        left,
        heritage,
    })
}

fn each<A, B>(all: Vec<A>, one: impl FnMut(A) -> io::Result<B>) -> io::Result<Vec<B>> {
    all.into_iter().map(one).collect()
}
