//! Everything that is read from the process's environment, and nothing else reads it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Error, NodeId, Slot};

/// `off` asks for the single-process mode.
const MODE: &str = "MULTI_NODE";

/// Names a node's master and slot: `pid:slot:id`. If an exec shim has become the program, the number of the control socket
/// and the program's own pid follow: `pid:slot:id:number:pid`. Useless without the control socket.
pub const PARENT: &str = "MULTI_NODE_PARENT";

/// Marks all processes of a node: `instance:user:pid:start:id`, of the master the number and the start. They and what they
/// start are ended when the node has.
pub const INSTANCE: &str = "MULTI_NODE_INSTANCE";

/// Names the run that a guard guards: `instance:user:pid:start`. Useless without the pipe.
pub const GUARD: &str = "MULTI_NODE_GUARD";

/// Names the process to the preload of Node.js nodes. If the environment of the command sets it to `off`, nodes get none.
#[cfg(multi_process)]
pub const PRELOAD: &str = "MULTI_NODE_PRELOAD";

/// Names the process to the shim of a primary process.
#[cfg(multi_process)]
pub const PRIMARY: &str = "MULTI_NODE_PRIMARY";

/// Options of Node.js.
#[cfg(multi_process)]
pub const NODE_OPTIONS: &str = "NODE_OPTIONS";

/// Whether the preload of Node.js nodes is turned off.
#[cfg(multi_process)]
pub fn preload_is_off() -> bool {
    env::var_os(PRELOAD).is_some_and(|value| value == "off")
}

/// The options that Node.js nodes inherit.
#[cfg(multi_process)]
pub fn node_options() -> OsString {
    env::var_os(NODE_OPTIONS).unwrap_or_default()
}

/// The value of a variable by which users set options.
pub fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// This process's program, as it was typed.
pub fn program() -> Option<PathBuf> {
    env::args_os().next().map(PathBuf::from)
}

/// What marks this process as one of a node, or of what a node has started.
#[cfg(multi_process)]
pub fn instance() -> Option<String> {
    env::var(INSTANCE).ok()
}

/// What a guard is called by.
#[cfg(multi_process)]
pub fn guarded() -> Option<String> {
    env::var(GUARD).ok()
}

/// What a master wrote into the environment of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentInfo {
    pub master: u32,
    pub slot: Slot,
    pub id: NodeId,
    /// Where the control socket is, if not on fd 0.
    pub left: Option<Left>,
}

/// A control socket that an exec shim has left open for the program that it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub number: u32,
    /// The one process that it is for: what this starts has the number too, and is no node.
    pub pid: u32,
}

impl ParentInfo {
    pub fn write(self) -> String {
        let ParentInfo { master, slot, id, left } = self;
        let left = left.map(|Left { number, pid }| format!(":{number}:{pid}"));
        format!("{master}:{slot}:{id}{}", left.unwrap_or_default())
    }

    fn parse(text: &str) -> Option<ParentInfo> {
        let mut parts = text.split(':');
        let master = parts.next()?.parse().ok()?;
        let slot = Slot(parts.next()?.parse().ok()?);
        let id = parts.next()?.parse().ok()?;
        let left = match parts.next() {
            Some(number) => Some(Left { number: number.parse().ok()?, pid: parts.next()?.parse().ok()? }),
            None => None,
        };
        parts.next().is_none().then_some(ParentInfo { master, slot, id, left })
    }
}

/// The parent that the environment names, which may be that of an ancestor.
pub fn parent_info() -> Option<ParentInfo> {
    ParentInfo::parse(&env::var(PARENT).ok()?)
}

/// Asks a program to continue from a master: `pid:preflight` or `pid:resume`. Useless without the socket that carries the
/// master's state.
pub const UPGRADE: &str = "MULTI_NODE_UPGRADE";

/// What a master calls its successor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeStep {
    /// To report whether it could resume.
    Preflight,
    /// To resume.
    Resume,
}

impl UpgradeStep {
    fn as_str(self) -> &'static str {
        match self {
            UpgradeStep::Preflight => "preflight",
            UpgradeStep::Resume => "resume",
        }
    }
}

/// The variable by which this process calls another program.
pub fn request(calling: UpgradeStep) -> (OsString, OsString) {
    (UPGRADE.into(), format!("{}:{}", std::process::id(), calling.as_str()).into())
}

/// This process's environment, and the call.
pub fn with_request(calling: UpgradeStep) -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| name != UPGRADE).chain([request(calling)])
}

/// Who has requested an upgrade step of this process, and which, if the environment names it. It may be an old request, or an
/// ancestor's.
pub fn requested() -> Option<(u32, UpgradeStep)> {
    let text = env::var(UPGRADE).ok()?;
    let (pid, calling) = text.split_once(':')?;
    let callings = [UpgradeStep::Preflight, UpgradeStep::Resume];
    let calling = callings.into_iter().find(|known| known.as_str() == calling)?;
    Some((pid.parse().ok()?, calling))
}

/// Variables that speak of this process's own start, and would deceive another.
pub const OF_THIS_START: [&str; 11] = [
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "SERVER_STARTER_PORT",
    "SERVER_STARTER_GENERATION",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// Whether systemd has opened sockets for this process (sd_listen_fds(3)).
pub fn sockets_given() -> bool {
    env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id())) && env::var_os("LISTEN_FDS").is_some()
}

/// Whether the single-process mode was asked for.
pub fn off() -> Result<bool, Error> {
    match env::var_os(MODE) {
        None => Ok(false),
        Some(value) if value == "on" || value.is_empty() => Ok(false),
        Some(value) if value == "off" => Ok(true),
        Some(value) => Err(Error::Option {
            option: MODE,
            value: value.to_string_lossy().into_owned(),
            allowed: "expected `off` for single-process mode, or nothing".to_owned(),
        }),
    }
}

/// Whether this is a test program that cargo built and runs.
pub fn in_test() -> bool {
    let built_as_test = |exe: PathBuf| exe.parent().and_then(Path::file_name).is_some_and(|name| name == "deps");
    env::var_os("CARGO_MANIFEST_DIR").is_some() && env::current_exe().is_ok_and(built_as_test)
}

/// The program's name as it was typed, and its arguments.
pub fn command_line() -> (OsString, Vec<OsString>) {
    let mut args = env::args_os();
    (args.next().unwrap_or_default(), args.collect())
}

/// The folders in which programs are looked for.
pub fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The folder that the user's session has for sockets (`XDG_RUNTIME_DIR`), where it is absolute.
pub fn session_directory() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The directory that systemd keeps for the service over restarts, the first where it gives several (systemd.exec(5)).
pub fn state_directory() -> Option<PathBuf> {
    let directories = env::var_os("STATE_DIRECTORY")?;
    let first = directories.as_encoded_bytes().split(|byte| *byte == b':').next()?;
    let first = PathBuf::from(String::from_utf8_lossy(first).into_owned());
    first.is_absolute().then_some(first)
}

/// The working directory as it was typed: `PWD` where it names the directory that we are in.
#[cfg(unix)]
pub fn working_directory() -> std::io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let real = env::current_dir()?;
    let typed = env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let same = |a: &Path, b: &Path| {
        let (a, b) = (a.metadata()?, b.metadata()?);
        std::io::Result::Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    Ok(typed.filter(|typed| same(typed, &real).unwrap_or(false)).unwrap_or(real))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_info_reads_back_what_it_writes() {
        for left in [None, Some(Left { number: 4, pid: 4712 })] {
            let parent_info = ParentInfo { master: 4711, slot: Slot(3), id: NodeId::node(12), left };
            assert_eq!(ParentInfo::parse(&parent_info.write()), Some(parent_info));
        }
        for text in ["", "1", "1:2", "1:2:node-3:4", "1:2:node-3:4:5:6", "x:2:node-3", "1:70000:node-3", "1:2:3"] {
            assert_eq!(ParentInfo::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_is_a_test() {
        assert!(in_test());
    }
}
