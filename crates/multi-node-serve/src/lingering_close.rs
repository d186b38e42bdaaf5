//! Closing a connection of whose bytes some may be unread or under way.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::boxed::BoxFuture;
use super::drain::DrainSignal;
use super::stream::Stream;

/// How long a connection that this side closes is read from, so that bytes under way do not turn the end into a reset.
const LINGERING_CLOSE: Duration = Duration::from_secs(2);
/// How long before the deadline of a drain the reading ends, so that the connection is not one of those that are cut then.
const BEFORE_DEADLINE: Duration = Duration::from_millis(100);
/// How many bytes are read at once, and how many in all, for that purpose.
const AT_ONCE: usize = 4096;
const LINGERING_CLOSE_BYTES: usize = 256 * 1024;

/// Says that no more will come, and reads for a moment what does; not beyond the drain's deadline.
///
/// In a box, since few connections need it, and every connection's task would be larger by it.
pub(super) fn lingering_close(stream: Stream, drain: &DrainSignal) -> BoxFuture<()> {
    let deadline = drain.deadline();
    Box::pin(read_on(stream, deadline))
}

async fn read_on(mut stream: Stream, deadline: Option<Instant>) {
    let reading = async {
        stream.shutdown().await?;
        // Never cleared: each connection with TLS ends here.
        let mut buffer = BytesMut::with_capacity(AT_ONCE);
        let mut left = LINGERING_CLOSE_BYTES;
        while left > 0 {
            match stream.read_buf(&mut buffer).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
            buffer.clear();
        }
        io::Result::Ok(())
    };
    let end = Instant::now() + LINGERING_CLOSE;
    let end = deadline.and_then(|deadline| deadline.checked_sub(BEFORE_DEADLINE)).map_or(end, |before| before.min(end));
    let _ = tokio::time::timeout_at(end, reading).await;
}
