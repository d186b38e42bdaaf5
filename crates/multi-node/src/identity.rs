//! Resolves the user and group of nodes, before anything is bound.

use std::io;

use multi_node_sys::Account;

use crate::Error;
use crate::error::describe;

use crate::options::{Identity, Launch, Settings};
use crate::sys::accounts;

impl Settings {
    /// Looks up the user and the group of nodes.
    ///
    /// # Errors
    /// [`Error::Option`] if they do not exist, or if this process may not start nodes as them.
    pub(crate) fn identify(&mut self) -> Result<(), Error> {
        self.launch.identity = find(&self.launch)?;
        Ok(())
    }
}

fn find(launch: &Launch) -> Result<Option<Identity>, Error> {
    let Some((option, name)) = launch.runs_as() else { return Ok(None) };
    let account = launch.user.as_deref().map(|user| look_up("user", user, accounts::account)).transpose()?.flatten();
    let uid = launch.user.as_deref().map(|user| uid(user, account.as_ref())).transpose()?;
    let group = launch.group.as_deref().map(gid).transpose()?;
    let gid = group
        .or(account.as_ref().map(|account| account.gid))
        .ok_or_else(|| refused(option, name, "no account has this number, so it needs a group too: set `group`"))?;
    let groups = account.as_ref().map_or(Ok(Vec::new()), accounts::groups);
    let groups = groups.map_err(|error| refused(option, name, &unreadable(&error)))?;
    let identity = Identity { named: (option, name.to_owned()), uid, gid, groups, account };
    allowed(identity)
}

fn uid(user: &str, account: Option<&Account>) -> Result<u32, Error> {
    let uid = account.map(|account| account.uid).or_else(|| accounts::number(user));
    uid.ok_or_else(|| refused("user", user, "there is no such user (`getent passwd` lists those there are)"))
}

fn gid(group: &str) -> Result<u32, Error> {
    let missing = || refused("group", group, "there is no such group (`getent group` lists those there are)");
    look_up("group", group, accounts::group)?.ok_or_else(missing)
}

fn look_up<T>(
    option: &'static str,
    name: &str,
    by: impl Fn(&str) -> io::Result<Option<T>>,
) -> Result<Option<T>, Error> {
    by(name).map_err(|error| refused(option, name, &unreadable(&error)))
}

/// `None`: this process runs as that user and group already, whatever else it may.
fn allowed(identity: Identity) -> Result<Option<Identity>, Error> {
    if accounts::may_change() {
        return Ok(Some(identity));
    }
    if accounts::acts_as(identity.uid, identity.gid) {
        return Ok(None);
    }
    let (option, name) = &identity.named;
    Err(refused(option, name, "only root, or CAP_SETUID with CAP_SETGID, starts nodes as somebody else"))
}

fn unreadable(error: &io::Error) -> String {
    format!("the system's accounts cannot be read: {}", describe(error))
}

fn refused(option: &'static str, value: &str, why: &str) -> Error {
    Error::Option { option, value: value.to_owned(), allowed: why.to_owned() }
}
