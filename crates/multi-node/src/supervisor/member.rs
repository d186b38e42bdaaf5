//! A node that lives: its process, its line in the load table, and the way to its ears.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::child::{self, Child, Heard, Watch};
use super::foreign::Attendance;
use crate::control::{self, ToNode, Writer};
use crate::id::{Generation, NodeId};
use crate::mesh::PeerInfo;
use crate::nodes::Snapshot;

/// How far apart two reports of the fleet's state to one node are at least.
const STATUS_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) info: PeerInfo,
    pub(super) generation: Generation,
    pub(super) process: OwnedFd,
    /// Its line in the load table.
    pub(super) line: usize,
    /// The protocol version that was agreed upon, once it has said hello and been answered.
    pub(super) version: Option<u32>,
    /// What is watched of a program that does not link this crate.
    pub(super) attendance: Option<Attendance>,
    outbox: mpsc::Sender<ToNode>,
    examine: Arc<Notify>,
}

impl Member {
    /// Takes on a child: from now on `heard` tells what it says and how it ends.
    pub(super) fn new(
        child: Child,
        info: PeerInfo,
        generation: Generation,
        line: usize,
        (outbox, messages): (mpsc::Sender<ToNode>, mpsc::Receiver<ToNode>),
        heard: mpsc::Sender<(NodeId, Heard)>,
        snapshot: watch::Receiver<Snapshot>,
    ) -> io::Result<Member> {
        let (reader, writer) = control::channel(child.control)?;
        let (process, watched) = (child.process.try_clone()?, child.process);
        let examine = Arc::new(Notify::new());
        let watch = Watch { id: info.id, pid: info.pid, heard, examine: examine.clone() };
        tokio::spawn(async move {
            if let Err(error) = child::watch(watch, reader, watched).await {
                tracing::error!(id = %info.id, pid = info.pid, %error, "cannot watch the node's process");
            }
        });
        tokio::spawn(write(writer, messages, snapshot));
        Ok(Member { info, generation, process, line, version: None, attendance: None, outbox, examine })
    }

    /// Has the node looked at, which is heard as [`Heard::Examined`].
    pub(super) fn examine(&self) {
        self.examine.notify_one();
    }

    /// Puts a message into the outbox, which a node that reads never fills.
    pub(super) fn tell(&self, message: ToNode) -> Result<(), String> {
        match self.outbox.try_send(message) {
            Err(mpsc::error::TrySendError::Full(_)) => Err("it does not read its control socket".to_owned()),
            // It is about to end, which will be heard.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

/// Sends what is in the outbox, and how the fleet looks when there is nothing else to say.
async fn write(
    mut writer: Writer<ToNode>,
    mut outbox: mpsc::Receiver<ToNode>,
    mut snapshot: watch::Receiver<Snapshot>,
) {
    let mut welcomed = false;
    let mut next_status = Instant::now();
    loop {
        let changed = async {
            tokio::time::sleep_until(next_status).await;
            snapshot.changed().await
        };
        let message = tokio::select! {
            biased;
            message = outbox.recv() => match message {
                Some(message) => message,
                None => return,
            },
            Ok(()) = changed, if welcomed => {
                next_status = Instant::now() + STATUS_EVERY;
                let Snapshot { status, lines, .. } = snapshot.borrow_and_update().clone();
                ToNode::Status { status, lines }
            }
        };
        welcomed |= matches!(message, ToNode::Welcome(_));
        // An error means that the node has ended or is about to, which its process tells.
        if writer.send(message).await.is_err() {
            return;
        }
    }
}
