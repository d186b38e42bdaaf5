//! The gateway to other machines: this process, if the master has started it as that. It serves nothing.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use multi_node_bus::{Bus, LinkWanted, Wanted};
use multi_node_nats::{Join, Machine};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::control::{self, Reader, ToMaster, ToNode, Writer};
use crate::id::NodeId;
use crate::node::Parent;
use crate::options::Settings;
use crate::status::GatewayStatus;
use crate::{Error, environment, sys, wiring};

/// How often the master hears that this process lives, and how it is.
const BEAT: Duration = Duration::from_secs(2);

/// Whether this process was started as the gateway.
pub(crate) fn is_gateway() -> bool {
    environment::parent_info().is_some_and(|parent_info| parent_info.id == NodeId::GATEWAY)
}

/// The names of the cluster and of this machine, as far as they are not given: those of the program's file and of the host.
pub(crate) fn names(join: &Join) -> Result<(String, String), Error> {
    let program = environment::program().and_then(|path| path.file_name().map(PathBuf::from)).unwrap_or_default();
    let host = sys::process::host_name();
    let cluster = join.cluster_or(&program.to_string_lossy());
    let names = cluster.and_then(|cluster| Ok((cluster, join.machine_or(&host)?)));
    names.map_err(|error| Error::Option { option: "join", value: join.to_string(), allowed: error.to_string() })
}

/// Passes messages on until the master is gone. Gives the cause.
pub(crate) async fn run(settings: &Settings) -> Error {
    let Some(join) = &settings.join else {
        return Error::Start { cause: "the program joins no other machines any more".to_owned() };
    };
    match serve(join, settings).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn serve(join: &Join, settings: &Settings) -> Result<std::convert::Infallible, Error> {
    let (cluster, name) = names(join)?;
    let mut parent = Parent::take()?;
    let epoch = parent.gateway_hello().await?;
    let Parent { reader, writer, socket: _ } = parent;
    let bus = Bus::new(NodeId::GATEWAY, wiring::bus_limits(settings));
    let machine = Machine { cluster, name, epoch };
    let (sender, state) = watch::channel(GatewayStatus::default());
    let mut talk = Talk { reader, writer, wanted: bus.wanted(), bus: bus.clone(), state };
    let failed = tokio::select! {
        // It has to know what it does with requests before the first link opens.
        biased;
        joined = multi_node_nats::run(join, &machine, bus, &sender) => joined.err(),
        error = talk.go() => return Err(error),
    };
    let cause = failed.map_or_else(|| "it has ended".to_owned(), |error| error.to_string());
    // The master restarts it either way.
    let _ = talk.writer.send(ToMaster::Failed { why: cause.clone() }).await;
    Err(Error::Start { cause })
}

/// The conversation with the master.
struct Talk {
    reader: Reader<ToNode>,
    writer: Writer<ToMaster>,
    wanted: Wanted,
    bus: Bus,
    state: watch::Receiver<GatewayStatus>,
}

impl Talk {
    /// Goes on until the master is gone.
    async fn go(&mut self) -> Error {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let said = tokio::select! {
                message = self.reader.next() => match message {
                    Ok(Some(message)) => {
                        self.hear(message);
                        continue;
                    }
                    Ok(None) => return Error::MasterGone,
                    Err(error) => return control::broken(&error),
                },
                LinkWanted { peer, broken_epoch } = self.wanted.recv() => ToMaster::OpenLink { peer, broken_epoch },
                _ = beat.tick() => ToMaster::Gateway(*self.state.borrow()),
            };
            if let Err(error) = self.writer.send(said).await {
                return control::broken(&error);
            }
        }
    }

    fn hear(&mut self, message: ToNode) {
        match message {
            ToNode::BusPeer { id, slot } => self.bus.joined(id, slot, true),
            ToNode::AllJoined => self.bus.members_complete(),
            ToNode::Gone { id } => self.bus.gone(id),
            ToNode::LinkOpened { peer, epoch, link } => {
                let attached = link.into_owned().map(|link| self.bus.attach(peer, epoch, UnixStream::from(link)));
                if let Err(error) = attached.and_then(|attached| attached) {
                    crate::log::error!(%peer, %error, "cannot use the link of the bus to a peer");
                }
            }
            // Nothing else concerns it.
            _ => {}
        }
    }
}
