//! A small HTTP/1.1 client, which can tell every way in which an answer may fail to come.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

/// An answer that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    /// The fixture's `/` answers `node-3 4711`: the id.
    pub fn id(&self) -> String {
        self.body.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// The fixture's `/` answers `node-3 4711`: the pid.
    pub fn pid(&self) -> u32 {
        self.body.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("the fixture's answer has a pid")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{:?} is no JSON: {error}", self.body))
    }
}

/// What carries a connection's bytes.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl Io for TcpStream {}
impl Io for UnixStream {}

/// One kept connection.
pub struct Client {
    stream: BufReader<Box<dyn Io>>,
    /// This side's address, where it has one.
    pub local: Option<SocketAddr>,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(addr).await.context("connect")?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Client { stream: BufReader::new(Box::new(stream)), local: Some(local) })
    }

    pub async fn connect_unix(path: &Path) -> anyhow::Result<Client> {
        let stream = UnixStream::connect(path).await.context("connect")?;
        Ok(Client { stream: BufReader::new(Box::new(stream)), local: None })
    }

    pub async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.ask(path).await?;
        self.answer().await
    }

    /// Sends a request, and leaves its answer for later.
    pub async fn ask(&mut self, path: &str) -> anyhow::Result<()> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await
    }

    /// Writes bytes as they are.
    pub async fn send(&mut self, bytes: &str) -> anyhow::Result<()> {
        self.stream.write_all(bytes.as_bytes()).await.context("send")
    }

    /// Reads one answer with a `content-length`.
    pub async fn answer(&mut self) -> anyhow::Result<Answer> {
        Ok(self.answer_as_sent().await?.0)
    }

    /// As [`answer`](Self::answer), with its head as it was sent: in `headers` all letters are small.
    pub async fn answer_as_sent(&mut self) -> anyhow::Result<(Answer, String)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await.context("read the head")? == 0 {
                bail!("the connection ended after {} bytes of the head", head.len());
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
        let headers = head.to_lowercase();
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.context("a content-length")?.trim().parse()?];
        self.stream.read_exact(&mut body).await.context("read the body")?;
        Ok((Answer { status, headers, body: String::from_utf8(body)? }, head))
    }

    /// Reads until the server closes its side, and returns what it sent before.
    pub async fn rest(&mut self) -> anyhow::Result<String> {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).await.context("read to the end")?;
        Ok(rest)
    }
}

/// One request on a connection of its own.
pub async fn get(addr: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    Client::connect(addr).await?.get(path).await
}
