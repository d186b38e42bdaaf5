//! What a program says by itself: on the socket that `NOTIFY_SOCKET` names, or on a descriptor.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::attendance::Notes;
use super::note;
use crate::id::NodeId;
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
        // Nobody shall take the name before us.
        let chance = RandomState::new().build_hasher().finish();
        let name = format!("multi-node/{}/{id}/{chance:016x}", std::process::id());
        Ok(NotifySocket { socket: Datagrams::bind(&name)?, name })
    }

    /// What `NOTIFY_SOCKET` is to say.
    pub(super) fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// Tells what the processes of the node say, for ever. Descriptors that come along are closed at once, which is what
    /// `BARRIER=1` waits for.
    pub(super) async fn read(self, node: u32, notes: &Notes) {
        let mut bytes = [0; LONGEST];
        loop {
            let (count, sender) = match self.socket.receive(&mut bytes).await {
                Ok(received) => received,
                Err(error) => return tracing::error!(%error, "cannot read a node's notifications"),
            };
            if !belongs(sender, node) {
                tracing::warn!(pid = sender.pid, "a notification from a process that is none of the node's is ignored");
                continue;
            }
            for note in note::notes(&String::from_utf8_lossy(&bytes[..count])) {
                notes.tell(note).await;
            }
        }
    }
}

/// Whether the sender is a process of the node. One that has ended already must have been of this user, who could do
/// anything to the node anyway.
fn belongs(sender: Sender, node: u32) -> bool {
    match sys::process::is_of_family(sender.pid, node) {
        Some(belongs) => belongs,
        None => sender.is_of_our_user(),
    }
}

/// Waits for a newline, or for the end of the pipe: whether it came.
pub(super) async fn newline(pipe: OwnedFd) -> bool {
    let Ok(mut pipe) = pipe::Receiver::from_owned_fd(pipe) else { return false };
    let mut bytes = [0; 64];
    loop {
        match pipe.read(&mut bytes).await {
            Ok(0) | Err(_) => return false,
            Ok(count) if bytes[..count].contains(&b'\n') => return true,
            Ok(_) => {}
        }
    }
}
