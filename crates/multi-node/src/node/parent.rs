//! The master as a node sees it: the socket on fd 0, and the first exchange.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::control::{self, HelloAck, Reader, ToMaster, ToNode, VERSIONS, Writer};
use crate::{Error, environment, sys};

/// A master that lives answers at once.
const ANSWER: Duration = Duration::from_secs(60);

/// Whether this process was started as a node: the environment names its master, and fd 0 is a Unix socket which that
/// master made, or that was left open for this very process. A descendant of a node has the variable alone, and may be a
/// master of its own. A master that has died since is still named by the socket, so that its node never takes itself for a
/// master.
pub(crate) fn is_node() -> bool {
    let Some(parent_info) = environment::parent_info() else { return false };
    let made = |socket: BorrowedFd<'_>| sys::socket::maker(socket).is_ok_and(|maker| maker == parent_info.master);
    match parent_info.left {
        None => made(io::stdin().as_fd()),
        // Who serves in the one process needs no master.
        Some(left) if left.pid != std::process::id() || environment::off().unwrap_or(false) => false,
        Some(left) => sys::process::own_descriptor(left.number).is_ok_and(|socket| made(socket.as_fd())),
    }
}

/// The control socket.
enum Claim {
    Open,
    /// Taken from its number, for when the node begins.
    Taken(StdUnixStream),
    /// The node has it.
    Over,
}

static CLAIM: Mutex<Claim> = Mutex::new(Claim::Open);

fn claimed() -> MutexGuard<'static, Claim> {
    // It cannot be left half changed.
    CLAIM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the control socket over, so that the program's own code cannot come in its way. A second call does nothing.
pub(crate) fn claim() -> Result<(), Error> {
    let mut claim = claimed();
    if matches!(*claim, Claim::Open) {
        let left = environment::parent_info().and_then(|parent_info| parent_info.left);
        let taken = left.map_or_else(sys::socket::take_stdin, |left| take_left(left.number));
        *claim = Claim::Taken(taken.map_err(Error::io("take over the control socket"))?);
    }
    Ok(())
}

/// What this process starts is to inherit neither the socket nor the listening sockets, which come again with the welcome.
fn take_left(number: u32) -> io::Result<StdUnixStream> {
    crate::systemd::keep_sockets()?;
    Ok(sys::place::take(number)?.into())
}

/// The way to the master.
pub(crate) struct Parent {
    pub(crate) reader: Reader<ToNode>,
    pub(crate) writer: Writer<ToMaster>,
    /// The same socket, for a task that only waits for its end.
    pub(crate) socket: StdUnixStream,
}

impl Parent {
    /// Takes over fd 0, where `/dev/null` remains.
    pub(crate) fn take() -> Result<Parent, Error> {
        claim()?;
        let Claim::Taken(socket) = std::mem::replace(&mut *claimed(), Claim::Over) else {
            return Err(Error::SecondListen);
        };
        let adopt = || control::channel(socket.try_clone()?);
        let (reader, writer) = adopt().map_err(Error::io("read the control socket"))?;
        Ok(Parent { reader, writer, socket })
    }

    /// Tells the master that the program has reached `listen`, and what it is to serve.
    pub(crate) async fn hello(&mut self, addresses: Vec<Vec<String>>, has_owners: bool) -> Result<HelloAck, Error> {
        match self.say_hello(addresses, has_owners).await? {
            ToNode::HelloAck(hello_ack) => Ok(*hello_ack),
            other => Err(no_answer(other)),
        }
    }

    /// Tells the master that this is its gateway. Gives the master's epoch, and what the gateway goes by.
    #[cfg(feature = "nats")]
    pub(crate) async fn gateway_hello(&mut self) -> Result<(u64, control::GatewaySettings), Error> {
        match self.say_hello(Vec::new(), false).await? {
            ToNode::GatewayAck { epoch, settings, .. } => Ok((epoch, settings)),
            other => Err(no_answer(other)),
        }
    }

    async fn say_hello(&mut self, addresses: Vec<Vec<String>>, has_owners: bool) -> Result<ToNode, Error> {
        let mut capabilities = control::capabilities();
        capabilities.retain(|capability| has_owners || capability != control::OWNERS);
        let hello = ToMaster::Hello { versions: VERSIONS, addresses, capabilities };
        self.writer.send(hello).await.map_err(|error| control::broken(&error))?;
        let answer = tokio::time::timeout(ANSWER, self.reader.next()).await;
        match answer.map_err(|_| Error::Control { cause: "the master does not answer".to_owned() })? {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Error::MasterGone),
            Err(error) => Err(control::broken(&error)),
        }
    }
}

fn no_answer(message: ToNode) -> Error {
    let cause = match message {
        ToNode::Refused { why } => why,
        _ => "the master's first message is no answer to hello".to_owned(),
    };
    Error::Control { cause }
}
