//! A node's process: how it is started, signalled and reaped. Nothing else starts or ends processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::fleet::Fatal;
use super::lookup::{Held, hold, locate};
use crate::environment::{self, Calling, Seat};
use crate::id::{Generation, NodeId, Slot};
use crate::options::{Launch, SlotArgs};
use crate::program::Output;
use crate::status::Exit;
use crate::{Error, sys};

/// Starts nodes: the same program, from where it was typed.
#[derive(Debug)]
pub(crate) struct Launcher {
    own: Own,
    /// What nodes run, where that is not the program of this process.
    program: Option<PathBuf>,
    arg0: OsString,
    args: Vec<OsString>,
    slot_args: Option<SlotArgs>,
    env: Vec<(OsString, OsString)>,
    directory: PathBuf,
    /// Where the reading ends of its nodes' standard output and error go.
    output: Option<mpsc::Sender<Output>>,
    pub(super) images: BTreeMap<Generation, Image>,
    /// Whether threads of this process may hold signals back, as they were when its program began.
    holds_signals: bool,
}

/// How this process was started.
#[derive(Debug)]
struct Own {
    /// Absolute, symbolic links not resolved.
    program: PathBuf,
    arg0: OsString,
    args: Vec<OsString>,
}

/// What one generation runs, held so that a half-finished deploy changes nothing about it.
#[derive(Debug)]
pub(crate) struct Image {
    pub(super) program: Held,
    /// The master's own program, where that is another and was found.
    pub(super) master: Option<Held>,
    pub(super) directory: OwnedFd,
}

impl Launcher {
    pub(crate) fn new(launch: Launch, output: Option<mpsc::Sender<Output>>) -> Result<Launcher, Error> {
        let (typed, own_args) = environment::command_line();
        let directory = environment::working_directory().map_err(Error::io("read the working directory"))?;
        let own = Own { program: locate(Path::new(&typed), &directory), arg0: typed, args: own_args };
        let arg0 = launch.program.as_ref().map(|path| path.clone().into_os_string());
        Ok(Launcher {
            program: arg0.as_ref().map(|program| locate(Path::new(program), &directory)),
            arg0: arg0.unwrap_or_else(|| own.arg0.clone()),
            args: launch.args.unwrap_or_else(|| own.args.clone()),
            slot_args: launch.slot_args,
            env: launch.env,
            own,
            directory,
            output,
            images: BTreeMap::new(),
            holds_signals: false,
        })
    }

    /// Goes on from what another program of this process held.
    pub(crate) fn inherit(&mut self, images: Vec<(Generation, Image)>) {
        self.images.extend(images);
        self.holds_signals = true;
    }

    /// Looks up program and working directory for a generation, as they are on disk now.
    pub(crate) fn resolve(&mut self, generation: Generation) -> Result<(), Error> {
        let image = self
            .image(generation)
            .map_err(|(path, source)| Error::Program { program: path.display().to_string(), source })?;
        self.images.insert(generation, image);
        Ok(())
    }

    fn image(&self, generation: Generation) -> Result<Image, (&Path, io::Error)> {
        let own = self.program.is_none();
        let named = self.program.as_ref().unwrap_or(&self.own.program);
        // The first nodes run what this process runs, whatever has been put in its place since.
        let first = own && generation == Generation::default();
        let program = if first { Path::new("/proc/self/exe") } else { named };
        let directory = sys::process::hold(&self.directory).map_err(|error| (self.directory.as_path(), error))?;
        let program = hold(program).map_err(|error| (named.as_path(), error))?;
        // A reload can do without it.
        let master = if own { None } else { hold(&self.own.program).ok() };
        Ok(Image { program, master, directory })
    }

    /// What would take this process's place, and in which directory.
    fn successor(&self) -> io::Result<(PathBuf, &OwnedFd)> {
        let image = self.images.last_key_value().map(|(_, image)| image);
        let image = image.ok_or_else(|| io::Error::other("no program is held"))?;
        let program = if self.program.is_none() { Some(&image.program) } else { image.master.as_ref() };
        let missing = || io::Error::other(format!("{} was not found", self.own.program.display()));
        Ok((program.ok_or_else(missing)?.path(), &image.directory))
    }

    /// Tries the newest generation's program as one that is to take this process's place.
    pub(crate) fn rehearse(&self, call: OwnedFd) -> io::Result<(u32, OwnedFd)> {
        let (program, directory) = self.successor()?;
        let started = Command::new(program)
            .arg0(&self.own.arg0)
            .args(&self.own.args)
            .envs([environment::call(Calling::Rehearsal)])
            .current_dir(sys::process::held(directory))
            .stdin(call)
            .process_group(0)
            .spawn()?;
        let pid = started.id();
        Ok((pid, sys::process::open(pid)?))
    }

    /// Puts the newest generation's program in this process's place. Returns only if that has failed, and then nothing has
    /// changed.
    pub(crate) fn replace_master(&self, call: &OwnedFd) -> io::Error {
        let (program, directory) = match self.successor() {
            Ok(successor) => successor,
            Err(error) => return error,
        };
        let successor = sys::exec::Successor {
            program,
            arguments: std::iter::once(&self.own.arg0).chain(&self.own.args).cloned().collect(),
            environment: environment::with_call(Calling::Succession).collect(),
            directory: directory.as_fd(),
            stdin: call.as_fd(),
        };
        successor.replace()
    }

    /// Forgets what no node will be started from any more.
    pub(crate) fn keep(&mut self, used: impl Fn(Generation) -> bool) {
        let newest = self.images.last_key_value().map(|(generation, _)| *generation);
        self.images.retain(|generation, _| Some(*generation) == newest || used(*generation));
    }

    /// Starts a node.
    pub(crate) fn spawn(&self, id: NodeId, slot: Slot, generation: Generation) -> io::Result<Child> {
        let image =
            self.images.get(&generation).ok_or_else(|| io::Error::other("its generation is not held any more"))?;
        let (ours, theirs) = sys::socket::pair()?;
        if self.holds_signals {
            sys::exec::release_signals()?;
        }
        let seat = Seat { master: std::process::id(), slot, id, left: None };
        let mut command = Command::new(image.program.path());
        command
            .arg0(&self.arg0)
            .args(self.slot_args.as_ref().map(|args| args.of(slot)).unwrap_or_default())
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env(environment::SEAT, seat.write())
            .env_remove(environment::CALL)
            .current_dir(sys::process::held(&image.directory))
            .stdin(theirs)
            // A program may have marked its own to be closed on exec, as Node.js does.
            .stdout(io::stdout().as_fd().try_clone_to_owned()?)
            .stderr(io::stderr().as_fd().try_clone_to_owned()?)
            // A Ctrl-C reaches the master alone, which decides.
            .process_group(0);
        // Nobody else reaps it, so its pid is its own until we do.
        let pid = self.start(command, id, slot)?;
        Ok(Child { pid, process: sys::process::open(pid)?, control: ours.into() })
    }
}

impl Launcher {
    fn start(&self, mut command: Command, id: NodeId, slot: Slot) -> io::Result<u32> {
        let Some(output) = &self.output else { return Ok(command.spawn()?.id()) };
        let taken = |_| io::Error::other("nobody takes the output of nodes");
        let place = output.try_reserve().map_err(taken)?;
        let ((stdout, out), (stderr, err)) = (io::pipe()?, io::pipe()?);
        let pid = command.stdout(out).stderr(err).spawn()?.id();
        place.send(Output { id, slot, pid, stdout, stderr });
        Ok(pid)
    }
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) process: OwnedFd,
    pub(crate) control: StdUnixStream,
}

/// Sends a signal that ends the process.
pub(crate) fn signal(process: &OwnedFd, signal: Fatal) -> io::Result<()> {
    match signal {
        Fatal::Abort => sys::process::abort(process.as_fd()),
        Fatal::Kill => sys::process::kill(process.as_fd()),
    }
}

/// Passes on a signal that somebody has ordered.
pub(crate) fn forward(process: &OwnedFd, signal: i32) -> io::Result<()> {
    sys::process::send_numbered(process.as_fd(), signal)
}

/// Waits for the end of a process that nobody watches, and reaps it.
pub(crate) async fn end(process: &OwnedFd) -> io::Result<Exit> {
    #[expect(deprecated, reason = "unsound only for types that lie about their descriptor, which `OwnedFd` does not")]
    let process = AsyncFd::new(process.try_clone()?)?;
    exited(&process).await
}

/// Ends what a program has started in its process group; the process that leads it is in it until it is reaped.
pub(crate) fn end_group(leader: u32) -> io::Result<()> {
    sys::process::kill_group(leader)
}

pub(super) async fn exited(process: &AsyncFd<OwnedFd>) -> io::Result<Exit> {
    loop {
        let mut ready = process.readable().await?;
        match sys::process::reap(process.as_fd()) {
            Ok(Some(exit)) => return Ok(exit),
            Ok(None) => ready.clear_ready(),
            // Somebody in this process waits for all children, and took this one's status.
            Err(error) if sys::process::was_reaped(&error) => return Ok(Exit::Unknown),
            Err(error) => return Err(error),
        }
    }
}
