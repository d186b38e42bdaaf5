//! The answers to what a node says first: hello.

use std::os::fd::OwnedFd;

use super::fleet::Event;
use super::member::Member;
use super::members::{Members, NodeTemplate};
use super::watch::NodeEvent;
use super::workload::{Given, NodeView, Welcome};
use crate::control::{self, Fd, HelloAck, NodeSettings, PassedSocket, ToMaster, ToNode, VERSIONS, Versions};
use crate::id::NodeId;

/// What a node says about itself in its first message.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) versions: Versions,
    pub(super) capabilities: Vec<String>,
}

impl Members {
    /// What has to be waited for before the rules hear this.
    pub(super) async fn prepare(&mut self, id: NodeId, event: &NodeEvent) {
        match event {
            NodeEvent::Said(ToMaster::Hello { addresses, .. }) => self.bind(id, addresses).await,
            NodeEvent::Ended { .. } if self.template.workload.wants_last_output(id) => self.launcher.all_read(id).await,
            _ => {}
        }
    }

    /// Binds what a node asks for, before it is answered.
    async fn bind(&mut self, id: NodeId, addresses: &[Vec<String>]) {
        let Some(node) = self.view(id).filter(|node| !node.is_welcome) else { return };
        let NodeTemplate { workload, sockets, addresses: own, .. } = &mut self.template;
        workload.bind(node, addresses, Given { addresses: own, sockets }).await;
    }

    /// Answers a node's first message; later ones are for the rules to judge. An exec shim learns what to execute, and its
    /// program may say hello once more, if it links the library.
    pub(super) fn hello(
        &mut self,
        id: NodeId,
        spoken: Spoken,
        addresses: &[Vec<String>],
        trial: bool,
    ) -> Result<Event, String> {
        let Some(node) = self.view(id).filter(|node| !node.is_welcome) else { return Ok(Event::Hello { id }) };
        let (message, result) = match self.answer(node, spoken, addresses, trial) {
            Ok((answer, event)) => (answer, Ok(event)),
            Err(why) => (ToNode::Refused { why: why.clone() }, Err(why)),
        };
        self.tell(id, message);
        result
    }

    fn answer(
        &mut self,
        node: NodeView,
        Spoken { versions, capabilities }: Spoken,
        addresses: &[Vec<String>],
        trial: bool,
    ) -> Result<(ToNode, Event), String> {
        let id = node.info.id();
        let version = VERSIONS.common(versions).ok_or_else(|| no_common_version(versions))?;
        let NodeTemplate { workload, sockets, addresses: own, .. } = &mut self.template;
        let (servers, event) = match workload.hello(node, addresses, Given { addresses: own, sockets })? {
            Welcome::Exec(exec) => return Ok((ToNode::Exec(exec), Event::Hello { id })),
            Welcome::Node(servers) => (servers, Event::Hello { id }),
            Welcome::Program(servers) => (servers, Event::Linked { id }),
        };
        let slots = self.snapshot.borrow().status.wanted;
        let member = self.alive.get_mut(&id).ok_or("the node is gone")?;
        let hello_ack = hello_ack(&self.template, member, (version, &capabilities), servers, slots)?;
        (member.version, member.capabilities) = (Some(version), capabilities);
        Ok((ToNode::HelloAck(Box::new(HelloAck { trial, slots, ..hello_ack })), event))
    }
}

/// `slots`: how many there are.
fn hello_ack(
    template: &NodeTemplate,
    member: &Member,
    (version, capabilities): (u32, &[String]),
    servers: Vec<Vec<PassedSocket>>,
    slots: usize,
) -> Result<HelloAck, String> {
    let (id, slot) = (member.info.id(), member.info.slot());
    let clone = |fd: &OwnedFd| Fd::duplicate(fd).map_err(|error| error.to_string());
    let takes_limits = control::has_capability(capabilities, control::LIMITS);
    Ok(HelloAck {
        version,
        capabilities: control::capabilities(),
        id,
        slot: slot.ok_or("the master has no slot")?,
        generation: member.generation,
        settings: NodeSettings { mesh_files: template.shape.of_nodes(slots).mesh(), ..template.settings.clone() },
        line: member.line,
        trial: false,
        slots: 0,
        secret: Some(template.secret.clone()),
        tls: template.tls.view.borrow().state.clone().filter(|_| control::has_capability(capabilities, control::TLS)),
        servers,
        load: clone(&template.load_file)?,
        wake_fd: clone(&template.wake_fd)?,
        limits: takes_limits.then(|| clone(&template.limits.1)).transpose()?,
    })
}

fn no_common_version(node: Versions) -> String {
    format!(
        "the program speaks control protocol {} to {}, its master {} to {}; restart the program as a whole",
        node.lowest, node.highest, VERSIONS.lowest, VERSIONS.highest,
    )
}
