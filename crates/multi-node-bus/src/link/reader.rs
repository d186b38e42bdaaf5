//! The task that reads: many frames with one read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

#[cfg(not(unix))]
use tokio::io::AsyncReadExt;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use super::stream::ReadHalf;
use super::{LinkError, Outbox};

/// How much is read at once. A larger frame makes the buffer grow until it has been read.
const BUFFER: usize = 64 << 10;

/// How many turns subscribers get whose queues are more than half full.
const TURNS: u8 = 4;

/// Who takes the frames of a link.
pub(crate) trait Inbound: Send {
    /// Takes all whole frames of these bytes, and says how many bytes they were.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, LinkError>;

    /// How many bytes a frame needs that begins with these, if they tell.
    fn needed(&self, start: &[u8]) -> usize;

    /// Where a subscription is more than half full: resolves when it has room, or has been waited for as long as it deserves.
    fn relief(&mut self) -> Option<Relief>;
}

pub(crate) type Relief = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reads until the peer closes its end, a frame is bad, or this side cuts the link.
///
/// The end of the peer comes after all it has sent, even where the kernel reports a reset because the peer left bytes unread.
pub(crate) async fn read(mut stream: ReadHalf, inbound: &mut dyn Inbound, outbox: &Arc<Outbox>) -> LinkError {
    tokio::select! {
        biased;
        () = outbox.is_cut() => LinkError::Cut,
        error = read_to_end(&mut stream, inbound) => error,
    }
}

async fn read_to_end(stream: &mut ReadHalf, inbound: &mut dyn Inbound) -> LinkError {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) => return if filled == 0 { LinkError::Closed } else { LinkError::ClosedWithinFrame },
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return LinkError::Closed,
            Err(error) => return LinkError::Read(Arc::new(error)),
        }
        let taken = match inbound.take(&buffer[..filled]) {
            Ok(taken) => taken,
            Err(error) => return error,
        };
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
        let needed = inbound.needed(&buffer[..filled]);
        resize(&mut buffer, needed);
        if let Some(relief) = inbound.relief() {
            let_subscribers_run(relief).await;
        }
        // A peer that never pauses must not keep the thread from its other tasks.
        consume_budget().await;
    }
}

/// Room for the frame that has begun.
fn resize(buffer: &mut Vec<u8>, needed: usize) {
    let size = needed.max(BUFFER);
    if buffer.len() != size {
        buffer.resize(size, 0);
        buffer.shrink_to_fit();
    }
}

/// Gives the subscribers time before more is read, so that a burst doesn't overflow their queues only because the reader is quicker.
/// Those of this thread need a few turns. One of another thread, as the event loop of Node.js, is waited for while it takes what it
/// has. A slow subscriber still misses messages.
async fn let_subscribers_run(relief: Relief) {
    for _ in 0..TURNS {
        yield_now().await;
    }
    relief.await;
}
