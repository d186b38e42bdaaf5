//! A small HTTP/1.1 client, which can tell every way in which an answer may fail to come.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

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
}

/// One kept connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(addr).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    pub async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await?;
        self.answer().await
    }

    /// Writes bytes as they are.
    pub async fn send(&mut self, bytes: &str) -> anyhow::Result<()> {
        self.stream.write_all(bytes.as_bytes()).await.context("send")
    }

    /// Reads one answer with a `content-length`.
    pub async fn answer(&mut self) -> anyhow::Result<Answer> {
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
        Ok(Answer { status, headers, body: String::from_utf8(body)? })
    }

    /// Whether the server has closed its side and nothing is left to read.
    pub async fn is_closed(&mut self) -> bool {
        let read = tokio::time::timeout(Duration::from_millis(10), self.stream.read_u8()).await;
        matches!(read, Ok(Err(_)))
    }
}

/// One request on a connection of its own.
pub async fn get(addr: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    Client::connect(addr).await?.get(path).await
}
