//! The threads that write: a destination that does not take what is written holds up nobody else.

use std::io::Write;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Something to be written, and the room that it takes up until then.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) room: OwnedSemaphorePermit,
}

/// Writes whatever is sent here, until all senders are gone, which the receiver then tells. Every line takes up room of its
/// node's buffer, which is what bounds the queue.
pub(super) fn start(mut to: impl Write + Send + 'static) -> (mpsc::UnboundedSender<Written>, oneshot::Receiver<()>) {
    let (end, ended) = oneshot::channel();
    let (sender, mut queue) = mpsc::unbounded_channel::<Written>();
    let write = move || {
        while let Some(Written { bytes, room }) = queue.blocking_recv() {
            // Whoever read has gone: what nodes write is nobody's any more, and they go on.
            let _ = to.write_all(&bytes).and_then(|()| if queue.is_empty() { to.flush() } else { Ok(()) });
            drop(room);
        }
        let _ = end.send(());
    };
    std::thread::spawn(write);
    (sender, ended)
}
