//! Redis: PUBLISH in pipelines, and SUBSCRIBE.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::carrier::Publisher;
use super::subscriber::LIMIT;

/// Commands between two looks at the answers.
const PIPELINE: usize = 256;

pub(super) struct RedisPublisher {
    stream: BufReader<UnixStream>,
    waiting: Vec<u8>,
    commands: usize,
}

impl RedisPublisher {
    pub(super) fn connect(socket: &Path) -> Result<RedisPublisher> {
        Ok(RedisPublisher { stream: BufReader::new(UnixStream::connect(socket)?), waiting: Vec::new(), commands: 0 })
    }
}

impl Publisher for RedisPublisher {
    fn publish(&mut self, message: &[u8]) -> Result<()> {
        write!(self.waiting, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nb\r\n${}\r\n", message.len())?;
        self.waiting.extend_from_slice(message);
        self.waiting.extend_from_slice(b"\r\n");
        self.commands += 1;
        if self.commands < PIPELINE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.waiting)?;
        self.waiting.clear();
        for _ in 0..std::mem::take(&mut self.commands) {
            let mut answer = String::new();
            self.stream.read_line(&mut answer)?;
            ensure!(answer.starts_with(':'), "Redis says {answer:?}");
        }
        Ok(())
    }
}

pub(super) fn subscribe(socket: &Path, ready: impl FnOnce(), mut take: impl FnMut(&[u8]) -> bool) -> Result<()> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    stream.get_mut().write_all(b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nb\r\n")?;
    for _ in 0..6 {
        stream.read_line(&mut String::new())?;
    }
    ready();
    let mut message = Vec::new();
    loop {
        read_message(&mut stream, &mut message)?;
        if take(&message) {
            return Ok(());
        }
    }
}

/// Reads `["message", "b", message]`.
fn read_message(stream: &mut impl BufRead, message: &mut Vec<u8>) -> Result<()> {
    let mut line = String::new();
    for _ in 0..6 {
        line.clear();
        stream.read_line(&mut line)?;
    }
    let length: usize = line.trim_end().strip_prefix('$').context("a length")?.parse()?;
    message.resize(length + 2, 0);
    stream.read_exact(message)?;
    message.truncate(length);
    Ok(())
}
