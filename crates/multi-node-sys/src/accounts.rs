//! The users and groups of this machine (getpwnam(3)), and this process's own.

use std::ffi::CString;
use std::io;

use nix::unistd::{self, Gid, Group, Uid, User};
use rustix::thread::{CapabilitySet, capabilities};

use crate::Account;

/// The account of this name, or of this number.
pub fn account(named: &str) -> io::Result<Option<Account>> {
    let found = match number(named) {
        Some(number) => User::from_uid(Uid::from_raw(number))?,
        None => User::from_name(named)?,
    };
    Ok(found.map(|user| Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), home: user.dir }))
}

/// The number of the group of this name, or of this number, which needs no name.
pub fn group(named: &str) -> io::Result<Option<u32>> {
    match number(named) {
        Some(number) => Ok(Some(number)),
        None => Ok(Group::from_name(named)?.map(|group| group.gid.as_raw())),
    }
}

/// A user's or a group's number. The highest one stands for none (setresuid(2)).
pub fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

/// The groups that the account is in.
pub fn groups(account: &Account) -> io::Result<Vec<u32>> {
    let name = CString::new(account.name.as_str())?;
    let groups = unistd::getgrouplist(&name, Gid::from_raw(account.gid))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// Whether this process acts as this user and this group already.
pub fn acts_as(uid: Option<u32>, gid: u32) -> bool {
    let gid = Gid::from_raw(gid);
    let is_user = |uid| [unistd::getuid(), unistd::geteuid()] == [uid; 2];
    uid.map(Uid::from_raw).is_none_or(is_user) && [unistd::getgid(), unistd::getegid()] == [gid; 2]
}

/// Whether this process may start others as another user and group (capabilities(7)).
pub fn may_change() -> bool {
    capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::SETUID | CapabilitySet::SETGID))
}
