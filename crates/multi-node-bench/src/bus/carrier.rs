//! What carries the messages, and how a measurement with it is made.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::bare::BarePublisher;
use super::nats::{NatsPublisher, NatsServer};
use super::redis::RedisPublisher;
use super::subscriber::Kind;
use super::{Finding, SUBSCRIBERS, Task, stamp};
use crate::process::{self, Process};
use crate::programs;
use crate::redis::RedisServer;

pub(super) enum Carrier {
    /// Topics of the library in Rust.
    Fleet(PathBuf),
    /// Topics of the Node.js package, or node:cluster: the command, the script, and its name.
    Script {
        script: PathBuf,
        package: PathBuf,
        name: &'static str,
        messages: u64,
    },
    /// A Unix socket for each subscriber, and a write for each message. The kind says how subscribers read.
    Bare(PathBuf, Kind),
    Redis(RedisServer),
    Nats(NatsServer),
}

/// What publishes by a carrier of others.
pub(super) trait Publisher {
    /// Waits until the subscribers, which have been started, are connected.
    fn accept(&mut self) -> Result<()> {
        Ok(())
    }

    /// Publishes a message; it may wait in a buffer.
    fn publish(&mut self, message: &[u8]) -> Result<()>;

    /// Sends what waits.
    fn flush(&mut self) -> Result<()>;
}

impl Carrier {
    /// All that can be measured here; what cannot is said.
    pub(super) fn all(folder: &Path, servers: &Path, package: &Path) -> Result<Vec<Carrier>> {
        let bare = |kind| Carrier::Bare(folder.join("bare.sock"), kind);
        let fleet = Carrier::Fleet(folder.join("fleet.sock"));
        let mut carriers = vec![fleet, bare(Kind::Bare), bare(Kind::BareTokio)];
        let (redis, nats) = (programs::find(servers, "redis-server"), programs::find(servers, "nats-server"));
        carriers.extend(redis.map(|program| RedisServer::start(program, folder)).transpose()?.map(Carrier::Redis));
        carriers.extend(nats.map(|program| NatsServer::start(program, folder)).transpose()?.map(Carrier::Nats));
        if let Some(package) = programs::package(package) {
            let script = |script: &str, name, messages| {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/bus").join(script);
                Carrier::Script { script, package: package.clone(), name, messages }
            };
            carriers.push(script("package.js", "Node.js package", 200_000));
            carriers.push(script("cluster.js", "node:cluster", 40_000));
        }
        Ok(carriers)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Carrier::Fleet(_) => "multi-node",
            Carrier::Script { name, .. } => name,
            Carrier::Bare(_, Kind::BareTokio) => "bare sockets, tokio reads",
            Carrier::Bare(..) => "bare sockets",
            Carrier::Redis(_) => "Redis",
            Carrier::Nats(_) => "NATS",
        }
    }

    /// How many a broadcast has, so that it takes about a second.
    pub(super) fn messages(&self) -> u64 {
        match self {
            Carrier::Fleet(_) => 1_000_000,
            Carrier::Script { messages, .. } => *messages,
            Carrier::Bare(..) => 40_000,
            Carrier::Redis(_) | Carrier::Nats(_) => 200_000,
        }
    }

    pub(super) fn answers_requests(&self) -> bool {
        matches!(self, Carrier::Fleet(_))
    }

    pub(super) fn measure(&self, task: Task, count: u64) -> Result<Vec<Finding>> {
        match self {
            Carrier::Fleet(place) => {
                let args = ["bus-fleet", &process::argument(&task), &count.to_string(), &place.display().to_string()];
                let lines = if task == Task::Requests { 2 } else { SUBSCRIBERS };
                Process::start(&args.map(str::to_owned), Stdio::null())?.answers(lines)
            }
            Carrier::Script { script, package, .. } => {
                let mut command = Command::new("node");
                command.arg(script).args([&process::argument(&task), &count.to_string()]).env("PACKAGE", package);
                Process::run(command.stdin(Stdio::null()).stdout(Stdio::piped()))?.answers(SUBSCRIBERS)
            }
            Carrier::Bare(place, kind) => measure_with(BarePublisher::bind(place)?, *kind, place, task, count),
            Carrier::Redis(RedisServer { socket, .. }) => {
                measure_with(RedisPublisher::connect(socket)?, Kind::Redis, socket, task, count)
            }
            Carrier::Nats(NatsServer { address, .. }) => {
                let place = PathBuf::from(address.to_string());
                measure_with(NatsPublisher::connect(*address)?, Kind::Nats, &place, task, count)
            }
        }
    }
}

/// Subscribers are processes of this program; this one publishes.
fn measure_with(
    mut publisher: impl Publisher,
    kind: Kind,
    place: &Path,
    task: Task,
    count: u64,
) -> Result<Vec<Finding>> {
    let args = ["bus-subscriber", &process::argument(&kind), &count.to_string(), &place.display().to_string()]
        .map(str::to_owned);
    let start = |_| Process::start(&args, Stdio::null());
    let mut subscribers = (0..SUBSCRIBERS).map(start).collect::<Result<Vec<_>>>()?;
    publisher.accept()?;
    for subscriber in &mut subscribers {
        ensure!(subscriber.answer::<bool>()?, "process {} has not subscribed", subscriber.pid());
    }
    for number in 0..count {
        publisher.publish(&stamp(task, number))?;
        if task == Task::AtRest {
            publisher.flush()?;
            thread::sleep(Duration::from_millis(2));
        }
    }
    publisher.flush()?;
    subscribers.iter_mut().map(Process::answer).collect()
}
