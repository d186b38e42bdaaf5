//! One connection: a request goes out, its answer comes in, and each kind of failure is distinguished.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::{sleep, timeout},
};

use crate::{
    answer::{Answer, Reading},
    failure::{Failure, How},
    kind::Sending,
    request::Request,
    stream::Stream,
    target::Target,
};

/// What is read at once.
const PIECE: usize = 64 << 10;

/// An open connection with no request on its way.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// This side's port, which shows which process holds the other side.
    pub port: u16,
    pub opened: Instant,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`How::Refused`], whatever the reason.
    pub async fn open(target: &Target) -> Result<Connection, Failure> {
        let opened = Instant::now();
        let (stream, port) = target.connect().await?;
        Ok(Connection { stream, port, opened })
    }

    /// The bytes, for another protocol.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Whether the server has closed the connection, or sent unrequested bytes. A client that keeps connections checks this
    /// before it sends.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.stream.read(&mut [0]).now_or_never().is_some()
    }

    /// Sends a request and reads its answer; returns whether the connection stays open.
    ///
    /// # Errors
    /// How the request was lost. The connection is of no use then.
    pub(crate) async fn exchange(
        &mut self,
        request: &Request,
        sending: Sending,
        within: Duration,
    ) -> Result<bool, Failure> {
        let late = |_| Failure::new(How::TimedOut, format_args!("no whole answer within {within:?}"));
        let answer = timeout(within, self.send_and_receive(request, sending)).await.map_err(late)??;
        request.check(&answer)?;
        Ok(answer.kept)
    }

    /// Writes and reads at the same time, since a server may answer while it still reads.
    async fn send_and_receive(&mut self, request: &Request, sending: Sending) -> Result<Answer, Failure> {
        let (mut reader, mut writer) = split(&mut self.stream);
        let mut sending = std::pin::pin!(send(&mut writer, &request.bytes, sending));
        let mut receiving = std::pin::pin!(receive(&mut reader, request.reading(), request.pause));
        tokio::select! {
            answer = &mut receiving => return answer,
            // A failed write reveals less than what can still be read.
            _ = &mut sending => {}
        }
        receiving.await
    }
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8], sending: Sending) -> std::io::Result<()> {
    match sending {
        Sending::InPieces { count, pause } => {
            let mut pieces = bytes.chunks(bytes.len().div_ceil(count as usize).max(1));
            writer.write_all(pieces.next().unwrap_or_default()).await?;
            for piece in pieces {
                writer.flush().await?;
                sleep(pause).await;
                writer.write_all(piece).await?;
            }
        }
        Sending::AtOnce | Sending::AndShutDown => writer.write_all(bytes).await?,
    }
    writer.flush().await?;
    if sending == Sending::AndShutDown { writer.shutdown().await } else { Ok(()) }
}

/// Reads one answer, in pieces with pauses between where the client is a slow reader.
async fn receive(
    reader: &mut (impl AsyncReadExt + Unpin),
    mut reading: Reading,
    pause: Duration,
) -> Result<Answer, Failure> {
    let mut piece = vec![0; PIECE];
    loop {
        match reader.read(&mut piece).await {
            Ok(0) => return reading.end(),
            Ok(count) => {
                if let Some(answer) = reading.take(&piece[..count])? {
                    return Ok(answer);
                }
            }
            Err(error) => return Err(Failure::ended_by(&error, reading.received())),
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}
