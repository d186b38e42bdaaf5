//! What is known of other programs, as it travels to the next master.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attendance::{Ear, Main, Signs};
use super::linked::{Key, Own};
use super::node_js::{Channel, ChannelState, Office, PrimaryState};
use super::notify::NotifySocket;
use super::outfit::Known;
use super::{Attendance, Foreign};
use crate::control::SocketKind;
use crate::foreign::Program;
use crate::id::{Generation, NodeId};
use crate::serve::Socket;
use crate::status::{ProgramStatus, ReadyBy};
use crate::supervisor::upgrade::{Arrived, Luggage, Passed};
use crate::wires;

/// What nodes are of a program that does not link this crate.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::supervisor) struct ForeignState {
    /// What each generation runs.
    programs: Vec<(Generation, Program)>,
    /// Where they were found, and what.
    #[serde(default)]
    files: BTreeMap<Generation, (PathBuf, Passed)>,
    /// Which of them are known to link this crate.
    #[serde(default)]
    linked: Vec<Generation>,
    /// What was bound since those asked for it.
    #[serde(default)]
    own: Vec<OwnState>,
    /// The primary of Node.js programs, where there is one and it rests.
    #[serde(default)]
    primary: Option<PrimaryState>,
    /// The soft limit of open files for nodes.
    #[serde(default)]
    open_files: Option<u64>,
    /// Whether what nodes write is collected.
    pub(in crate::supervisor) collects: bool,
}

/// What was bound since the program has asked for it.
#[derive(Debug, Serialize, Deserialize)]
struct OwnState {
    key: Key,
    sockets: Vec<(SocketKind, Passed)>,
    file: Option<PathBuf>,
    generations: BTreeSet<Generation>,
}

/// What another master had.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(super) programs: BTreeMap<Generation, Known>,
    pub(super) own: BTreeMap<Key, Own>,
    pub(super) primary: Option<Office>,
    pub(super) open_files: Option<u64>,
}

impl Foreign {
    pub(in crate::supervisor) fn pack<'a>(&'a self, collects: bool, luggage: &mut Luggage<'a>) -> ForeignState {
        let mut socket = |socket: &'a Socket| (wires::kind(socket), luggage.add(socket.as_fd()));
        let own = self.linked.own.iter().map(|(key, own)| OwnState {
            key: key.clone(),
            sockets: own.sockets.iter().map(&mut socket).collect(),
            file: own.file.clone(),
            generations: own.generations.clone(),
        });
        let own = own.collect();
        let files = self.programs.iter().filter_map(|(generation, known)| {
            let (path, file) = known.file.as_ref()?;
            Some((*generation, (path.clone(), luggage.add(file.as_fd()))))
        });
        let files = files.collect();
        let programs = self.programs.iter().map(|(generation, known)| (*generation, known.program.clone()));
        let linked = self.programs.iter().filter(|(_, known)| known.is_linked).map(|(generation, _)| *generation);
        let primary = self.primary.as_ref().and_then(|primary| primary.pack(luggage));
        let (programs, linked, open_files) = (programs.collect(), linked.collect(), self.open_files);
        ForeignState { programs, files, linked, own, primary, open_files, collects }
    }
}

impl Legacy {
    /// `sockets` are those that the master was given.
    pub(in crate::supervisor) fn unpack(
        state: ForeignState,
        sockets: &[Socket],
        arrived: &mut Arrived,
    ) -> io::Result<Legacy> {
        let ForeignState { programs, mut files, linked, own, primary, open_files, .. } = state;
        let mut known = |(generation, program)| {
            let file = files.remove(&generation).map(|(path, file)| Ok::<_, io::Error>((path, arrived.take(file)?)));
            Ok((generation, Known { program, file: file.transpose()?, is_linked: linked.contains(&generation) }))
        };
        let programs = programs.into_iter().map(&mut known).collect::<io::Result<_>>()?;
        let mut adopt = |OwnState { key, sockets, file, generations }| {
            let mut socket = |(kind, fd)| Ok(wires::adopt(kind, arrived.take(fd)?));
            let sockets = sockets.into_iter().map(&mut socket).collect::<io::Result<_>>()?;
            Ok((key, Own { sockets, file, generations }))
        };
        let own = own.into_iter().map(&mut adopt).collect::<io::Result<_>>()?;
        let given = sockets.iter().map(Socket::try_clone).collect::<io::Result<_>>()?;
        let primary = primary.map(|primary| Office::unpack(primary, given, arrived)).transpose()?;
        Ok(Legacy { programs, own, primary, open_files })
    }
}

/// What is watched of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::supervisor) struct AttendanceState {
    id: NodeId,
    seen: ProgramStatus,
    main: Option<(u32, Passed)>,
    draining: bool,
    begun: bool,
    #[serde(default)]
    is_linked: bool,
    #[serde(default)]
    notified: Option<ReadyBy>,
    signs: Signs,
    /// The name of its notification socket, and the socket.
    notify: Option<(String, Passed)>,
    pipe: Option<Passed>,
    /// The channel of a Node.js program.
    #[serde(default)]
    channel: Option<ChannelState>,
}

impl Attendance {
    /// It has to rest.
    pub(in crate::supervisor) fn pack<'a>(&'a self, luggage: &mut Luggage<'a>) -> AttendanceState {
        let mut state = AttendanceState {
            id: self.id,
            seen: self.seen.clone(),
            main: self.main.as_ref().map(|main| (main.pid, luggage.add(main.process.as_fd()))),
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
                Ear::Socket(socket) => state.notify = Some((socket.name().to_owned(), luggage.add(socket.as_fd()))),
                Ear::Pipe(pipe) => state.pipe = Some(luggage.add(pipe.as_fd())),
                Ear::Channel(channel) => state.channel = Some(channel.pack(luggage)),
            }
        }
        state
    }

    /// `legacy`: what else there was.
    pub(in crate::supervisor) fn unpack(
        state: AttendanceState,
        legacy: Option<&Legacy>,
        arrived: &mut Arrived,
    ) -> io::Result<Attendance> {
        let mut ears = Vec::new();
        if let Some((name, socket)) = state.notify {
            ears.push(Ear::Socket(NotifySocket::adopt(name, arrived.take(socket)?)?));
        }
        if let Some(pipe) = state.pipe {
            ears.push(Ear::Pipe(arrived.take(pipe)?));
        }
        if let Some((channel, primary)) = state.channel.zip(legacy.and_then(|legacy| legacy.primary.as_ref())) {
            ears.push(Ear::Channel(Channel::unpack(channel, primary.inbox(), arrived)?));
        }
        let mut attendance = Attendance::new(state.id, state.signs, ears);
        let mut main = |(pid, process)| Ok::<_, io::Error>(Main { pid, process: Arc::new(arrived.take(process)?) });
        attendance.main = state.main.map(&mut main).transpose()?;
        (attendance.seen, attendance.draining) = (state.seen, state.draining);
        (attendance.begun, attendance.is_linked, attendance.notified) = (state.begun, state.is_linked, state.notified);
        Ok(attendance)
    }
}
