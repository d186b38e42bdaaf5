//! What is known of other programs, as it travels to the next master.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::linked::{AddedSockets, Key};
use super::node_js::{Channel, ChannelState, PrimaryHandle, PrimaryState};
use super::notify::NotifySocket;
use super::primary_process::Running;
use super::process_monitor::{Ear, Signs};
use super::programs::Known;
use super::{Foreign, ProcessMonitor};
use crate::control::{Fd, PassedSocket};
use crate::id::{Generation, NodeId};
use crate::program::Program;
use crate::serve::Socket;
use crate::status::{ProgramStatus, ReadyBy};
use crate::supervisor::StartContext;

/// What nodes are of a program that does not link this crate.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ForeignState {
    /// What each generation runs.
    programs: Vec<(Generation, Program)>,
    /// Where they were found, and what.
    #[serde(default)]
    files: BTreeMap<Generation, (PathBuf, Fd)>,
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
    primary_process: Option<(u32, Fd)>,
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
    sockets: Vec<PassedSocket>,
    file: Option<PathBuf>,
    generations: BTreeSet<Generation>,
}

impl Foreign {
    pub(super) fn pack(&self) -> io::Result<ForeignState> {
        let own = self.linked.own.iter().map(|(key, own)| {
            let sockets = own.sockets.iter().map(PassedSocket::of).collect::<io::Result<_>>()?;
            let (key, file, generations) = (key.clone(), own.file.clone(), own.generations.clone());
            Ok(AddedSocketsState { key, sockets, file, generations })
        });
        let files = self.programs.iter().filter_map(|(generation, known)| {
            let (path, file) = known.file.as_ref()?;
            Some((*generation, (path.clone(), Fd::shared(file))))
        });
        let programs = self.programs.iter().map(|(generation, known)| (*generation, known.program.clone()));
        let linked = self.programs.iter().filter(|(_, known)| known.is_linked).map(|(generation, _)| *generation);
        let running = self.primary_process.as_ref().and_then(|primary| primary.held.as_ref());
        let primary_process =
            running.map(|running| Ok::<_, io::Error>((running.pid, Fd::duplicate(&running.process)?)));
        Ok(ForeignState {
            programs: programs.collect(),
            files: files.collect(),
            linked: linked.collect(),
            own: own.collect::<io::Result<_>>()?,
            primary: self.primary.as_ref().map(PrimaryHandle::pack).transpose()?.flatten(),
            primary_process: primary_process.transpose()?,
            nodes: self.nodes.values().map(ProcessMonitor::pack).collect::<io::Result<_>>()?,
            open_files: self.open_files,
            collects: self.collects,
        })
    }

    /// Continues with what another master had; `program` is what its successor was asked to run.
    pub(super) fn unpack(program: &Program, state: ForeignState, context: StartContext<'_>) -> io::Result<Foreign> {
        let ForeignState { programs, mut files, linked, own, primary, primary_process, nodes, open_files, .. } = state;
        let known = |(generation, program)| {
            let file = files.remove(&generation).map(|(path, file)| Ok::<_, io::Error>((path, file.into_shared()?)));
            Ok((generation, Known { program, file: file.transpose()?, is_linked: linked.contains(&generation) }))
        };
        let programs = programs.into_iter().map(known).collect::<io::Result<_>>()?;
        let mut foreign = Foreign::new(programs, program, StartContext { open_files, ..context });
        let adopt = |AddedSocketsState { key, sockets, file, generations }| {
            let sockets = sockets.into_iter().map(PassedSocket::open).collect::<io::Result<_>>()?;
            Ok((key, AddedSockets { sockets, file, generations }))
        };
        foreign.linked.own = own.into_iter().map(adopt).collect::<io::Result<_>>()?;
        if let Some(primary) = primary {
            let given = context.sockets.iter().flatten().map(Socket::try_clone).collect::<io::Result<_>>()?;
            let mut primary = PrimaryHandle::unpack(primary, given)?;
            foreign.instruct(&mut primary);
            foreign.primary = Some(primary);
        }
        let left = |(pid, process): (u32, Fd)| Ok::<_, io::Error>(Running::left(pid, process.into_owned()?));
        foreign.held = primary_process.map(left).transpose()?;
        for state in nodes {
            let monitor = ProcessMonitor::unpack(state, foreign.primary.as_ref())?;
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
    notify: Option<(String, Fd)>,
    pipe: Option<Fd>,
    /// The channel of a Node.js program.
    #[serde(default)]
    channel: Option<ChannelState>,
}

impl ProcessMonitor {
    /// What its channels were is there only while it rests.
    fn pack(&self) -> io::Result<ProcessMonitorState> {
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
                Ear::Socket(socket) => state.notify = Some((socket.name().to_owned(), Fd::duplicate(socket)?)),
                Ear::Pipe(pipe) => state.pipe = Some(Fd::duplicate(pipe)?),
                Ear::Channel(channel) => state.channel = Some(channel.pack()?),
            }
        }
        Ok(state)
    }

    fn unpack(state: ProcessMonitorState, primary: Option<&PrimaryHandle>) -> io::Result<ProcessMonitor> {
        let mut ears = Vec::new();
        if let Some((name, socket)) = state.notify {
            ears.push(Ear::Socket(NotifySocket::adopt(name, socket.into_owned()?)?));
        }
        if let Some(pipe) = state.pipe {
            ears.push(Ear::Pipe(pipe.into_owned()?));
        }
        if let Some((channel, primary)) = state.channel.zip(primary) {
            ears.push(Ear::Channel(Channel::unpack(channel, primary.inbox())?));
        }
        let mut monitor = ProcessMonitor::new(state.id, state.signs, ears);
        (monitor.seen, monitor.draining) = (state.seen, state.draining);
        (monitor.begun, monitor.is_linked, monitor.notified) = (state.begun, state.is_linked, state.notified);
        Ok(monitor)
    }
}
