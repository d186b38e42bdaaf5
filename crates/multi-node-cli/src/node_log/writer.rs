//! The threads that write: a destination that takes nothing blocks its own thread only.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Sends bytes to a writing thread. Clones write to the same destination, in the order of their calls.
#[derive(Clone, Debug)]
pub(crate) struct Writer(mpsc::UnboundedSender<Work>);

#[derive(Debug)]
enum Work {
    /// The bytes hold their room in the source's buffer until they are written. That bounds the queue.
    Write { bytes: Vec<u8>, room: OwnedSemaphorePermit },
    /// Answers when everything before it has been written.
    Answer(oneshot::Sender<()>),
}

impl Writer {
    /// Starts a thread that writes to this stream until all senders are gone. It has a descriptor of its own, so that it
    /// holds no lock of the standard library while it waits.
    pub(crate) fn start(stream: impl AsFd) -> io::Result<Writer> {
        let to = File::from(stream.as_fd().try_clone_to_owned()?);
        let (sender, queue) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("multi-node-log".to_owned()).spawn(move || write(to, queue))?;
        Ok(Writer(sender))
    }

    /// Has them written. Returns at once.
    pub(super) fn write(&self, bytes: Vec<u8>, room: OwnedSemaphorePermit) {
        // An error means that the thread has ended, which it does last.
        let _ = self.0.send(Work::Write { bytes, room });
    }

    /// Waits until all has been written that was sent before. Cancel-safe.
    pub(crate) async fn flushed(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Work::Answer(answer)).is_ok() {
            let _ = answered.await;
        }
    }
}

fn write(mut to: File, mut queue: mpsc::UnboundedReceiver<Work>) {
    while let Some(work) = queue.blocking_recv() {
        match work {
            Work::Write { bytes, room } => {
                // An error means that the reader has gone: the nodes continue without one.
                let _ = to.write_all(&bytes);
                drop(room);
            }
            Work::Answer(answer) => drop(answer.send(())),
        }
    }
}
