//! One client: its requests, one after the other, and their answers.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::handler::CommandHandler;
use super::lines::{self, Lines};
use super::protocol::{Answer, LONGEST_REQUEST, Request, bad_request};
use crate::log_buffer::Follower;

/// How long a client may be silent between two requests.
const IDLE: Duration = Duration::from_secs(60);

/// How long a client may take to read an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far apart two events of a watch are at least.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Answers a client until it has no more to ask, or the program ends.
pub(super) async fn converse(stream: UnixStream, handler: &CommandHandler, closing: watch::Receiver<bool>) {
    let (reader, writer) = stream.into_split();
    let mut session = Session { lines: Lines::new(reader, LONGEST_REQUEST), writer, closing };
    if let Err(error) = session.run(handler).await {
        crate::log::debug!(%error, "a client of the control socket has gone");
    }
}

struct Session {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    closing: watch::Receiver<bool>,
}

impl Session {
    async fn run(&mut self, handler: &CommandHandler) -> io::Result<()> {
        while let Some(line) = self.next_line().await? {
            match Request::parse(&line) {
                Ok(Request::Watch) => return self.watch(handler).await,
                Ok(Request::Logs { slot, lines, follow }) => {
                    let follower = handler.follow(slot, lines);
                    if follow {
                        return self.follow(follower).await;
                    }
                    self.tell_logs(follower).await?;
                }
                Ok(request) => self.say(&handler.carry_out(request).await).await?,
                Err(refusal) => self.say(&Answer::Refused(refusal)).await?,
            }
        }
        Ok(())
    }

    /// The next request; `None` where there will be none.
    async fn next_line(&mut self) -> io::Result<Option<BytesMut>> {
        let line = tokio::select! {
            biased;
            line = tokio::time::timeout(IDLE, self.lines.next()) => line,
            () = ends(&mut self.closing) => return Ok(None),
        };
        match line {
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.say(&Answer::Refused(bad_request(&error.to_string()))).await?;
                Ok(None)
            }
            Ok(line) => line,
            Err(_silent) => Ok(None),
        }
    }

    async fn watch(&mut self, handler: &CommandHandler) -> io::Result<()> {
        let mut changes = handler.watch();
        loop {
            let changed = tokio::select! {
                changed = changes.next() => changed,
                () = gone(&mut self.lines) => return Ok(()),
                () = ends(&mut self.closing) => return Ok(()),
            };
            let Some(status) = changed else { return Ok(()) };
            self.event(&handler.observer.shown(status).await).await?;
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    async fn tell_logs(&mut self, mut follower: Follower) -> io::Result<()> {
        let mut all = follower.read().unwrap_or_default();
        while let Some(more) = follower.read() {
            all.lines.extend(more.lines);
        }
        self.say(&Answer::Ok(to_value(&all)?)).await
    }

    async fn follow(&mut self, mut follower: Follower) -> io::Result<()> {
        loop {
            // Read first, so that the last lines are sent too.
            let is_last = *self.closing.borrow();
            while let Some(logged) = follower.read() {
                self.event(&logged).await?;
            }
            if is_last {
                return Ok(());
            }
            tokio::select! {
                Some(()) = follower.changed() => {}
                () = gone(&mut self.lines) => return Ok(()),
                () = ends(&mut self.closing) => {}
            }
        }
    }

    async fn event(&mut self, event: &impl Serialize) -> io::Result<()> {
        write_event(&mut self.writer, &Answer::Event(to_value(event)?), &mut self.closing).await
    }

    async fn say(&mut self, answer: &Answer) -> io::Result<()> {
        let written = tokio::time::timeout(PATIENCE, lines::write(&mut self.writer, answer)).await;
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A client that follows may stop reading for as long as it likes, as a terminal does that is paused: only this one event waits, and what
/// comes meanwhile is dropped and counted. The program's end waits for it no longer than for others.
async fn write_event(
    writer: &mut OwnedWriteHalf,
    event: &Answer,
    closing: &mut watch::Receiver<bool>,
) -> io::Result<()> {
    let too_late = async {
        ends(closing).await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        biased;
        written = lines::write(writer, event) => written,
        () = too_late => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn to_value(value: &impl Serialize) -> io::Result<Value> {
    Ok(serde_json::to_value(value)?)
}

/// Resolves when the client has closed the connection. Requests that it still sends during a stream are ignored.
async fn gone(lines: &mut Lines<OwnedReadHalf>) {
    while let Ok(Some(_)) = lines.next().await {}
}

/// Resolves when the program ends.
pub(super) async fn ends(closing: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone.
    let _ = closing.wait_for(|closing| *closing).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// More than a socket takes.
    const LONG: usize = 4 << 20;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_follows_is_waited_for_until_the_program_ends() {
        let (client, server) = UnixStream::pair().expect("a pair");
        let (_reader, mut writer) = server.into_split();
        let (close, mut closing) = watch::channel(false);
        let event = Answer::Event(Value::from("x".repeat(LONG)));
        {
            let mut writing = std::pin::pin!(write_event(&mut writer, &event, &mut closing));
            assert!(tokio::time::timeout(PATIENCE * 100, writing.as_mut()).await.is_err(), "nobody reads");
            let (mut reader, _writer) = client.into_split();
            let mut read = vec![0; LONG];
            let (written, _) = tokio::join!(writing, reader.read_exact(&mut read));
            written.expect("it goes on");
        }
        let (_client, server) = UnixStream::pair().expect("a pair");
        let (_reader, mut writer) = server.into_split();
        let begun = tokio::time::Instant::now();
        close.send_replace(true);
        let error = write_event(&mut writer, &event, &mut closing).await.expect_err("nobody reads");
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, PATIENCE.as_secs()));
    }
}
