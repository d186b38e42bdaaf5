//! The task that reads: many frames with one read.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::task::yield_now;

use super::stream::OwnedReadHalf;
use super::{LinkError, Outbox};

/// How much is read at once. A larger frame makes the buffer grow until it has been read.
const BUFFER: usize = 64 << 10;

/// How many turns subscribers get whose queues are more than half full.
const TURNS: u8 = 4;

/// Who takes the frames of a link.
pub(crate) trait Inbound: Send {
    /// Takes all whole frames of these bytes, and says how many bytes they were.
    fn take(&mut self, bytes: &[u8]) -> Result<Received, LinkError>;

    /// How many bytes a frame needs that begins with these, if they tell.
    fn needed(&self, start: &[u8]) -> usize;
}

/// What came of some bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    /// The bytes of whole frames.
    pub(crate) taken: usize,
    /// A subscription's queue is more than half full.
    pub(crate) crowded: bool,
}

/// Reads until the peer closes its end, a frame is bad, or this side cuts the link.
///
/// The end of the peer comes after all it has sent, even where the kernel reports a reset because the peer left bytes unread.
pub(crate) async fn read(mut stream: OwnedReadHalf, inbound: &mut dyn Inbound, outbox: &Arc<Outbox>) -> LinkError {
    tokio::select! {
        biased;
        () = outbox.is_cut() => LinkError::Cut,
        error = read_to_end(&mut stream, inbound) => error,
    }
}

async fn read_to_end(stream: &mut OwnedReadHalf, inbound: &mut dyn Inbound) -> LinkError {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) => return if filled == 0 { LinkError::Closed } else { LinkError::ClosedWithinFrame },
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return LinkError::Closed,
            Err(error) => return LinkError::Read(Arc::new(error)),
        }
        let received = match inbound.take(&buffer[..filled]) {
            Ok(received) => received,
            Err(error) => return error,
        };
        buffer.copy_within(received.taken..filled, 0);
        filled -= received.taken;
        let needed = inbound.needed(&buffer[..filled]);
        resize(&mut buffer, needed);
        let_subscribers_run(received).await;
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

/// Gives the subscribers a few turns before more is read, so that a burst doesn't overflow their queues only because the reader is
/// quicker. A slow subscriber still misses messages, and delays others by some microseconds.
async fn let_subscribers_run(received: Received) {
    if received.crowded {
        for _ in 0..TURNS {
            yield_now().await;
        }
    }
}
