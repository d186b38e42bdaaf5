//! The connection to NATS.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::mpsc;

use crate::join::{Join, JoinError};
use crate::machine::Machine;
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

/// Begins to connect, and goes on for ever. What happens to the connection comes by the channel.
pub(crate) async fn connect(join: &Join, machine: &Machine) -> Result<(Client, mpsc::Receiver<Event>), JoinError> {
    let (sender, events) = mpsc::channel(EVENTS);
    let addresses = join.addresses()?;
    let mut options = ConnectOptions::new()
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
                let _ = sender.send(event).await;
            }
        });
    if let Some(path) = &join.credentials {
        let failed = |error: std::io::Error| JoinError::Credentials {
            path: path.display().to_string(),
            cause: error.to_string(),
        };
        options = options.credentials_file(path).await.map_err(failed)?;
    }
    if let Some(path) = &join.root_certificates {
        options = options.add_root_certificates(path.clone());
    }
    let client = options.connect(addresses).await.map_err(|error| JoinError::Client(error.to_string()))?;
    Ok((client, events))
}

fn pause(attempts: usize) -> Duration {
    let longest = Duration::from_millis(100).saturating_mul(1 << attempts.min(6)).min(LONGEST_PAUSE);
    longest.mul_f64(0.5 + 0.5 * fastrand::f64())
}
