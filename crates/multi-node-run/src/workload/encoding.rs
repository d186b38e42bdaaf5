//! What is known of other programs, as it travels to the next master.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::linked::{AddedSockets, Key};
use super::node_js::{Channel, ChannelState, PrimaryHandle, PrimaryState};
use super::notify::NotifySocket;
use super::primary_process::Running;
use super::process_monitor::{Ear, Signs};
use super::programs::Known;
use super::{Foreign, ProcessMonitor};
use crate::control::SocketKind;
use crate::id::{Generation, NodeId};
use crate::process_links;
use crate::program::Program;
use crate::serve::Socket;
use crate::status::{ProgramStatus, ReadyBy};
use crate::supervisor::StartContext;
use crate::supervisor::{FdIndex, ReceivedFds, SentFds};

/// What nodes are of a program that does not link this crate.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ForeignState {
    /// What each generation runs.
    programs: Vec<(Generation, Program)>,
    /// Where they were found, and what.
    #[serde(default)]
    files: BTreeMap<Generation, (PathBuf, FdIndex)>,
    /// Which of them are known to link this crate.
    #[serde(default)]
    linked: Vec<Generation>,
    /// What was bound since those asked for it.
    #[serde(default)]
    own: Vec<AddedSocketsState>,
    /// The primary of Node.js programs, where there is one and it rests.
    #[serde(default)]
    primary: Option<PrimaryState>,
    /// The primary process of Node.js programs, which the next master replaces.
    #[serde(default)]
    primary_process: Option<(u32, FdIndex)>,
    /// What is watched of each node.
    nodes: Vec<ProcessMonitorState>,
    /// The soft limit of open files for nodes.
    #[serde(default)]
    open_files: Option<u64>,
    /// Whether what nodes write is collected.
    pub(super) collects: bool,
}

/// What was bound since the program has asked for it.
#[derive(Debug, Serialize, Deserialize)]
struct AddedSocketsState {
    key: Key,
    sockets: Vec<(SocketKind, FdIndex)>,
    file: Option<PathBuf>,
    generations: BTreeSet<Generation>,
}

impl Foreign {
    pub(super) fn pack<'a>(&'a self, fds: &mut SentFds<'a>) -> ForeignState {
        let mut socket = |socket: &'a Socket| (process_links::kind(socket), fds.add(socket.as_fd()));
        let own = self.linked.own.iter().map(|(key, own)| AddedSocketsState {
            key: key.clone(),
            sockets: own.sockets.iter().map(&mut socket).collect(),
            file: own.file.clone(),
            generations: own.generations.clone(),
        });
        let own = own.collect();
        let files = self.programs.iter().filter_map(|(generation, known)| {
            let (path, file) = known.file.as_ref()?;
            Some((*generation, (path.clone(), fds.add(file.as_fd()))))
        });
        let files = files.collect();
        let programs = self.programs.iter().map(|(generation, known)| (*generation, known.program.clone()));
        let linked = self.programs.iter().filter(|(_, known)| known.is_linked).map(|(generation, _)| *generation);
        let primary = self.primary.as_ref().and_then(|primary| primary.pack(fds));
        let running = self.primary_process.as_ref().and_then(|primary| primary.held.as_ref());
        let primary_process = running.map(|running| (running.pid, fds.add(running.process.as_fd())));
        let nodes = self.nodes.values().map(|monitor| monitor.pack(fds)).collect();
        let (programs, linked) = (programs.collect(), linked.collect());
        let (open_files, collects) = (self.open_files, self.collects);
        ForeignState { programs, files, linked, own, primary, primary_process, nodes, open_files, collects }
    }

    /// Continues with what another master had; `program` is what its successor was asked to run.
    pub(super) fn unpack(
        program: &Program,
        state: ForeignState,
        context: StartContext<'_>,
        received: &mut ReceivedFds,
    ) -> io::Result<Foreign> {
        let ForeignState { programs, mut files, linked, own, primary, primary_process, nodes, open_files, .. } = state;
        let mut known = |(generation, program)| {
            let file = files.remove(&generation).map(|(path, file)| Ok::<_, io::Error>((path, received.take(file)?)));
            Ok((generation, Known { program, file: file.transpose()?, is_linked: linked.contains(&generation) }))
        };
        let programs = programs.into_iter().map(&mut known).collect::<io::Result<_>>()?;
        let (renewal, collects) = (program.renewal.clone(), program.output.is_some());
        let mut foreign = Foreign::new(programs, renewal, collects, StartContext { open_files, ..context });
        let mut adopt = |AddedSocketsState { key, sockets, file, generations }| {
            let mut socket = |(kind, fd)| Ok(process_links::adopt(kind, received.take(fd)?));
            let sockets = sockets.into_iter().map(&mut socket).collect::<io::Result<_>>()?;
            Ok((key, AddedSockets { sockets, file, generations }))
        };
        foreign.linked.own = own.into_iter().map(&mut adopt).collect::<io::Result<_>>()?;
        if let Some(primary) = primary {
            let given = context.sockets.iter().flatten().map(Socket::try_clone).collect::<io::Result<_>>()?;
            let mut primary = PrimaryHandle::unpack(primary, given, received)?;
            primary.refuse_files(foreign.nodes_are_others);
            foreign.primary = Some(primary);
        }
        let left = |(pid, process)| Ok::<_, io::Error>(Running::left(pid, received.take(process)?));
        foreign.held = primary_process.map(left).transpose()?;
        for state in nodes {
            let monitor = ProcessMonitor::unpack(state, foreign.primary.as_ref(), received)?;
            foreign.nodes.insert(monitor.id, monitor);
        }
        Ok(foreign)
    }
}

/// What is watched of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProcessMonitorState {
    id: NodeId,
    seen: ProgramStatus,
    draining: bool,
    begun: bool,
    #[serde(default)]
    is_linked: bool,
    #[serde(default)]
    notified: Option<ReadyBy>,
    signs: Signs,
    /// The name of its notification socket, and the socket.
    notify: Option<(String, FdIndex)>,
    pipe: Option<FdIndex>,
    /// The channel of a Node.js program.
    #[serde(default)]
    channel: Option<ChannelState>,
}

impl ProcessMonitor {
    /// What its channels were is there only while it rests.
    pub(super) fn pack<'a>(&'a self, fds: &mut SentFds<'a>) -> ProcessMonitorState {
        let mut state = ProcessMonitorState {
            id: self.id,
            seen: self.seen.clone(),
            draining: self.draining,
            begun: self.begun,
            is_linked: self.is_linked,
            notified: self.notified,
            signs: self.signs.clone(),
            notify: None,
            pipe: None,
            channel: None,
        };
        for ear in &self.ears {
            match ear {
                Ear::Socket(socket) => state.notify = Some((socket.name().to_owned(), fds.add(socket.as_fd()))),
                Ear::Pipe(pipe) => state.pipe = Some(fds.add(pipe.as_fd())),
                Ear::Channel(channel) => state.channel = Some(channel.pack(fds)),
            }
        }
        state
    }

    pub(super) fn unpack(
        state: ProcessMonitorState,
        primary: Option<&PrimaryHandle>,
        received: &mut ReceivedFds,
    ) -> io::Result<ProcessMonitor> {
        let mut ears = Vec::new();
        if let Some((name, socket)) = state.notify {
            ears.push(Ear::Socket(NotifySocket::adopt(name, received.take(socket)?)?));
        }
        if let Some(pipe) = state.pipe {
            ears.push(Ear::Pipe(received.take(pipe)?));
        }
        if let Some((channel, primary)) = state.channel.zip(primary) {
            ears.push(Ear::Channel(Channel::unpack(channel, primary.inbox(), received)?));
        }
        let mut monitor = ProcessMonitor::new(state.id, state.signs, ears);
        (monitor.seen, monitor.draining) = (state.seen, state.draining);
        (monitor.begun, monitor.is_linked, monitor.notified) = (state.begun, state.is_linked, state.notified);
        Ok(monitor)
    }
}
