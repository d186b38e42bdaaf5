//! NATS on the loopback address, and as much of its protocol as messages need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::carrier::Publisher;
use super::subscriber::LIMIT;
use crate::process::Process;
use crate::programs::free_ports;

/// Messages between two answers of the server.
const PIPELINE: usize = 1024;

pub(super) struct NatsServer {
    pub(super) address: SocketAddr,
    _process: Process,
}

impl NatsServer {
    /// Starts the program, with its configuration in the folder.
    pub(super) fn start(mut command: Command, folder: &Path) -> Result<NatsServer> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_ports(1)?[0]));
        let file = folder.join("nats.conf");
        // A subscriber may be as late as it is.
        let text = format!("listen: \"{address}\"\nmax_pending: 1GB\nwrite_deadline: \"60s\"\n");
        std::fs::write(&file, text)?;
        command.arg("--config").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::run(&mut command)?;
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(begin.elapsed() < Duration::from_secs(10), "nats-server does not open {address}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(NatsServer { address, _process: process })
    }
}

/// A connection, after its greetings.
fn connect(address: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    stream.read_line(&mut String::new())?;
    stream.get_mut().write_all(b"CONNECT {\"verbose\":false}\r\n")?;
    Ok(stream)
}

/// Waits until the server has read all that was sent before.
fn ping(stream: &mut BufReader<TcpStream>) -> Result<()> {
    stream.get_mut().write_all(b"PING\r\n")?;
    let mut line = String::new();
    while line.trim_end() != "PONG" {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "nats-server has closed the connection");
        ensure!(!line.starts_with("-ERR"), "nats-server says {line:?}");
    }
    Ok(())
}

pub(super) struct NatsPublisher {
    stream: BufReader<TcpStream>,
    waiting: Vec<u8>,
    messages: usize,
}

impl NatsPublisher {
    pub(super) fn connect(address: SocketAddr) -> Result<NatsPublisher> {
        Ok(NatsPublisher { stream: connect(&address.to_string())?, waiting: Vec::new(), messages: 0 })
    }
}

impl Publisher for NatsPublisher {
    fn publish(&mut self, message: &[u8]) -> Result<()> {
        write!(self.waiting, "PUB b {}\r\n", message.len())?;
        self.waiting.extend_from_slice(message);
        self.waiting.extend_from_slice(b"\r\n");
        self.messages += 1;
        if self.messages < PIPELINE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.waiting)?;
        self.waiting.clear();
        // Where one message is sent at a time, nobody waits for the server.
        if std::mem::take(&mut self.messages) > 1 { ping(&mut self.stream) } else { Ok(()) }
    }
}

pub(super) fn subscribe(address: &str, ready: impl FnOnce(), mut take: impl FnMut(&[u8]) -> bool) -> Result<()> {
    let mut stream = connect(address)?;
    stream.get_mut().write_all(b"SUB b 1\r\n")?;
    ping(&mut stream)?;
    ready();
    let (mut line, mut message) = (String::new(), Vec::new());
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        match line.split_whitespace().next() {
            Some("MSG") => {}
            Some("PING") => {
                stream.get_mut().write_all(b"PONG\r\n")?;
                continue;
            }
            _ => bail!("nats-server says {line:?}"),
        }
        let length: usize = line.split_whitespace().last().context("a length")?.parse()?;
        message.resize(length + 2, 0);
        stream.read_exact(&mut message)?;
        if take(&message[..length]) {
            return Ok(());
        }
    }
}
