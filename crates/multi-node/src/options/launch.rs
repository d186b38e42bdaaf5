//! How nodes are started: the program, its arguments, its environment.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::Identity;
use super::Options;
use super::settings::refused;
use crate::Error;
use crate::id::Slot;

/// How nodes are started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    pub(crate) program: Option<PathBuf>,
    pub(crate) args: Option<Vec<OsString>>,
    pub(crate) slot_args: Option<SlotArgs>,
    /// Program and arguments of the master's own start, where those of this process do not tell.
    pub(crate) started_as: Option<(PathBuf, Vec<OsString>)>,
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Names or numbers, as they were given.
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) umask: Option<u32>,
    /// What the names stand for, once the master has looked them up.
    pub(crate) identity: Option<Identity>,
    /// The program of the gateway to other machines and its arguments; `None`: those of nodes.
    pub(crate) gateway: Option<(PathBuf, Vec<OsString>)>,
}

impl Options {
    /// The program to start for the nodes. Default: this program, as it was typed (found in `PATH`, made absolute,
    /// symbolic links not resolved), so that a reload runs what that path names by then.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Options {
        self.launch.program = Some(path.into());
        self
    }

    /// The arguments of the nodes' start, without the program's name. Default: those of this process.
    pub fn args<I>(mut self, args: I) -> Options
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.launch.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// The first arguments of a node's start, by the slot that it fills: they go before [`args`](Options::args). Default: none.
    /// For what no two nodes may share, such as the port of a debugger.
    pub fn slot_args<I>(mut self, args: impl Fn(Slot) -> I + Send + Sync + 'static) -> Options
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.launch.slot_args = Some(SlotArgs::new(move |slot| args(slot).into_iter().map(Into::into).collect()));
        self
    }

    /// The program that takes this process's place in an [`upgrade`](crate::Handle::upgrade), and its arguments, without the program's
    /// name. Default: as this process was started. For runtimes that write over the memory of their own arguments.
    pub fn started_as<I>(mut self, program: impl Into<PathBuf>, args: I) -> Options
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.launch.started_as = Some((program.into(), args.into_iter().map(Into::into).collect()));
        self
    }

    /// A variable for the nodes' environment, beside those of this process. In its value `{slot}` stands for the node's slot. May be
    /// called several times.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Options {
        self.launch.env.push((name.into(), value.into()));
        self
    }

    /// The user that nodes run as, by name or number. Default: this process's user. The master keeps its own user, so it can
    /// bind port 80 as root while no node has any privilege.
    ///
    /// A node has this user's groups and no others, and no capabilities. The master changes them before the node's program
    /// begins, and starts no node if any of this fails. It needs root, or `CAP_SETUID` and `CAP_SETGID`. `HOME`, `USER` and
    /// `LOGNAME` become the user's, unless [`env`](Options::env) sets them. A number without an account needs a
    /// [`group`](Options::group) too; its `HOME` is `/`. Setuid programs still work in nodes. To prevent that, start the
    /// master with `no_new_privs` (systemd: `NoNewPrivileges=yes`).
    ///
    /// The program's file must be executable for the user. Code before [`listen`](crate::listen()) runs in the master
    /// too, with the master's privileges. Not together with [`master_listen`](Options::master_listen) or without nodes,
    /// since the master would serve with its privileges. Linux only.
    pub fn user(mut self, user: impl Into<String>) -> Options {
        self.launch.user = Some(user.into());
        self
    }

    /// The group as which nodes run, by name or number. Default: that of [`user`](Options::user). Without a user it is the
    /// node's only group.
    pub fn group(mut self, group: impl Into<String>) -> Options {
        self.launch.group = Some(group.into());
        self
    }

    /// Permission bits that files made by nodes do not get (umask(2)), such as `0o027`. Default: those of this process.
    pub fn umask(mut self, mask: u32) -> Options {
        self.launch.umask = Some(mask);
        self
    }
}

impl Launch {
    /// The option that sets another user for nodes, and its value.
    pub(crate) fn runs_as(&self) -> Option<(&'static str, &str)> {
        let user = self.user.as_deref().map(|user| ("user", user));
        user.or_else(|| self.group.as_deref().map(|group| ("group", group)))
    }

    pub(super) fn check(self, master_serves: bool) -> Result<Launch, Error> {
        if self.program.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(refused("program", "", "expected a path, or a name to find in PATH"));
        }
        if let Some((name, _)) = self.env.iter().find(|(name, _)| !is_variable_name(name)) {
            return Err(refused("env", name.to_string_lossy(), "expected a variable's name, without `=`"));
        }
        if let Some((option, name)) = self.runs_as() {
            let allowed = match (master_serves, cfg!(multi_process)) {
                _ if name.is_empty() => Err("expected a name or a number"),
                (true, _) => Err("the master would serve with its own privileges: leave out `master_listen`"),
                (_, false) => Err("it needs Linux"),
                _ => Ok(()),
            };
            allowed.map_err(|why| refused(option, name, why))?;
        }
        if let Some(mask) = self.umask.filter(|mask| *mask > 0o777) {
            return Err(refused("umask", format!("{mask:#o}"), "allowed are 0 to 0o777"));
        }
        Ok(self)
    }
}

fn is_variable_name(name: &OsString) -> bool {
    let name = name.as_encoded_bytes();
    !name.is_empty() && !name.contains(&b'=') && !name.contains(&0)
}

/// Arguments that depend on the slot.
#[derive(Clone)]
pub(crate) struct SlotArgs(Arc<dyn Fn(Slot) -> Vec<OsString> + Send + Sync>);

impl SlotArgs {
    fn new(args: impl Fn(Slot) -> Vec<OsString> + Send + Sync + 'static) -> SlotArgs {
        SlotArgs(Arc::new(args))
    }

    pub(crate) fn of(&self, slot: Slot) -> Vec<OsString> {
        (self.0)(slot)
    }
}

impl fmt::Debug for SlotArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotArgs").finish_non_exhaustive()
    }
}
