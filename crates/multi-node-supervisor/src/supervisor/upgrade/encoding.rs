//! A master's state in its encoded form: each descriptor is an index into the list of sent descriptors.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::state::{
    FdIndex, FrameState, GuardState, ImageState, MemberState, OutputState, ProgramState, ReceivedFds, SentFds, State,
};
use crate::control::{self, Frame, Parts, SocketKind};
use crate::held::Held;
use crate::id::Generation;
use crate::output::Output;
use crate::serve::Socket;
use crate::supervisor::child::Image;
use crate::supervisor::fleet::Saved;
use crate::supervisor::guard::GuardProcess;
use crate::supervisor::member::{Main, SuspendedMember};
use crate::supervisor::members::Members;
use crate::{process_links, sys};

/// What is there at any time, also while nodes are spoken to.
pub(super) fn pack<'a>(members: &'a Members, fleet: Saved, fds: &mut SentFds<'a>) -> io::Result<State> {
    let template = &members.template;
    let mut socket = |socket: &'a Socket| (process_links::kind(socket), fds.add(socket.as_fd()));
    Ok(State {
        form: State::FORM,
        capabilities: control::capabilities(),
        descriptors: 0,
        written_ms: sys::epoll::monotonic_ms(),
        name: sys::process::name(),
        addresses: template.addresses.clone(),
        sockets: template.sockets.iter().map(|sockets| sockets.iter().map(&mut socket).collect()).collect(),
        load: fds.add(template.load_file.as_fd()),
        wake_fd: fds.add(template.wake_fd.as_fd()),
        limits: Some(fds.add(template.limits.1.as_fd())),
        images: members
            .launcher
            .images
            .iter()
            .map(|(generation, image)| encode_image(*generation, image, fds))
            .collect(),
        fleet,
        ended: members.ended.clone(),
        members: Vec::new(),
        news: Vec::new(),
        early: Vec::new(),
        signals: Vec::new(),
        stdin: None,
        reload: None,
        secret: Some(template.secret.clone()),
        tls: template.tls.view.borrow().state.clone(),
        workload: template.workload.save(fds)?,
        outputs: Vec::new(),
        guard: None,
    })
}

fn encode_image<'a>(generation: Generation, image: &'a Image, fds: &mut SentFds<'a>) -> ImageState {
    let mut held = |held: &'a Held| match held {
        Held::File(file) => ProgramState::File(fds.add(file.as_fd())),
        Held::Script(path) => ProgramState::Script(path.clone()),
    };
    ImageState {
        generation,
        program: held(&image.program),
        master: image.master.as_ref().map(held),
        directory: fds.add(image.directory.as_fd()),
    }
}

pub(super) fn decode_image(image: ImageState, received: &mut ReceivedFds) -> io::Result<(Generation, Image)> {
    let mut held = |program| {
        Ok::<_, io::Error>(match program {
            ProgramState::File(file) => Held::File(received.take(file)?),
            ProgramState::Script(path) => Held::Script(path),
        })
    };
    let program = held(image.program)?;
    let master = image.master.map(held).transpose()?;
    Ok((image.generation, Image { program, master, directory: received.take(image.directory)? }))
}

pub(super) fn encode_member<'a>(node: &'a SuspendedMember, fds: &mut SentFds<'a>) -> MemberState {
    let Parts { socket, read, read_fds, unwritten } = &node.talk;
    let frame = |frame: &'a Frame, fds: &mut SentFds<'a>| FrameState {
        bytes: frame.bytes.clone(),
        fds: encode_fds(&frame.fds, fds),
    };
    MemberState {
        info: node.info,
        generation: node.generation,
        line: node.line,
        version: node.version,
        capabilities: node.capabilities.clone(),
        phase: node.phase,
        main: node.main.as_ref().map(|main| (main.pid, fds.add(main.process.as_fd()))),
        process: fds.add(node.process.as_fd()),
        control: fds.add(socket.as_fd()),
        read: read.clone().freeze(),
        read_fds: encode_fds(read_fds, fds),
        unwritten: unwritten.iter().map(|it| frame(it, fds)).collect(),
    }
}

pub(super) fn decode_member(member: MemberState, received: &mut ReceivedFds) -> io::Result<SuspendedMember> {
    let process = received.take(member.process)?.into();
    let socket = received.take(member.control)?.into();
    let read_fds = decode_fds(member.read_fds, received)?;
    let frame = |frame: FrameState| {
        let fds: Vec<OwnedFd> = decode_fds(frame.fds, received)?;
        Ok(Frame { bytes: frame.bytes, fds: fds.into_iter().map(Arc::new).collect() })
    };
    let unwritten = member.unwritten.into_iter().map(frame).collect::<io::Result<_>>()?;
    let main = |(pid, process)| Ok::<_, io::Error>(Main { pid, process: received.take(process)?.into() });
    let main = member.main.map(main).transpose()?;
    Ok(SuspendedMember {
        info: member.info,
        generation: member.generation,
        process,
        line: member.line,
        version: member.version,
        capabilities: member.capabilities,
        phase: member.phase,
        main,
        talk: Parts { socket, read: member.read.into(), read_fds, unwritten },
    })
}

pub(super) fn encode_output<'a>(output: &'a Output, fds: &mut SentFds<'a>) -> OutputState {
    let Output { id, slot, pid, stream, pipe, begun, .. } = output;
    let (pipe, begun) = (fds.add(pipe.as_fd()), begun.clone().into());
    OutputState { id: *id, slot: *slot, pid: *pid, stream: *stream, pipe, begun }
}

pub(super) fn decode_output(output: OutputState, received: &mut ReceivedFds) -> io::Result<Output> {
    let OutputState { id, slot, pid, stream, pipe, begun } = output;
    Ok(Output { id, slot, pid, stream, pipe: received.take(pipe)?.into(), begun: begun.into(), reading: None })
}

pub(super) fn encode_guard<'a>(guard: &'a GuardProcess, fds: &mut SentFds<'a>) -> GuardState {
    let GuardProcess { process, pipe, told } = guard;
    GuardState { process: fds.add(process.as_fd()), pipe: fds.add(pipe.as_fd()), told: told.clone() }
}

pub(super) fn decode_guard(guard: GuardState, received: &mut ReceivedFds) -> io::Result<GuardProcess> {
    let GuardState { process, pipe, told } = guard;
    Ok(GuardProcess { process: received.take(process)?, pipe: received.take(pipe)?, told })
}

fn encode_fds<'a>(files: impl IntoIterator<Item = &'a (impl AsFd + 'a)>, fds: &mut SentFds<'a>) -> Vec<FdIndex> {
    files.into_iter().map(|file| fds.add(file.as_fd())).collect()
}

fn decode_fds<C: FromIterator<OwnedFd>>(fds: Vec<FdIndex>, received: &mut ReceivedFds) -> io::Result<C> {
    fds.into_iter().map(|fd| received.take(fd)).collect()
}

/// The listening sockets.
pub(super) fn decode_sockets(
    sockets: &[Vec<(SocketKind, FdIndex)>],
    received: &mut ReceivedFds,
) -> io::Result<Vec<Vec<Socket>>> {
    let mut socket = |(kind, fd): &(SocketKind, FdIndex)| Ok(process_links::adopt(*kind, received.take(*fd)?));
    sockets.iter().map(|sockets| sockets.iter().map(&mut socket).collect()).collect()
}
