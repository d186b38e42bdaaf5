//! NATS on the loopback address, for tests that join machines.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::needs;
use crate::port::Held;
use crate::program::{send, within};

/// A server. It ends with this.
pub struct NatsServer {
    program: String,
    port: Held,
    process: Option<Child>,
    /// With what JetStream keeps over restarts, the log and the configuration.
    folder: tempfile::TempDir,
    has_store: bool,
    config: Option<String>,
}

impl NatsServer {
    /// Starts one, if the program was fetched.
    #[track_caller]
    pub fn new() -> Option<NatsServer> {
        let program = needs::server("nats-server/usr/sbin/nats-server")?;
        let (port, folder) = (Held::new().expect("a port"), tempfile::tempdir().expect("a folder"));
        Some(NatsServer { program, port, process: None, folder, has_store: false, config: None })
    }

    /// With JetStream.
    #[must_use]
    pub fn with_store(mut self) -> NatsServer {
        self.has_store = true;
        self
    }

    /// With this in its configuration.
    #[must_use]
    pub fn configured(mut self, config: impl Into<String>) -> NatsServer {
        self.config = Some(config.into());
        self
    }

    /// Starts it, again too.
    pub async fn start(&mut self) {
        let address = self.port.addr();
        let mut command = Command::new(&self.program);
        command.args(["--addr", &address.ip().to_string(), "--port", &address.port().to_string()]);
        if self.has_store {
            command.arg("--jetstream").arg("--store_dir").arg(self.folder.path());
        }
        if let Some(config) = &self.config {
            let path = self.folder.path().join("nats.conf");
            std::fs::write(&path, config).expect("a file of ours");
            command.arg("--config").arg(path);
        }
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a file of ours");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().expect("nats-server starts"));
        within(20, async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has written since its first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// As `Options::join` takes it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr())
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The answer to this question in this subject.
    pub async fn ask(&self, subject: &str, question: &Value) -> Value {
        let question = if question.is_null() { String::new() } else { question.to_string() };
        let asked = format!("PUB {subject} answers {}\r\n{question}\r\n", question.len());
        let mut stream = BufReader::new(TcpStream::connect(self.addr()).await.expect("it listens"));
        let lines = format!("CONNECT {{\"verbose\":false}}\r\nSUB answers 1\r\n{asked}");
        stream.write_all(lines.as_bytes()).await.expect("it reads");
        loop {
            let mut line = String::new();
            assert_ne!(stream.read_line(&mut line).await.expect("it writes"), 0, "it has closed the connection");
            let length = line.strip_prefix("MSG answers ").and_then(|rest| rest.trim().rsplit(' ').next());
            if let Some(length) = length {
                let mut answer = vec![0; length.parse().expect("a length")];
                stream.read_exact(&mut answer).await.expect("it writes");
                return serde_json::from_slice(&answer).expect("JSON");
            }
        }
    }

    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            send(process.id(), Signal::KILL);
            process.wait().expect("it ends");
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}
