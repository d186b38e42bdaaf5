//! The answers to what a node says first: hello.

use std::os::fd::OwnedFd;

use super::fleet::Event;
use super::foreign::{ProcessEvent, ProcessMonitor};
use super::member::Member;
use super::members::{Members, NodeTemplate};
use super::watch::NodeEvent;
use crate::control::{self, Fd, HelloAck, NodeSettings, ToMaster, ToNode, VERSIONS, Versions};
use crate::error::describe;
use crate::id::NodeId;
use crate::process_links;
use crate::serve::Socket;

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
            NodeEvent::Process(ProcessEvent::Ended { .. }) => {
                let starts = |monitor: &mut ProcessMonitor| monitor.seen.ready_by.is_none();
                if self.monitor(id).is_some_and(starts) {
                    self.launcher.all_read(id).await;
                }
            }
            _ => {}
        }
    }

    /// Binds what a program of nodes that links this crate asks for, before it is answered.
    async fn bind(&mut self, id: NodeId, addresses: &[Vec<String>]) {
        let unanswered = |member: &&Member| member.monitor.is_some() && !member.is_welcome();
        let Some(generation) = self.get(id).filter(unanswered).map(|member| member.generation) else { return };
        let NodeTemplate { foreign: Some(foreign), sockets, .. } = &mut self.template else { return };
        foreign.bind(generation, addresses, given(sockets)).await;
    }

    /// Answers a node's first message; later ones are for the rules to judge. Where nodes are of another program there are
    /// two: the exec shim's, which learns what to execute, and that of a program which links this crate.
    pub(super) fn hello(
        &mut self,
        id: NodeId,
        spoken: Spoken,
        addresses: &[Vec<String>],
        trial: bool,
    ) -> Result<Event, String> {
        let Spoken { versions, capabilities } = spoken;
        let Some(member) = self.alive.get_mut(&id).filter(|member| !member.is_welcome()) else {
            return Ok(Event::Hello { id });
        };
        let is_program = member.monitor.is_some();
        let slots = self.snapshot.borrow().status.wanted;
        let is_stage = self.template.foreign.is_some() && !is_program;
        let answer = match is_stage {
            true => become_program(&mut self.template, member, versions),
            false => hello_ack(&self.template, member, (versions, &capabilities, addresses), slots)
                .map(|hello_ack| ToNode::HelloAck(Box::new(HelloAck { trial, slots, ..hello_ack }))),
        };
        let (message, result) = match answer {
            Ok(answer) => (answer, Ok(if is_program { Event::Linked { id } } else { Event::Hello { id } })),
            Err(why) => (ToNode::Refused { why: why.clone() }, Err(why)),
        };
        if !is_stage && result.is_ok() {
            member.version = VERSIONS.common(versions);
            member.capabilities = capabilities;
            member.monitor.iter_mut().for_each(ProcessMonitor::links);
        }
        self.tell(id, message);
        result
    }
}

/// The sockets of a program that has no servers of its own here.
fn given(sockets: &[Vec<Socket>]) -> &[Socket] {
    sockets.first().map(Vec::as_slice).unwrap_or_default()
}

/// `slots`: how many there are.
fn hello_ack(
    template: &NodeTemplate,
    member: &Member,
    (versions, capabilities, addresses): (Versions, &[String], &[Vec<String>]),
    slots: usize,
) -> Result<HelloAck, String> {
    let version = VERSIONS.common(versions).ok_or_else(|| no_common_version(versions))?;
    let servers = servers(template, member, addresses)?;
    let (id, slot) = (member.info.id(), member.info.slot());
    let clone = |fd: &OwnedFd| fd.try_clone().map(Fd::from).map_err(|error| error.to_string());
    let socket = |socket: &&Socket| {
        let duplicate = socket.try_clone_file().map_err(|error| error.to_string())?;
        Ok((process_links::kind(socket), duplicate.into()))
    };
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
        servers: servers.iter().map(|sockets| sockets.iter().map(socket).collect()).collect::<Result<_, String>>()?,
        load: clone(&template.load_file)?,
        wake_fd: clone(&template.wake_fd)?,
        limits: takes_limits.then(|| clone(&template.limits.1)).transpose()?,
    })
}

/// The sockets of each server.
fn servers<'a>(
    template: &'a NodeTemplate,
    member: &Member,
    addresses: &[Vec<String>],
) -> Result<Vec<Vec<&'a Socket>>, String> {
    match (&template.foreign, &member.monitor) {
        (Some(_), Some(monitor)) if monitor.draining => Err("the node is to end already".to_owned()),
        (Some(foreign), Some(_)) => foreign.sockets(addresses, given(&template.sockets)),
        _ if addresses == template.addresses => {
            Ok(template.sockets.iter().map(|sockets| sockets.iter().collect()).collect())
        }
        _ => Err(format!(
            "the program wants to serve {}, but its master has bound {}; other addresses need a restart of the program as a whole",
            listed(addresses),
            listed(&template.addresses),
        )),
    }
}

/// The answer to an exec shim.
fn become_program(template: &mut NodeTemplate, member: &mut Member, versions: Versions) -> Result<ToNode, String> {
    VERSIONS.common(versions).ok_or_else(|| no_common_version(versions))?;
    let NodeTemplate { foreign: Some(foreign), sockets, .. } = template else {
        return Err("the master has no other program".to_owned());
    };
    let prepared = foreign.template(member.info, member.generation, given(sockets));
    let (exec, monitor) = prepared.map_err(|error| describe(&error))?;
    member.monitor = Some(monitor);
    Ok(ToNode::Exec(Box::new(exec)))
}

fn no_common_version(node: Versions) -> String {
    format!(
        "the program speaks control protocol {} to {}, its master {} to {}; restart the program as a whole",
        node.lowest, node.highest, VERSIONS.lowest, VERSIONS.highest,
    )
}

fn listed(addresses: &[Vec<String>]) -> String {
    addresses.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
}
