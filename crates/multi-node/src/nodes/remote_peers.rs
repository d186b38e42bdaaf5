//! Processes of other machines as peers, and streams to processes.

use std::fmt;

use multi_node_bus::{ByteStream, IncomingStreams, RemoteProcess, StreamReset};

use super::{Handle, MachineEvent, WhyLeft};
use crate::id::{NodeId, Slot};
use crate::machines::{Machine, MachineProcess};
use crate::status::State;

/// A process of another machine that takes part in the program. It shows as `machine/slot#epoch.number`, which no other process ever does.
///
/// ```no_run
/// # use multi_node::Handle;
/// # async fn f(node: Handle) -> Result<(), multi_node::mesh::StreamReset> {
/// for peer in node.remote_peers() {
///     println!("{peer} is on {}", peer.machine());
///     let stream = peer.open_stream().await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RemotePeer {
    process: RemoteProcess,
    pid: u32,
    draining: bool,
    handle: Handle,
}

impl RemotePeer {
    fn of(handle: &Handle, machine: &Machine, process: &MachineProcess) -> RemotePeer {
        let (pid, draining) = (process.pid, process.state == State::Draining);
        RemotePeer { process: RemoteProcess::of(machine, process), pid, draining, handle: handle.clone() }
    }

    /// By what this process calls it, in [messages](crate::bus) too. Every process of every machine finds the same id.
    pub fn id(&self) -> NodeId {
        self.process.id()
    }

    /// The name of its machine.
    pub fn machine(&self) -> &str {
        &self.process.machine
    }

    /// The slot that it fills; `None` for the master.
    pub fn slot(&self) -> Option<Slot> {
        self.process.slot
    }

    /// Its number on its machine.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it was draining when this was asked.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Who it is.
    pub fn process(&self) -> &RemoteProcess {
        &self.process
    }

    /// Opens a stream to it: [`Handle::open_stream`].
    ///
    /// # Errors
    /// As there.
    pub async fn open_stream(&self) -> Result<ByteStream, StreamReset> {
        self.handle.open_stream(self.id()).await
    }
}

impl fmt::Display for RemotePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}

impl fmt::Debug for RemotePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemotePeer").field(&format_args!("{self}")).finish()
    }
}

impl Handle {
    /// The processes of other machines that take part now, as far as their machines are heard:
    /// [`Options::join`](crate::Options::join). [`machine_events`](Handle::machine_events) says who joins and leaves;
    /// [`peers`](Handle::peers) has the processes of this machine.
    pub fn remote_peers(&self) -> Vec<RemotePeer> {
        let machines = self.0.snapshot.borrow().machines.clone();
        let reachable = machines.others.values().filter(|machine| machine.reachable);
        let peers = reachable.flat_map(|machine| {
            let taking_part = machine.fleet.processes.iter().filter(|process| process.takes_part());
            taking_part.map(|process| RemotePeer::of(self, machine, process))
        });
        peers.collect()
    }

    /// Opens a stream to this process, of this machine or another one, which has to
    /// [accept](Handle::incoming_streams) it. The stream is whole and in order, or ends with a [`StreamReset`] at both ends: at once where a
    /// process ends, within 8 s where a machine is lost. 256 streams of a process may be open.
    ///
    /// ```no_run
    /// use multi_node::Handle;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// async fn copy_of_everything(node: &Handle) -> std::io::Result<Vec<u8>> {
    ///     let Some(peer) = node.remote_peers().into_iter().next() else { return Ok(Vec::new()) };
    ///     let mut stream = peer.open_stream().await?;
    ///     stream.write_all(b"everything").await?;
    ///     stream.shutdown().await?;
    ///     let mut copy = Vec::new();
    ///     stream.read_to_end(&mut copy).await?; // an error, and not less, where the stream is reset
    ///     Ok(copy)
    /// }
    /// ```
    ///
    /// # Errors
    /// Where there is no such process, it accepts no streams, it cannot be reached, or one of the two has too many streams.
    pub async fn open_stream(&self, to: NodeId) -> Result<ByteStream, StreamReset> {
        self.follow_machines();
        self.0.bus.open_stream(to).await
    }

    /// The streams that other processes open to this one, as long as the result is held; of several the newest gets them. 64 may wait to be
    /// accepted.
    ///
    /// ```no_run
    /// # use multi_node::Handle;
    /// # fn f(node: Handle) -> Result<(), multi_node::mesh::StreamReset> {
    /// let mut incoming = node.incoming_streams()?;
    /// tokio::spawn(async move {
    ///     while let Some(stream) = incoming.accept().await {
    ///         tokio::spawn(async move {
    ///             let (mut reader, mut writer) = tokio::io::split(stream);
    ///             tokio::io::copy(&mut reader, &mut writer).await
    ///         });
    ///     }
    /// });
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Where this process has 1,024 handlers of requests: streams need one.
    pub fn incoming_streams(&self) -> Result<IncomingStreams, StreamReset> {
        self.follow_machines();
        self.0.bus.incoming_streams()
    }

    /// From the first stream on the bus hears which processes of other machines leave.
    fn follow_machines(&self) {
        self.0.follows_machines.get_or_init(|| {
            let (bus, mut events) = (self.0.bus.clone(), self.machine_events());
            self.0.bus.spawn(async move {
                while let Some(event) = events.next().await {
                    if let MachineEvent::Left(process, why) = event {
                        bus.left(process.id(), reset(why));
                    }
                }
            });
        });
    }
}

fn reset(why: WhyLeft) -> StreamReset {
    match why {
        WhyLeft::Ended => StreamReset::Ended,
        WhyLeft::MachineLeft => StreamReset::MachineLeft,
        WhyLeft::MachineSilent => StreamReset::MachineSilent,
    }
}
