//! Events of the library's thread, in the form that JavaScript gets.

use std::os::fd::OwnedFd;

use multi_node::embed::{ConnGuard, ExternalAcceptor};
use multi_node::mesh::PeerInfo;
use multi_node::options::Metric;
use multi_node::status::{MachineEvent, NodeExit, NodeId, WhyLeft};
use multi_node::tls::Pair;
use napi_derive::napi;
use tokio::sync::oneshot;

use crate::certificate::{CertificateAndKey, CheckReply};
use crate::failure::Failure;
use crate::remote::RemoteFields;
use crate::status::LastExit;

/// Something that has happened.
pub(crate) enum Event {
    /// A server's connections can be taken.
    Serving { server: usize, acceptor: ExternalAcceptor },
    /// What a server's handshakes go by is there, or was replaced.
    Certificates { server: usize },
    /// Can the server use this certificate? No process gets it before the answer.
    Check { server: usize, pair: Pair, reply: CheckReply },
    /// A process that is joined drains.
    PeerDrains(NodeId),
    /// Another process is joined.
    Peer { info: PeerInfo, socket: OwnedFd },
    /// A process of another machine has joined or left.
    Machine(MachineEvent),
    /// The fleet's status has changed.
    Changed,
    /// A node has ended.
    Exited(NodeExit),
    /// This process drains.
    Draining,
    /// A command has been carried out, with this report as JSON; or it has not.
    Answered { ticket: u32, outcome: Result<String, Failure> },
    /// A connection was passed on; or no process took it, and its place in the counts comes back.
    Given { ticket: u32, outcome: Result<(), ConnGuard> },
    /// The library wants to know what has been measured.
    Measure(oneshot::Sender<Vec<Metric>>),
    /// This process's service is over.
    Closed(Option<Failure>),
}

/// The same for JavaScript: `kind` determines which of the other fields are set.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct EventFields {
    pub kind: &'static str,
    pub server: Option<u32>,
    pub certificate: Option<CertificateAndKey>,
    pub fd: Option<i32>,
    pub id: Option<String>,
    pub slot: Option<u32>,
    pub pid: Option<u32>,
    pub is_master: Option<bool>,
    pub draining: Option<bool>,
    pub epoch: Option<f64>,
    pub ticket: Option<u32>,
    pub report: Option<String>,
    pub taken: Option<bool>,
    pub failure: Option<Failure>,
    pub exit: Option<LastExit>,
    pub remote: Option<RemoteFields>,
    pub why: Option<&'static str>,
}

impl EventFields {
    pub(crate) fn of(kind: &'static str) -> EventFields {
        EventFields { kind, ..EventFields::default() }
    }

    /// A process of another machine has joined or left.
    pub(crate) fn of_machine(event: MachineEvent) -> EventFields {
        let (kind, process, why) = match event {
            MachineEvent::Joined(process) => ("joined", process, None),
            MachineEvent::Left(process, why) => ("left", process, Some(word(why))),
            _ => return EventFields::of("unknown"),
        };
        EventFields { remote: Some(process.into()), why, ..EventFields::of(kind) }
    }
}

fn word(why: WhyLeft) -> &'static str {
    match why {
        WhyLeft::Ended => "ended",
        WhyLeft::MachineLeft => "machineLeft",
        _ => "machineSilent",
    }
}
