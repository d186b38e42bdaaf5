//! What the master starts: its nodes, and the program that takes its own place. [`Launch`] does it.

mod alone;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::launch::{Launch, Process};
use super::plan::{SlotArgs, Start};
use crate::control;
use crate::environment::{self, ParentInfo, UpgradeStep};
use crate::error::describe;
use crate::family::{Run, Token};
use crate::held::{Held, hold, locate};
use crate::id::{Generation, NodeId, Slot};
use crate::identity::Identity;
use crate::log_buffer::Source;
use crate::output::{Collect, Output};
use crate::sys::credentials::Credentials;
use crate::{Error, sys};

/// How long the collector of the nodes' output may take to write what was read.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long reading what a node wrote last may take, where that may tell why it has ended.
const LAST_LINES: Duration = Duration::from_millis(100);

/// Starts nodes: the same program, from where it was typed.
#[derive(Debug)]
pub struct Launcher {
    own: OwnCommand,
    /// What marks all that is started.
    run: Run,
    /// What nodes run, where that is not the program of this process.
    program: Option<PathBuf>,
    arg0: OsString,
    args: Vec<OsString>,
    slot_args: Option<SlotArgs>,
    env: Vec<(OsString, OsString)>,
    /// The user and group of nodes, if that is not this process's user.
    identity: Option<Identity>,
    umask: Option<u32>,
    directory: PathBuf,
    /// Who reads what its nodes write.
    output: Option<mpsc::Sender<Collect>>,
    /// What nodes write that were started here: each channel ends when all was read.
    reading: BTreeMap<NodeId, mpsc::Receiver<Infallible>>,
    pub(super) images: BTreeMap<Generation, Image>,
    /// What starts and ends processes.
    pub launch: Arc<dyn Launch>,
}

/// How this process was started.
#[derive(Debug)]
struct OwnCommand {
    /// Absolute, symbolic links not resolved.
    program: PathBuf,
    arg0: OsString,
    args: Vec<OsString>,
}

/// What one generation runs, held so that a half-finished deploy changes nothing about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(super) program: Held,
    /// The master's own program, where that is another and was found.
    pub(super) master: Option<Held>,
    #[serde(with = "control::shared")]
    pub(super) directory: Arc<OwnedFd>,
}

impl Launcher {
    /// `output`: who reads what nodes write.
    pub(crate) fn new(
        settings: Start,
        output: Option<mpsc::Sender<Collect>>,
        run: Run,
        launch: Arc<dyn Launch>,
    ) -> Result<Launcher, Error> {
        let typed = settings.started_as.map(|(program, args)| (program.into_os_string(), args));
        let (typed, own_args) = typed.unwrap_or_else(environment::command_line);
        let directory = environment::working_directory().map_err(Error::io("read the working directory"))?;
        let own = OwnCommand { program: locate(Path::new(&typed), &directory), arg0: typed, args: own_args };
        let arg0 = settings.program.as_ref().map(|path| path.clone().into_os_string());
        Ok(Launcher {
            program: arg0.as_ref().map(|program| locate(Path::new(program), &directory)),
            arg0: arg0.unwrap_or_else(|| own.arg0.clone()),
            args: settings.args.unwrap_or_else(|| own.args.clone()),
            slot_args: settings.slot_args,
            env: settings.env,
            identity: settings.identity,
            umask: settings.umask,
            own,
            run,
            directory,
            output,
            reading: BTreeMap::new(),
            images: BTreeMap::new(),
            launch,
        })
    }

    /// Continues with what another program of this process held.
    pub(crate) fn inherit(&mut self, images: BTreeMap<Generation, Image>) {
        self.images.extend(images);
    }

    /// Looks up program and working directory for a generation, as they are on disk now.
    pub(crate) fn resolve(&mut self, generation: Generation) -> Result<(), Error> {
        if !sys::process::has_paths() {
            return Err(Error::io("start programs by their descriptors")(io::Error::other("/proc is not mounted")));
        }
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
        Ok(Image { program, master, directory: directory.into() })
    }

    /// What would take this process's place, and in which directory.
    fn successor(&self) -> io::Result<(PathBuf, &OwnedFd)> {
        let image = self.images.last_key_value().map(|(_, image)| image);
        let image = image.ok_or_else(|| io::Error::other("no program is held"))?;
        let program = if self.program.is_none() { Some(&image.program) } else { image.master.as_ref() };
        let missing = || io::Error::other(format!("{} was not found", self.own.program.display()));
        Ok((program.ok_or_else(missing)?.path(), &image.directory))
    }

    /// Runs a preflight of the newest generation's program.
    pub(crate) fn preflight(&self, request: OwnedFd) -> io::Result<Process> {
        let (program, directory) = self.successor()?;
        let mut command = Command::new(program);
        command
            .arg0(&self.own.arg0)
            .args(&self.own.args)
            .envs([environment::request(UpgradeStep::Preflight)])
            .env(environment::INSTANCE, self.token(NodeId::MASTER))
            .current_dir(sys::process::held(directory))
            .stdout(io::stdout().as_fd().try_clone_to_owned()?)
            .stderr(io::stderr().as_fd().try_clone_to_owned()?)
            .process_group(0);
        self.launch.start(command, request)
    }

    /// Puts the newest generation's program in this process's place, with the master's signals held back if it acts on
    /// them. Returns only if that has failed, and then nothing has changed.
    pub(crate) fn replace_master(&self, request: OwnedFd, hold_signals: bool) -> io::Result<Infallible> {
        let (program, directory) = self.successor()?;
        self.launch.replace_master(sys::exec::Successor {
            program,
            arguments: std::iter::once(&self.own.arg0).chain(&self.own.args).cloned().collect(),
            environment: environment::with_request(UpgradeStep::Resume).collect(),
            directory: directory.try_clone()?,
            stdin: request,
            hold_signals,
        })
    }

    /// What marks the processes of this node.
    fn token(&self, node: NodeId) -> String {
        Token { run: self.run.clone(), node }.to_string()
    }

    pub(crate) fn instance(&self) -> &Run {
        &self.run
    }

    /// The program that guards the nodes, which is that of their exec shims.
    pub(crate) fn guard(&self) -> GuardProgram {
        let program = self.program.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        GuardProgram { program, args: self.args.clone(), run: self.run.to_string(), launch: self.launch.clone() }
    }

    /// The newest generation that is held.
    pub(crate) fn newest(&self) -> Option<Generation> {
        self.images.last_key_value().map(|(generation, _)| *generation)
    }

    /// Forgets all others.
    pub(crate) fn keep(&mut self, used: impl Fn(Generation) -> bool) {
        self.images.retain(|generation, _| used(*generation));
    }

    /// Starts a node.
    ///
    /// # Errors
    /// Where the generation is not held, or its program cannot be started.
    pub fn spawn(&mut self, id: NodeId, slot: Slot, generation: Generation) -> io::Result<Child> {
        let image =
            self.images.get(&generation).ok_or_else(|| io::Error::other("its generation is not held any more"))?;
        let (ours, theirs) = sys::socket::pair()?;
        let parent_info = ParentInfo { master: std::process::id(), slot, id, left: None };
        let mut command = Command::new(image.program.path());
        command
            .arg0(&self.arg0)
            .args(self.slot_args.as_ref().map(|args| args.of(slot)).unwrap_or_default())
            .args(&self.args)
            .env(environment::PARENT, parent_info.write())
            .env(environment::INSTANCE, self.token(id))
            .env_remove(environment::UPGRADE)
            .current_dir(sys::process::held(&image.directory))
            // A program may have marked its own to be closed on exec, as Node.js does.
            .stdout(io::stdout().as_fd().try_clone_to_owned()?)
            .stderr(io::stderr().as_fd().try_clone_to_owned()?)
            // A Ctrl-C reaches the master alone, which decides.
            .process_group(0);
        self.dress(&mut command, slot);
        let started = self
            .start(command, theirs, (id, (id != NodeId::PRIMARY && id != NodeId::GATEWAY).then_some(slot)))
            .map_err(|error| self.as_whom(error))?;
        Ok(Child { pid: started.pid, process: started.process, control: ours.into() })
    }
}

/// A variable's value for the node that fills this slot.
fn of_slot(value: &OsStr, slot: Slot) -> OsString {
    match value.to_str() {
        Some(text) => text.replace("{slot}", &slot.to_string()).into(),
        None => value.to_owned(),
    }
}

impl Launcher {
    /// Sets the node's user, groups and umask, and its variables.
    fn dress(&self, command: &mut Command, slot: Slot) {
        for name in environment::OF_THIS_START {
            command.env_remove(name);
        }
        for (name, value) in self.identity.iter().flat_map(Identity::variables) {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.envs(self.env.iter().map(|(name, value)| (name, of_slot(value, slot))));
        sys::credentials::begin_with(command, self.credentials(), self.umask);
    }

    fn credentials(&self) -> Option<Credentials> {
        self.identity.as_ref().map(|identity| Credentials::new(identity.uid, identity.gid, &identity.groups))
    }

    /// Names the user that a node could not be started as, who perhaps may not execute its program.
    fn as_whom(&self, error: io::Error) -> io::Error {
        match &self.identity {
            Some(Identity { named: (option, name), .. }) => {
                io::Error::new(error.kind(), format!("as {option} {name}: {}", describe(&error)))
            }
            None => error,
        }
    }

    fn start(
        &mut self,
        mut command: Command,
        stdin: OwnedFd,
        (id, slot): (NodeId, Option<Slot>),
    ) -> io::Result<Process> {
        let Some(output) = &self.output else { return self.launch.start(command, stdin) };
        let taken = |_| io::Error::other("nobody takes the output of nodes");
        let place = output.try_reserve().map_err(taken)?;
        let ((stdout, out), (stderr, err)) = (io::pipe()?, io::pipe()?);
        if let Some(credentials) = self.credentials() {
            credentials.own(&out).and_then(|()| credentials.own(&err))?;
        }
        command.stdout(out).stderr(err);
        let process = self.launch.start(command, stdin)?;
        let (reading, read) = mpsc::channel(1);
        let reading = Some(reading);
        let pid = process.pid;
        let stream = |stream, pipe| Output { id, slot, pid, stream, pipe, begun: Vec::new(), reading: reading.clone() };
        place.send(Collect::Read(vec![stream(Source::Stdout, stdout), stream(Source::Stderr, stderr)]));
        self.reading.insert(id, read);
        Ok(process)
    }

    /// Waits a moment until all was read that a node has written which has ended.
    pub(crate) async fn all_read(&mut self, id: NodeId) {
        if let Some(mut read) = self.reading.remove(&id) {
            // A process that the node has left behind may have its pipes.
            let _ = tokio::time::timeout(LAST_LINES, read.recv()).await;
        }
    }

    /// Nothing more is known of this node.
    pub(crate) fn forget(&mut self, id: NodeId) {
        self.reading.remove(&id);
    }

    /// Has what nodes have written so far written to its end, and gets back the pipes.
    pub(crate) async fn stop_reading(&self) -> io::Result<Vec<Output>> {
        let Some(output) = &self.output else { return Ok(Vec::new()) };
        let (back, given) = oneshot::channel();
        let given = async {
            output.send(Collect::Rest(back)).await.ok()?;
            given.await.ok()
        };
        match tokio::time::timeout(LAST_WORDS, given).await {
            Ok(Some(outputs)) => Ok(outputs),
            Ok(None) => Err(io::Error::other("the collector of the nodes' output has ended without returning it")),
            Err(_) => Err(io::Error::other(format!("what nodes have written was not taken within {LAST_WORDS:?}"))),
        }
    }

    /// Has the outputs read again, perhaps by a new collector.
    pub(crate) fn go_on_reading(&self, outputs: Vec<Output>) {
        if let Some(output) = &self.output
            && !outputs.is_empty()
            && output.try_send(Collect::Read(outputs)).is_err()
        {
            crate::log::error!("nobody reads any more what nodes write");
        }
    }
}

/// How a guard is started.
#[derive(Clone, Debug)]
pub(crate) struct GuardProgram {
    program: PathBuf,
    args: Vec<OsString>,
    run: String,
    pub(super) launch: Arc<dyn Launch>,
}

impl GuardProgram {
    /// Starts its process. Returns that and the pipe that names nodes to it. The pipe ends with this process.
    pub(crate) fn start(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let (theirs, ours) = io::pipe()?;
        let mut guard = Command::new(&self.program);
        guard
            .arg0("multi-node-guard")
            .args(&self.args)
            .env(environment::GUARD, &self.run)
            .env_remove(environment::PARENT)
            .env_remove(environment::UPGRADE)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        Ok((self.launch.start(guard, theirs.into())?.process, ours.into()))
    }
}

/// A process that was started.
#[derive(Debug)]
pub struct Child {
    /// Its process id.
    pub pid: u32,
    /// Becomes readable when it has ended.
    pub process: OwnedFd,
    /// The master's end of its control socket.
    pub control: StdUnixStream,
}
