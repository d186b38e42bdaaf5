//! The other process of a measurement. It has the stream on standard input and writes its finding to standard output.

use std::{
    os::{fd::AsFd, unix::net::UnixStream as StdStream},
    time::Instant,
};

use anyhow::Result;
use multi_node::mesh::FramedRead;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
};

use crate::process;

use super::{Finding, PING, Task, Tick, WRITE, runtime};

/// Does its task until the stream ends.
pub(crate) fn run(task: Task) -> Result<()> {
    process::die_with_parent()?;
    let finding = runtime()?.block_on(async {
        let stream = StdStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        task.receive(stream).await
    })?;
    println!("{}", serde_json::to_string(&finding)?);
    Ok(())
}

impl Task {
    /// The receiving side's part.
    pub(super) async fn receive(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Finding> {
        match self {
            Task::Drain => drain(stream).await,
            Task::Echo => echo(stream).await,
            Task::Typed => typed(stream).await,
        }
    }
}

/// Counts bytes.
async fn drain(mut stream: impl AsyncRead + Unpin) -> Result<Finding> {
    let mut buffer = vec![0; WRITE];
    let mut count = stream.read(&mut buffer).await? as u64;
    let start = Instant::now();
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(Finding { count, seconds: start.elapsed().as_secs_f64() }),
            read => count += read as u64,
        }
    }
}

/// Answers each ping with the same bytes.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Finding> {
    let mut ping = [0; PING];
    let start = Instant::now();
    let mut count = 0;
    while stream.read_exact(&mut ping).await.is_ok() {
        stream.write_all(&ping).await?;
        count += 1;
    }
    Ok(Finding { count, seconds: start.elapsed().as_secs_f64() })
}

/// Counts messages, and sees to it that each is the one that is due.
async fn typed(stream: impl AsyncRead + Unpin) -> Result<Finding> {
    let mut messages: FramedRead<_, Tick> = FramedRead::new(stream);
    let mut start = Instant::now();
    let mut count = 0;
    while let Some(tick) = messages.recv().await? {
        if count == 0 {
            start = Instant::now();
        }
        anyhow::ensure!(tick.id == count, "message {} came where {count} was due", tick.id);
        count += 1;
    }
    Ok(Finding { count, seconds: start.elapsed().as_secs_f64() })
}
