//! The connection to NATS.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Server, ServerAddr};
use tokio::sync::mpsc;

use crate::join::{Join, JoinError, User};
use crate::machine::Machine;
use crate::server::without_password;
use crate::subject;

/// How often the client looks whether the server is there. It gives the connection up after two answers are missing.
const PING: Duration = Duration::from_secs(2);

/// How long the client tries one server.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The longest pause between two attempts. Each is shorter by a random part, so that machines do not come back in step.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How many messages of one topic may wait in the client; it drops more, and subscribers see the gap.
const WAITING: usize = 8 << 10;

/// How many events of the connection may wait. The gateway reads them at once.
const EVENTS: usize = 64;

/// What happens to the connection.
#[derive(Debug)]
pub(crate) enum Happened {
    Nats(Event),
    /// The servers could not be reached, or did not let this machine in.
    Failed(String),
}

/// Begins to connect, and goes on for ever. What happens to the connection comes by the channel.
pub(crate) async fn connect(join: &Join, machine: &Machine) -> Result<(Client, mpsc::Receiver<Happened>), JoinError> {
    let (sender, events) = mpsc::channel(EVENTS);
    let addresses = addresses(join)?;
    let options = authenticated(options(machine, &sender), join)?;
    let client = options.connect(addresses).await.map_err(|error| JoinError::Client(error.to_string()))?;
    Ok((client, events))
}

fn options(machine: &Machine, to: &mpsc::Sender<Happened>) -> ConnectOptions {
    let (sender, failures) = (to.clone(), to.clone());
    ConnectOptions::new()
        .name(format!("multi-node on {}", machine.name))
        .no_echo()
        // So the permission for the cluster's subjects is enough.
        .custom_inbox_prefix(subject::inbox(&machine.cluster))
        .ping_interval(PING)
        .connection_timeout(ATTEMPT)
        .subscription_capacity(WAITING)
        .retry_on_initial_connect()
        // Only the servers that the user has named, and checked.
        .ignore_discovered_servers()
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            let sender = sender.clone();
            async move {
                // An error means that the gateway has ended.
                let _ = sender.send(Happened::Nats(event)).await;
            }
        })
        // It is asked for a server before each attempt, and leaves the choice to the client.
        .reconnect_to_server_callback(move |servers, _| {
            if let Some(why) = failed(&servers) {
                // What does not fit is said again after the next attempt.
                let _ = failures.try_send(Happened::Failed(why));
            }
            std::future::ready(None)
        })
}

/// Why the attempts before have failed.
fn failed(servers: &[Server]) -> Option<String> {
    let why = |server: &Server| {
        let error = server.last_error.as_ref()?;
        Some(format!("{}:{}: {error}", server.addr.host(), server.addr.port()))
    };
    let why: Vec<String> = servers.iter().filter_map(why).collect();
    (!why.is_empty()).then(|| why.join("; "))
}

/// With what servers know this machine by, and it them.
fn authenticated(mut options: ConnectOptions, join: &Join) -> Result<ConnectOptions, JoinError> {
    options = match join.user()? {
        Some(User { name, password: Some(password) }) => options.user_and_password(name, password),
        Some(User { name: token, password: None }) => options.token(token),
        None => options,
    };
    if let Some(path) = &join.credentials {
        options = options.credentials(&read(path)?).map_err(|error| unusable(path, &error))?;
    }
    if let Some(path) = &join.nkey {
        options = options.nkey(read(path)?.trim().to_owned());
    }
    if let Some((certificate, key)) = &join.client_certificate {
        [certificate, key].into_iter().try_for_each(|path| read(path).map(drop))?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if let Some(path) = &join.root_certificates {
        read(path)?;
        options = options.add_root_certificates(path.clone());
    }
    Ok(options)
}

/// A file of a few lines, which is read once.
fn read(path: &Path) -> Result<String, JoinError> {
    std::fs::read_to_string(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> JoinError {
    JoinError::File { path: path.display().to_string(), cause: error.to_string() }
}

/// The servers, without users: the client knows one user for all of them, and its log shows addresses.
fn addresses(join: &Join) -> Result<Vec<ServerAddr>, JoinError> {
    join.servers().map(|server| address(join, &without_password(server))).collect()
}

/// What the client reads in an address counts: it must not be more than what was checked.
fn address(join: &Join, server: &str) -> Result<ServerAddr, JoinError> {
    let refused =
        |cause: std::io::Error| JoinError::Server { server: without_password(server), cause: cause.to_string() };
    let address: ServerAddr = server.parse().map_err(refused)?;
    join.allow(server, address.scheme(), address.host())?;
    Ok(address)
}

fn pause(attempts: usize) -> Duration {
    let longest = Duration::from_millis(100).saturating_mul(1 << attempts.min(6)).min(LONGEST_PAUSE);
    longest.mul_f64(0.5 + 0.5 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_no_user() {
        let addresses = addresses(&Join::new("tls://me:secret@a:1,tls://b")).expect("two");
        assert!(addresses.iter().all(|address| !address.has_user_pass()));
    }

    #[test]
    fn what_the_client_reads_is_checked_too() {
        let join = Join::new("nats://127.0.0.1");
        assert!(address(&join, "nats://127.0.0.1:4222").is_ok());
        assert!(address(&join, "nats://bus-1").is_err_and(|error| error.to_string().contains("not encrypted")));
    }
}
