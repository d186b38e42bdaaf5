//! The credentials of a process that is about to begin its program (credentials(7), capabilities(7)).

// std's `Command` sets users and groups, but neither a user's further groups (`groups` is unstable) nor a umask, and it takes
// no capability from a process that keeps them. What it does not offer runs between fork and exec, by `pre_exec`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{Gid, Mode, Uid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// A user and groups.
#[derive(Clone, Debug)]
pub struct Credentials {
    uid: Option<Uid>,
    gid: Gid,
    /// The main one among them.
    groups: Vec<Gid>,
}

impl Credentials {
    /// `uid` `None`: the user stays the same.
    pub fn new(uid: Option<u32>, gid: u32, others: &[u32]) -> Credentials {
        let groups = others.iter().filter(|other| **other != gid).chain([&gid]);
        Credentials {
            uid: uid.map(Uid::from_raw),
            gid: Gid::from_raw(gid),
            groups: groups.map(|group| Gid::from_raw(*group)).collect(),
        }
    }

    /// Makes this file theirs, so that they may open it again by its name in /proc, as `/dev/stderr` is opened.
    pub fn own(&self, file: impl AsFd) -> io::Result<()> {
        Ok(rustix::fs::fchown(file, self.uid, Some(self.gid))?)
    }

    /// Sets the groups first, while that is still allowed, then the user, and drops all capabilities. The kernel drops root's
    /// capabilities on the change of user, but not those that a process without root was given.
    fn assume(&self) -> io::Result<()> {
        thread::set_thread_groups(&self.groups)?;
        thread::set_thread_res_gid(self.gid, self.gid, self.gid)?;
        let Some(uid) = self.uid else { return Ok(()) };
        thread::set_thread_res_uid(uid, uid, uid)?;
        if uid.is_root() {
            return Ok(());
        }
        thread::clear_ambient_capability_set()?;
        let none = CapabilitySet::empty();
        Ok(thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
    }
}

/// Has the process that the command starts take these on before its program begins; it does not begin if that fails.
pub fn begin_with(command: &mut Command, credentials: Option<Credentials>, umask: Option<u32>) {
    if credentials.is_none() && umask.is_none() {
        return;
    }
    let prepare = move || {
        if let Some(mask) = umask {
            rustix::process::umask(Mode::from_raw_mode(mask));
        }
        credentials.as_ref().map_or(Ok(()), Credentials::assume)
    };
    // SAFETY: between fork and exec of a program with threads only what is async-signal-safe may run (signal-safety(7)).
    // `prepare` makes system calls and nothing else: rustix issues them itself, without libc. It allocates nothing, takes no
    // lock, and an error that it returns holds a number.
    unsafe { command.pre_exec(prepare) };
}
