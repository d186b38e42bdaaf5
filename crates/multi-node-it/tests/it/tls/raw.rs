//! A client that seals its records itself, and sends their bytes as it likes.

use std::io::{Read, Write};

use multi_node_it::Program;
use rustls::{ClientConnection, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::authority::Authority;
use super::client::Https;

pub(super) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// One whose handshake is done.
pub(super) struct Raw {
    stream: TcpStream,
    tls: ClientConnection,
    received: String,
    /// The server has sent `close_notify`.
    ended_well: bool,
}

impl Raw {
    pub(super) async fn connect(
        authority: &Authority,
        program: &Program,
        version: &'static SupportedProtocolVersion,
    ) -> Raw {
        Raw::try_connect(authority, program.addr, version).await.expect("a handshake")
    }

    pub(super) async fn try_connect(
        authority: &Authority,
        addr: std::net::SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> anyhow::Result<Raw> {
        let (stream, tls) = Https::of(authority, "http/1.1", &[version]).connect(addr).await?.into_inner();
        Ok(Raw { stream, tls, received: String::new(), ended_well: false })
    }

    /// The records for these bytes.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(bytes).expect("room for it");
        self.records()
    }

    /// The alert that ends what this side sends.
    pub(super) fn close_notify(&mut self) -> Vec<u8> {
        self.tls.send_close_notify();
        self.records()
    }

    /// New keys for what this side sends, and the wish that the server takes new ones too.
    pub(super) fn update_keys(&mut self) -> Vec<u8> {
        self.tls.refresh_traffic_keys().expect("a connection with TLS 1.3");
        self.records()
    }

    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("memory");
        }
        records
    }

    /// Sends bytes; the server may have closed.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends a whole request.
    pub(super) async fn request(&mut self) {
        let request = self.seal(REQUEST);
        self.send(&request).await;
    }

    /// Ends this side's part of the TCP connection.
    pub(super) async fn shutdown(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Waits for this number of answers in all.
    pub(super) async fn answers(&mut self, count: usize) {
        while self.received.matches("HTTP/1.1 200").count() < count {
            assert!(self.read().await.expect("no alert"), "the server has ended it after {:?}", self.received);
        }
    }

    /// What comes until the server's end, and whether it ends by `close_notify`. An alert is an error.
    pub(super) async fn rest(mut self) -> Result<(String, bool), rustls::Error> {
        while self.read().await? {}
        Ok((self.received, self.ended_well))
    }

    /// Reads what is there next; false at the end.
    async fn read(&mut self) -> Result<bool, rustls::Error> {
        let mut bytes = [0; 4096];
        // A reset is an end too.
        let count = self.stream.read(&mut bytes).await.unwrap_or(0);
        let mut sealed = &bytes[..count];
        while !sealed.is_empty() {
            self.tls.read_tls(&mut sealed).expect("memory");
            let state = self.tls.process_new_packets()?;
            let mut opened = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut opened).expect("it has so many");
            self.received.push_str(&String::from_utf8_lossy(&opened));
            self.ended_well |= state.peer_has_closed();
        }
        Ok(count > 0)
    }
}
