//! The user and group of nodes: resolves the options `user` and `group`.

use std::ffi::OsString;

use multi_node_sys::Account;

/// The user and the groups as which nodes run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The option that names it, and its value, for messages.
    pub named: (&'static str, String),
    /// `None`: the master's user.
    pub uid: Option<u32>,
    pub gid: u32,
    /// All groups but that one.
    pub groups: Vec<u32>,
    /// `None`: a number without an account.
    pub account: Option<Account>,
}

impl Identity {
    /// What is changed in the environment; `None` removes a variable.
    pub fn variables(&self) -> Vec<(&'static str, Option<OsString>)> {
        match (&self.account, self.uid) {
            (_, None) => Vec::new(),
            (Some(account), _) => {
                let name = || Some(OsString::from(&account.name));
                vec![("HOME", Some(account.home.clone().into())), ("USER", name()), ("LOGNAME", name())]
            }
            (None, _) => vec![("HOME", Some("/".into())), ("USER", None), ("LOGNAME", None)],
        }
    }
}
