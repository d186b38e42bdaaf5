//! What a master has, as it travels: each descriptor in its place of the luggage.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::state::{
    Arrived, FrameState, GuardState, ImageState, Luggage, MemberState, OutputState, Passed, PrimaryProcessState,
    ProgramState, State,
};
use crate::control::{self, Frame, Parts, SocketKind};
use crate::foreign::Output;
use crate::foreign::lookup::Held;
use crate::id::Generation;
use crate::serve::Socket;
use crate::supervisor::child::Image;
use crate::supervisor::fleet::Saved;
use crate::supervisor::foreign::{Attendance, Legacy};
use crate::supervisor::guard::GuardProcess;
use crate::supervisor::member::Resting;
use crate::supervisor::members::Members;
use crate::supervisor::primary_process::Running;
use crate::{sys, wires};

/// What is there at any time, also while nodes are spoken to.
pub(super) fn pack<'a>(members: &'a Members, fleet: Saved, luggage: &mut Luggage<'a>) -> State {
    let outfit = &members.outfit;
    let mut socket = |socket: &'a Socket| (wires::kind(socket), luggage.add(socket.as_fd()));
    State {
        form: State::FORM,
        capabilities: control::capabilities(),
        descriptors: 0,
        written_ms: sys::epoll::monotonic_ms(),
        name: sys::process::name(),
        addresses: outfit.addresses.clone(),
        sockets: outfit.sockets.iter().map(|sockets| sockets.iter().map(&mut socket).collect()).collect(),
        load: luggage.add(outfit.load_file.as_fd()),
        bell: luggage.add(outfit.bell.as_fd()),
        limits: Some(luggage.add(outfit.limits.1.as_fd())),
        images: members
            .launcher
            .images
            .iter()
            .map(|(generation, image)| pack_image(*generation, image, luggage))
            .collect(),
        fleet,
        ended: members.ended.clone(),
        members: Vec::new(),
        news: Vec::new(),
        early: Vec::new(),
        signals: Vec::new(),
        stdin: None,
        reload: None,
        secret: Some(outfit.secret.clone()),
        foreign: outfit.foreign.as_ref().map(|foreign| foreign.pack(members.launcher.collects(), luggage)),
        outputs: Vec::new(),
        guard: None,
        primary: None,
    }
}

fn pack_image<'a>(generation: Generation, image: &'a Image, luggage: &mut Luggage<'a>) -> ImageState {
    let mut held = |held: &'a Held| match held {
        Held::File(file) => ProgramState::File(luggage.add(file.as_fd())),
        Held::Script(path) => ProgramState::Script(path.clone()),
    };
    ImageState {
        generation,
        program: held(&image.program),
        master: image.master.as_ref().map(held),
        directory: luggage.add(image.directory.as_fd()),
    }
}

pub(super) fn unpack_image(image: ImageState, arrived: &mut Arrived) -> io::Result<(Generation, Image)> {
    let mut held = |program| {
        Ok::<_, io::Error>(match program {
            ProgramState::File(file) => Held::File(arrived.take(file)?),
            ProgramState::Script(path) => Held::Script(path),
        })
    };
    let program = held(image.program)?;
    let master = image.master.map(held).transpose()?;
    Ok((image.generation, Image { program, master, directory: arrived.take(image.directory)? }))
}

pub(super) fn pack_member<'a>(node: &'a Resting, luggage: &mut Luggage<'a>) -> MemberState {
    let Parts { socket, read, read_fds, unwritten } = &node.talk;
    let frame = |frame: &'a Frame, luggage: &mut Luggage<'a>| FrameState {
        bytes: frame.bytes.clone(),
        fds: pack_fds(&frame.fds, luggage),
    };
    MemberState {
        info: node.info,
        generation: node.generation,
        line: node.line,
        version: node.version,
        capabilities: node.capabilities.clone(),
        phase: node.phase,
        attendance: node.attendance.as_ref().map(|attendance| attendance.pack(luggage)),
        process: luggage.add(node.process.as_fd()),
        control: luggage.add(socket.as_fd()),
        read: read.clone().freeze(),
        read_fds: pack_fds(read_fds, luggage),
        unwritten: unwritten.iter().map(|it| frame(it, luggage)).collect(),
    }
}

/// `foreign`: what was known of all nodes, where they are of another program.
pub(super) fn unpack_member(
    member: MemberState,
    foreign: Option<&Legacy>,
    arrived: &mut Arrived,
) -> io::Result<Resting> {
    let process = arrived.take(member.process)?.into();
    let socket = arrived.take(member.control)?.into();
    let read_fds = unpack_fds(member.read_fds, arrived)?;
    let frame = |frame: FrameState| Ok(Frame { bytes: frame.bytes, fds: unpack_fds(frame.fds, arrived)? });
    let unwritten = member.unwritten.into_iter().map(frame).collect::<io::Result<_>>()?;
    let attendance = member.attendance.map(|state| Attendance::unpack(state, foreign, arrived)).transpose()?;
    Ok(Resting {
        info: member.info,
        generation: member.generation,
        process,
        line: member.line,
        version: member.version,
        capabilities: member.capabilities,
        phase: member.phase,
        attendance,
        talk: Parts { socket, read: member.read.into(), read_fds, unwritten },
    })
}

pub(super) fn pack_output<'a>(output: &'a Output, luggage: &mut Luggage<'a>) -> OutputState {
    let Output { id, slot, pid, stream, pipe, begun, .. } = output;
    let (pipe, begun) = (luggage.add(pipe.as_fd()), begun.clone().into());
    OutputState { id: *id, slot: *slot, pid: *pid, stream: *stream, pipe, begun }
}

pub(super) fn unpack_output(output: OutputState, arrived: &mut Arrived) -> io::Result<Output> {
    let OutputState { id, slot, pid, stream, pipe, begun } = output;
    Ok(Output { id, slot, pid, stream, pipe: arrived.take(pipe)?.into(), begun: begun.into(), reading: None })
}

pub(super) fn pack_primary<'a>(running: &'a Running, luggage: &mut Luggage<'a>) -> PrimaryProcessState {
    PrimaryProcessState { pid: running.pid, process: luggage.add(running.process.as_fd()) }
}

pub(super) fn unpack_primary(state: PrimaryProcessState, arrived: &mut Arrived) -> io::Result<Running> {
    Ok(Running::left(state.pid, arrived.take(state.process)?))
}

pub(super) fn pack_guard<'a>(guard: &'a GuardProcess, luggage: &mut Luggage<'a>) -> GuardState {
    let GuardProcess { process, pipe, told } = guard;
    GuardState { process: luggage.add(process.as_fd()), pipe: luggage.add(pipe.as_fd()), told: told.clone() }
}

pub(super) fn unpack_guard(guard: GuardState, arrived: &mut Arrived) -> io::Result<GuardProcess> {
    let GuardState { process, pipe, told } = guard;
    Ok(GuardProcess { process: arrived.take(process)?, pipe: arrived.take(pipe)?, told })
}

fn pack_fds<'a>(fds: impl IntoIterator<Item = &'a OwnedFd>, luggage: &mut Luggage<'a>) -> Vec<Passed> {
    fds.into_iter().map(|fd| luggage.add(fd.as_fd())).collect()
}

fn unpack_fds<C: FromIterator<OwnedFd>>(fds: Vec<Passed>, arrived: &mut Arrived) -> io::Result<C> {
    fds.into_iter().map(|fd| arrived.take(fd)).collect()
}

/// The listening sockets.
pub(super) fn unpack_sockets(
    sockets: &[Vec<(SocketKind, Passed)>],
    arrived: &mut Arrived,
) -> io::Result<Vec<Vec<Socket>>> {
    let mut socket = |(kind, fd): &(SocketKind, Passed)| Ok(wires::adopt(*kind, arrived.take(*fd)?));
    sockets.iter().map(|sockets| sockets.iter().map(&mut socket).collect()).collect()
}
