//! NATS on the loopback address, for tests that join machines.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
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
    /// Where JetStream keeps what it has, over restarts.
    store: Option<tempfile::TempDir>,
}

impl NatsServer {
    /// Starts one, if the program was fetched.
    #[track_caller]
    pub fn new() -> Option<NatsServer> {
        let program = needs::server("nats-server/usr/sbin/nats-server")?;
        Some(NatsServer { program, port: Held::new().expect("a port"), process: None, store: None })
    }

    /// With JetStream.
    #[must_use]
    pub fn with_store(mut self) -> NatsServer {
        self.store = Some(tempfile::tempdir().expect("a folder"));
        self
    }

    /// Starts it, again too.
    pub async fn start(&mut self) {
        let address = self.port.addr();
        let mut command = Command::new(&self.program);
        command.args(["--addr", &address.ip().to_string(), "--port", &address.port().to_string()]);
        if let Some(store) = &self.store {
            command.arg("--jetstream").arg("--store_dir").arg(store.path());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().expect("nats-server starts"));
        within(20, async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// As `Options::join` takes it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr())
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
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
