//! Clients that ask without end.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use multi_node_it::{client, send};
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many there are at a time.
const CLIENTS: usize = 4;

/// Our own clients, who have a connection for each request.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    /// Returns when requests are answered.
    pub(crate) async fn under_way(addr: SocketAddr) -> Load {
        Load::by(|stopped, answered| ask(addr, stopped, answered)).await
    }

    /// The same by clients that keep their connections for some requests.
    pub(crate) async fn kept(addr: SocketAddr) -> Load {
        Load::by(|stopped, answered| ask_on_kept(addr, stopped, answered)).await
    }

    async fn by<F>(client: impl Fn(watch::Receiver<bool>, Arc<AtomicU64>) -> F) -> Load
    where
        F: Future<Output = Vec<String>> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let answered = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS).map(|_| client(stopped.clone(), answered.clone())).collect();
        while answered.load(Ordering::Relaxed) < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Load { stop, answered, clients }
    }

    /// How many requests were answered, and why others were not.
    pub(crate) async fn stop(self) -> (u64, Vec<String>) {
        self.stop.send_replace(true);
        let errors = self.clients.join_all().await.concat();
        (self.answered.load(Ordering::Relaxed), errors)
    }
}

async fn ask(addr: SocketAddr, stopped: watch::Receiver<bool>, answered: Arc<AtomicU64>) -> Vec<String> {
    let mut errors = Vec::new();
    while !*stopped.borrow() {
        match tokio::time::timeout(Duration::from_secs(20), client::get(addr, "/")).await {
            Ok(Ok(answer)) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
            Ok(Ok(answer)) => errors.push(format!("status {}", answer.status)),
            Ok(Err(error)) => errors.push(error.to_string()),
            Err(late) => errors.push(late.to_string()),
        }
    }
    errors
}

/// As browsers and proxies do: a request on a connection that has served others, and is closed before the first byte of the
/// answer, is sent once more on a new one (RFC 9110, 9.2.2).
async fn ask_on_kept(addr: SocketAddr, stopped: watch::Receiver<bool>, answered: Arc<AtomicU64>) -> Vec<String> {
    /// Requests on one connection; Node.js goes on answering on those that are never closed.
    const MOST: u32 = 50;
    let mut errors = Vec::new();
    while !*stopped.borrow() {
        let mut client = match client::Client::connect(addr).await {
            Ok(client) => client,
            Err(error) => {
                errors.push(error.to_string());
                continue;
            }
        };
        for number in 0..MOST {
            let error = match tokio::time::timeout(Duration::from_secs(20), client.get("/")).await {
                Ok(Ok(_)) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Ok(Err(error)) if number > 0 && has_not_begun(&error) => break,
                Ok(Err(error)) => format!("{error:#}"),
                Err(late) => late.to_string(),
            };
            errors.push(format!("{error} at request {number}"));
            break;
        }
    }
    errors
}

/// Whether nothing of an answer has come.
fn has_not_begun(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("after 0 bytes of the head") || text.starts_with("send") || text.starts_with("read the head")
}

/// The load generator wrk, on connections that are kept.
pub(crate) struct Wrk(Child);

impl Wrk {
    /// Runs it by a program that finds its libraries.
    pub(crate) fn start(with: &str, addr: SocketAddr) -> Wrk {
        let mut command = Command::new(with);
        command.args(["wrk", "-t1", "-c4", "-d60s", &format!("http://{addr}/")]);
        Wrk(command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("wrk starts"))
    }

    /// How many requests it has sent, and what errors it has seen.
    pub(crate) async fn stop(self) -> String {
        send(self.0.id().expect("it goes on for a minute"), Signal::INT);
        let output = self.0.wait_with_output().await.expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let told = text.lines().map(str::trim);
        told.filter(|line| ["requests in", "errors", "Non-2xx"].iter().any(|word| line.contains(word)))
            .collect::<Vec<_>>()
            .join("; ")
    }
}
