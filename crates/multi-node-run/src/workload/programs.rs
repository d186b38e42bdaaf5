//! What every node of the program is given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use super::linked::Linked;
use super::node_js::{Channel, Preload, PrimaryHandle, ToPrimary, Wanted};
use super::notify::NotifySocket;
use super::primary_process::{PrimaryProcess, Running};
use super::process_monitor::{Ear, Signs};
use super::{PrimaryEnding, ProcessMonitor, node_port};
use tokio::sync::mpsc;

use crate::control::{Exec, Fd};
use crate::environment::{self, Left, ParentInfo};
use crate::id::{Generation, NodeId};
use crate::mesh::PeerInfo;
use crate::program::lookup::Found;
use crate::program::{self, FIRST, Place, Program, Readiness, Renewal};
use crate::serve::{Affinity, Socket};
use crate::supervisor::StartContext;
use crate::sys::signal::CONT;
use crate::{Error, family, sys};

/// By which signal the kernel tells a process that its master was killed. It sends one for each thread of the master, and many
/// programs end at once by a second. So the guard tells the process, and the kernel only continues it if it is stopped.
pub(super) fn signal_without_master(process: u32, stop: i32) -> i32 {
    // The guard finds nobody whom /proc does not show.
    if family::identity(process).is_ok() { CONT } else { stop }
}

/// The program, and the sockets that its nodes listen on.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// What each generation runs.
    pub(super) programs: BTreeMap<Generation, Known>,
    renewal: Option<Renewal>,
    sockets: Vec<program::Socket>,
    /// The primary of Node.js programs, once there was one.
    pub(super) primary: Option<PrimaryHandle>,
    backlog: u32,
    /// By what the requests of Node.js programs have owners.
    affinity: Option<Affinity>,
    /// The soft limit of open files for nodes: that with which the master was started.
    pub(super) open_files: Option<u64>,
    /// Whether nodes run as another user than the master.
    pub(super) nodes_are_others: bool,
    pub(super) linked: Linked,
    /// What Node.js programs load.
    pub(super) preload: Preload,
    /// What is watched of each node whose exec shim has been answered.
    pub(super) nodes: BTreeMap<NodeId, ProcessMonitor>,
    /// The primary process of Node.js programs, once there was one; and one that another master has left.
    pub(super) primary_process: Option<PrimaryProcess>,
    pub(super) held: Option<Running>,
    /// Whether what nodes write is collected.
    pub(super) collects: bool,
}

/// A program, and what is known of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) program: Program,
    /// Where it was found, and what, held so that a half-finished deploy changes nothing about it; `None` of a script, which
    /// its interpreter opens by its path.
    pub(super) file: Option<(PathBuf, Arc<OwnedFd>)>,
    /// Whether its nodes are known to link this crate.
    pub(super) is_linked: bool,
}

impl Known {
    fn find(program: Program, is_linked: bool) -> Result<Known, Error> {
        let Found { path, file } = program.find()?;
        // With a path of its own the program is another, perhaps.
        let looks_elsewhere = program.env.iter().any(|(name, _)| name == "PATH");
        let file = file.filter(|_| !looks_elsewhere).map(|file| (path, file));
        Ok(Known { program, file, is_linked })
    }
}

impl Foreign {
    /// Begins with the first generation.
    pub(super) fn begin(program: Program, context: StartContext<'_>) -> Result<Foreign, Error> {
        let first = program.clone();
        let programs = BTreeMap::from([(Generation::default(), Known::find(program, false)?)]);
        Ok(Foreign::new(programs, &first, context))
    }

    /// How many descriptors the master has for each node, beside those that it has for any: what the node speaks by, the process
    /// that it may name, and the pipes of what it writes.
    pub(super) fn descriptors(program: &Program) -> usize {
        let speaks = 1 + usize::from(program.ready_fd.is_some()) + usize::from(program.is_node_js());
        let writes = if program.output.is_some() { 2 } else { 0 };
        speaks + 1 + writes
    }

    pub(super) fn new(
        programs: BTreeMap<Generation, Known>,
        program: &Program,
        StartContext { sockets, manner, open_files }: StartContext<'_>,
    ) -> Foreign {
        Foreign {
            programs,
            renewal: program.renewal.clone(),
            sockets: sockets.iter().flatten().map(described).collect(),
            primary: None,
            backlog: manner.backlog,
            affinity: program.affinity.clone(),
            open_files,
            nodes_are_others: manner.nodes_are_others,
            linked: Linked::new(manner),
            preload: Preload::new(program.affinity.is_some()),
            nodes: BTreeMap::new(),
            primary_process: None,
            held: None,
            collects: program.output.is_some(),
        }
    }

    /// What was bound since nodes have asked for it.
    pub(super) fn bound(&self) -> Vec<String> {
        let own = self.bound_for_linked().map(Socket::name);
        own.chain(self.primary.iter().flat_map(PrimaryHandle::bound)).collect()
    }

    /// The sockets that were bound since nodes that link this crate have asked for them.
    pub(super) fn bound_for_linked(&self) -> impl Iterator<Item = &Socket> {
        self.linked.own.values().flat_map(|own| &own.sockets)
    }

    /// The primary of Node.js programs, where there is one.
    pub(super) fn primary_ending(&self) -> Option<PrimaryEnding> {
        self.primary.as_ref().map(|primary_handle| PrimaryEnding::of(primary_handle.inbox()))
    }

    /// Whether nodes of this generation are expected to link this crate, since others did.
    pub(super) fn is_linked(&self, generation: Generation) -> bool {
        self.programs.get(&generation).is_some_and(|known| known.is_linked)
    }

    /// Resolves the program of a generation.
    pub(super) fn resolve(&mut self, generation: Generation) -> Result<(), String> {
        // The first is that which was given.
        if generation == Generation::default() {
            return Ok(());
        }
        let last = self.programs.last_key_value().map(|(_, last)| last).ok_or("there is no program")?;
        let program = self.renewal.as_ref().map_or_else(|| Ok(last.program.clone()), |renewal| (renewal.0)())?;
        let is_linked = last.is_linked && last.program.program == program.program;
        let known = program.check(self.sockets.len()).and_then(|()| Known::find(program, is_linked));
        self.programs.insert(generation, known.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// What the exec shim of this node becomes, and what attends to the node from then on.
    pub(super) fn template(
        &mut self,
        node: PeerInfo,
        generation: Generation,
        sockets: &[Socket],
    ) -> io::Result<(Exec, ProcessMonitor)> {
        let (primary, open_files) = (self.primary(generation, sockets)?, self.open_files);
        let preload = if primary.is_some() { Some(self.preload(generation)?) } else { None };
        let Known { program, file, .. } = self.known(generation)?;
        let notify = NotifySocket::new(node.id())?;
        let slot = node.slot().ok_or_else(|| io::Error::other("the master has no slot"))?;
        let free = program.free_number(sockets.len());
        let parent_info = program.offers_parent_info().then_some(free + u32::from(primary.is_some()));
        let place = Place {
            notify: notify.address(),
            slot,
            id: node.id(),
            pid: node.pid(),
            generation: generation.number().into(),
            sockets: self.sockets.clone(),
            node_port: if program.wants_node_port() { Some(node_port::free()?) } else { None },
            channel: primary.is_some().then_some(free),
            preload: preload.clone().and_then(Result::ok),
            parent_info: parent_info.map(|number| ParentInfo {
                master: std::process::id(),
                slot,
                id: node.id(),
                left: Some(Left { number, pid: node.pid() }),
            }),
        };
        let files = sockets.iter().map(Socket::try_clone_file).collect::<io::Result<Vec<OwnedFd>>>()?;
        let inode = |fd: &OwnedFd| sys::observe::inode(fd.as_fd());
        let args = program.arguments(&place);
        // A program with a socket has to be seen serving: its age does not count, unless the user chose that rule.
        let serves = self.is_linked(generation) || primary.is_some() || !sockets.is_empty();
        let by_age = program.readiness == Readiness::Age || !serves;
        let signs = Signs {
            pid: node.pid(),
            slot: node.slot(),
            readiness: program.readiness.clone(),
            ready_after: by_age.then_some(program.ready_after),
            node_port: place.node_port,
            sockets: files.iter().map(inode).collect::<io::Result<_>>()?,
            addresses: self.sockets.iter().map(|socket| socket.address.clone()).collect(),
            words: std::iter::once(&program.program).chain(&args).map(|word| word.to_string_lossy().into()).collect(),
        };
        let mut fds: Vec<(u32, Fd)> = (FIRST..).zip(files.into_iter().map(Fd::from)).collect();
        let mut ears = vec![Ear::Socket(notify)];
        if let Some(number) = program.ready_fd {
            ears.push(Ear::Pipe(pipe(number, &mut fds)?));
        }
        if let Some((primary, number)) = primary.zip(place.channel) {
            ears.push(Ear::Channel(Channel::new(channel(number, &mut fds)?, primary)));
        }
        let found =
            file.as_ref().map(|(path, file)| io::Result::Ok((path.clone(), file.try_clone()?.into()))).transpose()?;
        let exec = Exec {
            program: program.program.clone(),
            args,
            env: program.variables(&place),
            fds,
            parent_info,
            found,
            stop_signal: Some(signal_without_master(node.pid(), program.stop_signal)),
            open_files,
        };
        let mut monitor = ProcessMonitor::new(node.id(), signs, ears);
        monitor.seen.preload = preload.map(|preload| match preload {
            Ok(_) => "off: the program has not loaded it".to_owned(),
            Err(why) => format!("off: {why}"),
        });
        Ok((exec, monitor))
    }

    /// What has nodes of this generation load the preload, and the options that it comes before; or why they do not.
    fn preload(&mut self, generation: Generation) -> io::Result<Result<(OsString, OsString), String>> {
        let Known { program, .. } =
            self.programs.get(&generation).ok_or_else(|| io::Error::other("its generation is not held any more"))?;
        let inherited = environment::node_options();
        let wanted = Wanted {
            by_option: program.preload,
            off_by_env: program.env.iter().any(|(name, value)| name == environment::PRELOAD && value == "off"),
            nodes_are_others: self.nodes_are_others,
            args: &program.args,
            node_options: program.node_options().unwrap_or(&inherited),
        };
        Ok(self.preload.option(&wanted).map(|option| (option, inherited)))
    }

    /// The primary, where this generation is a Node.js program.
    fn primary(&mut self, generation: Generation, sockets: &[Socket]) -> io::Result<Option<mpsc::Sender<ToPrimary>>> {
        if !self.known(generation)?.program.is_node_js() {
            return Ok(None);
        }
        Ok(Some(self.primary_handle(sockets)?.inbox()))
    }

    /// The primary, which is opened where there was none.
    pub(super) fn primary_handle(&mut self, sockets: &[Socket]) -> io::Result<&PrimaryHandle> {
        let primary_handle = match self.primary.take() {
            Some(primary_handle) => primary_handle,
            None => {
                let sockets = sockets.iter().map(Socket::try_clone).collect::<io::Result<_>>()?;
                let mut primary_handle = PrimaryHandle::open(sockets, self.backlog);
                self.instruct(&mut primary_handle);
                primary_handle.go_on(BTreeMap::new());
                primary_handle
            }
        };
        Ok(self.primary.insert(primary_handle))
    }

    /// Tells a primary at rest what holds for all its workers.
    pub(super) fn instruct(&self, primary: &mut PrimaryHandle) {
        primary.refuse_files(self.nodes_are_others);
        primary.own_by(self.affinity.as_ref());
    }

    pub(super) fn known(&self, generation: Generation) -> io::Result<&Known> {
        self.programs.get(&generation).ok_or_else(|| io::Error::other("its generation is not held any more"))
    }
}

/// A pipe that ends at this number in the node; its other end.
fn pipe(number: u32, fds: &mut Vec<(u32, Fd)>) -> io::Result<OwnedFd> {
    let (ours, theirs) = io::pipe()?;
    fds.push((number, theirs.into()));
    Ok(ours.into())
}

/// Makes a socket pair. One end gets this number in the node. Returns the other end.
fn channel(number: u32, fds: &mut Vec<(u32, Fd)>) -> io::Result<OwnedFd> {
    let (ours, theirs) = sys::socket::pair()?;
    fds.push((number, theirs.into()));
    Ok(ours)
}

fn described(socket: &Socket) -> program::Socket {
    let (address, port) = match socket {
        Socket::Tcp(listener) => listener.local_addr().map(|addr| (addr.to_string(), Some(addr.port()))).ok(),
        Socket::Unix(listener) => {
            let path = listener.local_addr().ok();
            path.and_then(|addr| Some((addr.as_pathname()?.display().to_string(), None)))
        }
    }
    .unwrap_or_default();
    program::Socket { address, port }
}
