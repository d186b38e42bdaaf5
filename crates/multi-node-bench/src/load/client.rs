//! One client: sends a request, reads the answer, and again.

use std::{net::SocketAddr, time::Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Mode, Report, Until};

const KEEP_ALIVE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PER_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The kind of a failure.
type Failure = &'static str;

/// Sends requests until it is time. After a failure it opens a new connection.
pub(super) async fn run(address: SocketAddr, mode: Mode, until: Until) -> Report {
    let mut report = Report::default();
    let start = Instant::now();
    while !until.reached(&report) {
        let ended = match mode {
            Mode::KeepAlive => keep_alive(address, until, &mut report).await,
            Mode::PerRequest => per_request(address, &mut report).await,
        };
        if let Err(kind) = ended {
            *report.errors.entry(kind.to_owned()).or_default() += 1;
            // A server that is not there would make this loop spin, and all other clients wait.
            tokio::task::yield_now().await;
        }
    }
    report.seconds = start.elapsed().as_secs_f64();
    report
}

impl Until {
    fn reached(self, report: &Report) -> bool {
        report.requests >= self.requests || Instant::now() >= self.time
    }
}

async fn keep_alive(address: SocketAddr, until: Until, report: &mut Report) -> Result<(), Failure> {
    let mut connection = Connection::open(address).await?;
    while !until.reached(report) {
        connection.exchange(KEEP_ALIVE).await?;
        report.requests += 1;
    }
    Ok(())
}

async fn per_request(address: SocketAddr, report: &mut Report) -> Result<(), Failure> {
    let mut connection = Connection::open(address).await?;
    connection.exchange(PER_REQUEST).await?;
    connection.expect_end().await?;
    report.requests += 1;
    Ok(())
}

/// A connection with no request on its way.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: [u8; Connection::LARGEST],
}

impl Connection {
    /// No answer of the servers that are compared comes near it.
    const LARGEST: usize = 1024;

    pub(crate) async fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|_| "connect")?;
        stream.set_nodelay(true).map_err(|_| "connect")?;
        Ok(Connection { stream, buffer: [0; Connection::LARGEST] })
    }

    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(request).await.map_err(|_| "write")?;
        let mut filled = 0;
        loop {
            match self.stream.read(&mut self.buffer[filled..]).await.map_err(|_| "read")? {
                0 => return Err("closed before the whole answer"),
                read => filled += read,
            }
            match answer_length(&self.buffer[..filled])? {
                Some(length) if length == filled => return Ok(()),
                Some(length) if length < filled => return Err("more than the answer"),
                _ => {}
            }
        }
    }

    async fn expect_end(&mut self) -> Result<(), Failure> {
        match self.stream.read(&mut self.buffer).await {
            Ok(0) => Ok(()),
            Ok(_) => Err("more than the answer"),
            Err(_) => Err("read"),
        }
    }
}

/// Bytes of head and body together, once the head is whole.
fn answer_length(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    const BLANK_LINE: &[u8] = b"\r\n\r\n";
    let Some(head) = bytes.windows(BLANK_LINE.len()).position(|window| window == BLANK_LINE) else {
        return Ok(None);
    };
    if !bytes.starts_with(b"HTTP/1.1 200 ") {
        return Err("status");
    }
    let length = content_length(&bytes[..head]).ok_or("no content-length")?;
    Ok(Some(head + BLANK_LINE.len() + length))
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|&byte| byte == b'\n');
    let line = lines.find(|line| line.len() >= NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nDate: today\r\n\r\nhello\n";
        for seen in 0..answer.len() - 6 {
            assert_eq!(answer_length(&answer[..seen]), Ok(None));
        }
        for seen in answer.len() - 6..=answer.len() {
            assert_eq!(answer_length(&answer[..seen]), Ok(Some(answer.len())));
        }
    }

    #[test]
    fn other_answers_are_failures() {
        assert_eq!(answer_length(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"), Err("status"));
        assert_eq!(answer_length(b"HTTP/1.1 200 OK\r\n\r\n"), Err("no content-length"));
    }
}
