//! One connection: a request goes out, its answer comes in, and whatever else happens is told apart.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    answer::{self, Answer},
    failure::{Failure, How},
    kind::Request,
};

/// What is read at once.
const PIECE: usize = 64 << 10;
/// How long a client waits for a connection. A SYN that was dropped is sent again after 1 s, so that is seen as time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// An open connection with no request on its way.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// This side's, by which it is told which process holds the other.
    pub port: u16,
    pub opened: Instant,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`How::Refused`], whatever the reason.
    pub async fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let opened = Instant::now();
        let connected = timeout(CONNECT_WITHIN, TcpStream::connect(address)).await;
        let refused = |error: &dyn std::fmt::Display| Failure::new(How::Refused, error);
        let stream = connected.map_err(|late| refused(&late))?.map_err(|error| refused(&error))?;
        stream.set_nodelay(true).map_err(|error| refused(&error))?;
        let port = stream.local_addr().map_err(|error| refused(&error))?.port();
        Ok(Connection { stream, port, opened })
    }

    /// The socket, for another protocol.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Whether the server has closed the connection, or sent what nobody asked for. A client that keeps connections
    /// looks before it sends.
    pub(super) fn has_ended(&self) -> bool {
        !matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends a request and reads its answer; tells whether the connection stays open.
    ///
    /// # Errors
    /// How the request was lost. The connection is of no use then.
    pub(super) async fn exchange(&mut self, request: &Request, within: Duration) -> Result<bool, Failure> {
        let late = |_| Failure::new(How::TimedOut, format_args!("no whole answer within {within:?}"));
        let answer = timeout(within, self.send_and_receive(request)).await.map_err(late)??;
        request.check(answer.status, &answer.body)?;
        Ok(answer.kept)
    }

    /// Writes and reads at the same time, since a server may answer while it still reads.
    async fn send_and_receive(&mut self, request: &Request) -> Result<Answer, Failure> {
        let (mut reader, mut writer) = self.stream.split();
        let mut sending = std::pin::pin!(writer.write_all(request.bytes()));
        let mut receiving = std::pin::pin!(receive(&mut reader, request.pause()));
        tokio::select! {
            answer = &mut receiving => return answer,
            // That it cannot be sent tells less than what can still be read.
            _ = &mut sending => {}
        }
        receiving.await
    }
}

/// Reads one answer, in pieces with pauses between where the client is a slow one.
async fn receive(reader: &mut (impl AsyncReadExt + Unpin), pause: Duration) -> Result<Answer, Failure> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        match reader.read(&mut piece).await {
            Ok(0) => return Err(Failure::ended(bytes.len())),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) => return Err(Failure::ended_by(&error, bytes.len())),
        }
        match answer::parse(&bytes).map_err(|what| Failure::new(How::Wrong, what))? {
            Some((answer, length)) if length == bytes.len() => return Ok(answer),
            Some((_, length)) => {
                return Err(Failure::new(How::Wrong, format_args!("{} bytes too many", bytes.len() - length)));
            }
            None => {}
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}
