//! The task that writes: one write for all that is queued.

use std::io;
use std::sync::Arc;

use tokio::task::coop::consume_budget;

use super::outbox::{Outbox, Taken};
use super::stream::WriteHalf;

/// Writes what is queued until the link ends. An error closes the outbox; the reader goes on to the end of what the peer sent.
pub(crate) async fn write(outbox: Arc<Outbox>, stream: Arc<WriteHalf>) {
    let mut batch = Vec::new();
    loop {
        match outbox.take(&mut batch) {
            Taken::Closed => return,
            Taken::Nothing => outbox.work().await,
            Taken::Bytes => {
                if write_all(&outbox, &stream, &batch).await.is_err() {
                    outbox.close();
                    return;
                }
                batch.clear();
                consume_budget().await;
            }
        }
    }
}

async fn write_all(outbox: &Outbox, stream: &WriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                outbox.wrote(written);
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
