//! One worker's channel.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::message::{self, FromWorker};
use super::primary::ToPrimary;
use crate::id::NodeId;
use crate::status::ReadyBy;
use crate::supervisor::foreign::Note;
use crate::supervisor::foreign::attendance::Notes;
use crate::sys;

/// No message of a worker is longer, in bytes; its own are short, and those of the program are nobody's here.
const LONGEST: usize = 16 * 1024 * 1024;

/// How long a program may take to end after it has disconnected.
const LAST_BREATH: Duration = Duration::from_millis(200);

/// How many messages to the worker may wait.
const QUEUE: usize = 256;

/// A message to a worker, and the descriptor that it carries.
pub(super) type Outgoing = (Value, Option<Arc<OwnedFd>>);

/// Is the primary's ear and mouth for one worker, until the worker disconnects. `strict`: that its
/// server listens does not make it ready.
pub(in crate::supervisor::foreign) async fn serve(
    channel: OwnedFd,
    id: NodeId,
    primary: mpsc::Sender<ToPrimary>,
    notes: Notes,
    strict: bool,
) {
    let (outbox, messages) = mpsc::channel(QUEUE);
    if primary.send(ToPrimary::Joined { id, outbox }).await.is_err() {
        return;
    }
    let ended = converse(channel, id, &primary, (&notes, strict), messages).await;
    if let Err(error) = ended {
        crate::log::warn!(%id, %error, "the channel to a Node.js program broke");
    }
    let _ = primary.send(ToPrimary::Left { id }).await;
    // Most end now, by themselves or by what ended them.
    tokio::time::sleep(LAST_BREATH).await;
    notes.tell(Note::Disconnected).await;
}

async fn converse(
    channel: OwnedFd,
    id: NodeId,
    primary: &mpsc::Sender<ToPrimary>,
    notes: (&Notes, bool),
    messages: mpsc::Receiver<Outgoing>,
) -> io::Result<()> {
    let socket = UnixStream::from_std(StdUnixStream::from(channel))?;
    tokio::select! {
        heard = hear(&socket, id, primary, notes) => heard,
        said = say(&socket, messages) => said,
    }
}

async fn hear(
    socket: &UnixStream,
    id: NodeId,
    primary: &mpsc::Sender<ToPrimary>,
    (notes, strict): (&Notes, bool),
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    let mut searched = 0;
    loop {
        while let Some(end) = buffer[searched..].iter().position(|&byte| byte == b'\n') {
            let line = buffer.split_to(searched + end + 1);
            searched = 0;
            let said = message::read(&line[..line.len() - 1]);
            if said == FromWorker::Ready || (said == FromWorker::Listening && !strict) {
                notes.tell(Note::Ready(ReadyBy::Message)).await;
            }
            if matches!(said, FromWorker::Leaves { .. }) {
                notes.tell(Note::Stopping).await;
            }
            // An error means that the master ends.
            let _ = primary.send(ToPrimary::Said { id, said }).await;
        }
        searched = buffer.len();
        if buffer.len() > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message without an end"));
        }
        let mut chunk = [0; 16 * 1024];
        // What the program sends along is nobody's here, and closed.
        let read = || sys::socket::receive(socket.as_fd(), &mut chunk);
        match socket.async_io(Interest::READABLE, read).await?.bytes {
            0 => return Ok(()),
            count => buffer.extend_from_slice(&chunk[..count]),
        }
    }
}

async fn say(socket: &UnixStream, mut messages: mpsc::Receiver<Outgoing>) -> io::Result<()> {
    while let Some((message, fd)) = messages.recv().await {
        let line = format!("{message}\n").into_bytes();
        let mut written = 0;
        while written < line.len() {
            let fds: Vec<_> = fd.iter().filter(|_| written == 0).map(|fd| fd.as_fd()).collect();
            let send = || sys::socket::send(socket.as_fd(), &line[written..], &fds);
            written += socket.async_io(Interest::WRITABLE, send).await?;
        }
    }
    // The primary is gone, and with it the master.
    std::future::pending().await
}
