//! A Unix socket for each subscriber, and a write for each message to each.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::Result;
use tokio::io::AsyncReadExt;

use super::carrier::Publisher;
use super::{BYTES, SUBSCRIBERS};

pub(super) struct BarePublisher {
    listener: UnixListener,
    streams: Vec<UnixStream>,
}

impl BarePublisher {
    pub(super) fn bind(place: &Path) -> Result<BarePublisher> {
        // That of the round before.
        let _ = std::fs::remove_file(place);
        Ok(BarePublisher { listener: UnixListener::bind(place)?, streams: Vec::new() })
    }
}

impl Publisher for BarePublisher {
    fn accept(&mut self) -> Result<()> {
        for _ in 0..SUBSCRIBERS {
            self.streams.push(self.listener.accept()?.0);
        }
        Ok(())
    }

    fn publish(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.streams.iter_mut().try_for_each(|stream| stream.write_all(message))?)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

pub(super) fn subscribe(place: &Path, ready: impl FnOnce(), mut take: impl FnMut(&[u8]) -> bool) -> Result<()> {
    let mut stream = UnixStream::connect(place)?;
    stream.set_read_timeout(Some(super::subscriber::LIMIT))?;
    ready();
    let mut message = [0; BYTES];
    loop {
        stream.read_exact(&mut message)?;
        if take(&message) {
            return Ok(());
        }
    }
}

/// As [`subscribe`], by a task of a runtime. All messages have to come within the limit.
pub(super) fn subscribe_in_runtime(
    place: &Path,
    ready: impl FnOnce(),
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<()> {
    let reading = async {
        let mut stream = tokio::net::UnixStream::connect(place).await?;
        ready();
        let mut message = [0; BYTES];
        loop {
            stream.read_exact(&mut message).await?;
            if take(&message) {
                return Ok(());
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(super::subscriber::LIMIT, reading).await? })
}
