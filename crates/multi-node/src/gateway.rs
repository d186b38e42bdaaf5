//! The gateway to other machines: this process, if the master has started it as that. It serves nothing.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use multi_node_bus::{Bus, LinkWanted, Wanted};
use multi_node_nats::{FromMaster, Machine, Seen};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::control::{self, Reader, ToMaster, ToNode, Writer};
use crate::gateway_plan::GatewayTask;
use crate::id::NodeId;
use crate::machines::{self, MachineChanges, Machines};
use crate::node::Parent;
use crate::status::GatewayStatus;
use crate::{Error, environment};
use multi_node_fleet::status::Drained;

/// How often the master hears that this process lives, and how it is.
const BEAT: Duration = Duration::from_secs(2);

/// How long it may take to tell other machines that this one leaves.
const FAREWELL: Duration = Duration::from_secs(1);

/// How much of the master may wait for the gateway's loop, which reads at once.
const TOLD: usize = 16;

/// Whether this process was started as the gateway.
pub(crate) fn is_gateway() -> bool {
    environment::parent_info().is_some_and(|parent_info| parent_info.id == NodeId::GATEWAY)
}

/// Passes messages on until the master is gone. Gives the cause.
pub(crate) async fn run() -> Error {
    match serve().await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn serve() -> Result<std::convert::Infallible, Error> {
    let mut parent = Parent::take()?;
    let (epoch, settings) = parent.gateway_hello().await?;
    let GatewayTask { join, cluster, machine: name, bounds } = GatewayTask::decode(&settings)?;
    let Parent { reader, writer, socket: _ } = parent;
    let bus = Bus::new(NodeId::GATEWAY, bounds.into());
    let machine = Machine { cluster, name, epoch };
    let (seen, (tell, told)) = (Seen::default(), mpsc::channel(TOLD));
    let (status, machines) = (seen.status.subscribe(), seen.machines.subscribe());
    let (wanted, said) = (bus.wanted(), Machines::default());
    let mut talk = Talk { reader, writer, wanted, bus: bus.clone(), status, machines, said, tell: tell.clone() };
    let known = talk.begin().await?;
    let mut joined = std::pin::pin!(multi_node_nats::run(&join, &machine, bus, (known, told), &seen));
    let failed = tokio::select! {
        // It has to know what it does with requests before the first link opens.
        biased;
        joined = &mut joined => joined.err(),
        error = talk.go() => {
            let farewell = async { tokio::join!(tell.send(FromMaster::Leave), &mut joined) };
            // Machines that do not hear of it find out.
            let _ = timeout(FAREWELL, farewell).await;
            return Err(talk.end(error).await);
        }
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
    status: watch::Receiver<GatewayStatus>,
    machines: watch::Receiver<Machines>,
    /// What the master knows of it.
    said: Machines,
    tell: mpsc::Sender<FromMaster>,
}

impl Talk {
    /// Hears which machines the gateway before has known, which the master says first.
    async fn begin(&mut self) -> Result<Vec<machines::Machine>, Error> {
        match self.reader.next().await {
            Ok(Some(ToNode::Machines(changes))) => {
                self.said.apply(changes.clone());
                Ok(changes.changed)
            }
            Ok(Some(_)) => Err(Error::Control { cause: "the master does not begin with machines".to_owned() }),
            Ok(None) => Err(Error::MasterGone),
            Err(error) => Err(control::broken(&error)),
        }
    }

    /// Goes on until the master is gone, or wants no gateway any more.
    async fn go(&mut self) -> Error {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let said = tokio::select! {
                message = self.reader.next() => match message {
                    // The program ends.
                    Ok(Some(ToNode::Drain { .. })) => return Error::MasterGone,
                    Ok(Some(message)) => {
                        self.hear(message).await;
                        continue;
                    }
                    Ok(None) => return Error::MasterGone,
                    Err(error) => return control::broken(&error),
                },
                LinkWanted { peer, broken_epoch } = self.wanted.recv() => ToMaster::OpenLink { peer, broken_epoch },
                Ok(()) = self.machines.changed() => match self.news() {
                    Some(changes) => ToMaster::Machines(changes),
                    None => continue,
                },
                _ = beat.tick() => ToMaster::Gateway(self.status.borrow().clone()),
            };
            if let Err(error) = self.writer.send(said).await {
                return control::broken(&error);
            }
        }
    }

    /// Other machines know that this one leaves. A master that lives ends this process now, which has nothing to say to its user.
    async fn end(&mut self, error: Error) -> Error {
        if self.writer.send(ToMaster::Drained(Drained::default())).await.is_ok() {
            while let Ok(Some(_)) = self.reader.next().await {}
        }
        error
    }

    /// What the master has to know of other machines.
    fn news(&mut self) -> Option<MachineChanges> {
        let now = self.machines.borrow_and_update().clone();
        let changes = now.since(&self.said);
        self.said = now;
        changes
    }

    async fn hear(&mut self, message: ToNode) {
        match message {
            ToNode::Fleet(fleet) => self.tell(FromMaster::Fleet(fleet)).await,
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

    async fn tell(&self, said: FromMaster) {
        // An error means that the gateway has ended, which its result shows.
        let _ = self.tell.send(said).await;
    }
}
