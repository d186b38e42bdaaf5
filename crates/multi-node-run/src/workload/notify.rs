//! Readiness notifications of a program: on the socket that `NOTIFY_SOCKET` names, or on a descriptor.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::process_event;
use super::process_monitor::ProcessEvents;
use crate::id::NodeId;
use crate::status::ReadyBy;
use crate::supervisor::told_to_rest;
use crate::sys;
use crate::sys::datagram::{Datagrams, Sender};

/// sd_notify(3) sends no more than a few lines.
const LONGEST: usize = 4096;

/// One node's own notification socket, so that what comes there speaks of that node. Its name is an abstract one
/// (unix(7)): nothing stays behind in a directory.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: Datagrams,
    name: String,
}

impl NotifySocket {
    pub(super) fn new(id: NodeId) -> io::Result<NotifySocket> {
        // No other process may take the name before us.
        let chance = RandomState::new().build_hasher().finish();
        let name = format!("multi-node/{}/{id}/{chance:016x}", std::process::id());
        Ok(NotifySocket { socket: Datagrams::bind(&name)?, name })
    }

    /// What `NOTIFY_SOCKET` is to say.
    pub(super) fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// The socket of this name, as it came from another process.
    pub(super) fn adopt(name: String, socket: OwnedFd) -> io::Result<NotifySocket> {
        Ok(NotifySocket { socket: Datagrams::adopt(socket)?, name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reports the notifications of the node's processes, until it is suspended. Descriptors that come along are closed at
    /// once, which is what `BARRIER=1` waits for.
    pub(super) async fn read(&self, node: u32, notes: &ProcessEvents) {
        let (mut bytes, mut rest) = ([0; LONGEST], notes.rest.clone());
        loop {
            let received = tokio::select! {
                received = self.socket.receive(&mut bytes) => received,
                () = told_to_rest(&mut rest) => return,
            };
            let (count, sender) = match received {
                Ok(received) => received,
                Err(error) => return crate::log::error!(%error, "cannot read a node's notifications"),
            };
            if !belongs(sender, node) {
                crate::log::warn!(
                    pid = sender.pid,
                    "a notification from a process that is none of the node's is ignored"
                );
                continue;
            }
            for note in process_event::notes(&String::from_utf8_lossy(&bytes[..count])) {
                notes.tell(note).await;
            }
        }
    }
}

/// Whether the sender is a process of the node. One that has ended already must have been of this user or of the node's, who
/// could do anything to the node anyway.
fn belongs(sender: Sender, node: u32) -> bool {
    match sys::process::is_of_family(sender.pid, node) {
        Some(belongs) => belongs,
        None => sender.is_of_our_user() || sys::process::user_of(node) == Some(sender.uid),
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for a newline, which it reports, for the end of the pipe, or until it is suspended. Only in the last case the pipe
/// may be read again.
pub(super) async fn newline(pipe: OwnedFd, notes: &ProcessEvents) -> Option<OwnedFd> {
    let mut pipe = pipe::Receiver::from_owned_fd(pipe).ok()?;
    let (mut bytes, mut rest) = ([0; 64], notes.rest.clone());
    loop {
        let read = tokio::select! {
            read = pipe.read(&mut bytes) => read,
            () = told_to_rest(&mut rest) => return pipe.into_nonblocking_fd().ok(),
        };
        match read {
            Ok(0) | Err(_) => return None,
            Ok(count) if bytes[..count].contains(&b'\n') => {
                notes.ready(ReadyBy::Descriptor).await;
                return None;
            }
            Ok(_) => {}
        }
    }
}
