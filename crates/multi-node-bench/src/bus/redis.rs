//! Redis: PUBLISH in pipelines, and SUBSCRIBE.

use std::path::Path;

use anyhow::{Result, ensure};

use super::carrier::Publisher;
use super::subscriber::LIMIT;
use crate::redis::{RedisClient, encode};

/// Commands between two looks at the answers.
const PIPELINE: usize = 256;

pub(super) struct RedisPublisher {
    client: RedisClient,
    waiting: Vec<u8>,
    commands: usize,
}

impl RedisPublisher {
    pub(super) fn connect(socket: &Path) -> Result<RedisPublisher> {
        Ok(RedisPublisher { client: RedisClient::connect(socket)?, waiting: Vec::new(), commands: 0 })
    }
}

impl Publisher for RedisPublisher {
    fn publish(&mut self, message: &[u8]) -> Result<()> {
        encode(&mut self.waiting, &[b"PUBLISH", b"b", message])?;
        self.commands += 1;
        if self.commands < PIPELINE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        self.client.send_encoded(&self.waiting)?;
        self.waiting.clear();
        for _ in 0..std::mem::take(&mut self.commands) {
            let answer = self.client.line()?;
            ensure!(answer.starts_with(':'), "Redis says {answer:?}");
        }
        Ok(())
    }
}

pub(super) fn subscribe(socket: &Path, ready: impl FnOnce(), mut take: impl FnMut(&[u8]) -> bool) -> Result<()> {
    let mut client = RedisClient::connect(socket)?;
    client.set_timeout(LIMIT)?;
    client.send(&[b"SUBSCRIBE", b"b"])?;
    // `["subscribe", "b", 1]`.
    skip(&mut client, 6)?;
    ready();
    let mut message = Vec::new();
    loop {
        // `["message", "b", message]`.
        skip(&mut client, 5)?;
        client.text(&mut message)?;
        if take(&message) {
            return Ok(());
        }
    }
}

/// An array begins by a line, a text has one for its length and one for itself, and a number has one.
fn skip(client: &mut RedisClient, lines: usize) -> Result<()> {
    (0..lines).try_for_each(|_| client.line().map(drop))
}
