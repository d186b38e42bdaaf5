//! What marks the processes of a node: a variable that they inherit. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;

/// A process, distinguished from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start: u64,
}

/// What stands in front of addresses, where there is no name.
const NAMELESS: &str = "@";

/// One run of an instance, from the start of its master to the master's end. An upgrade does not end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The instance's name, or for one without a name its addresses.
    instance: String,
    /// The master's user.
    user: u32,
    pub master: ProcessId,
}

impl Run {
    pub fn new(name: Option<&str>, addresses: &[Vec<String>], user: u32, master: ProcessId) -> Run {
        let listed = || format!("{NAMELESS}{}", addresses.concat().join(","));
        Run { instance: name.map_or_else(listed, str::to_owned), user, master }
    }

    /// Whether it is this run, whatever an upgrade may have called it since.
    pub fn is_same(&self, other: &Run) -> bool {
        (self.user, self.master) == (other.user, other.master)
    }

    /// Whether the other is an earlier or later run of the same instance. Without name and addresses an instance is not known.
    pub fn is_sibling(&self, other: &Run) -> bool {
        let same = (&self.instance, self.user) == (&other.instance, other.user);
        same && self.instance != NAMELESS && self.master != other.master
    }

    /// The master's user.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// What tells the instance from others, over its runs. Without a name and without an address of its own there is nothing.
    pub fn lasting_instance(&self) -> Option<&str> {
        let addresses = self.instance.strip_prefix(NAMELESS).map(|listed| listed.split(','));
        let is_lasting =
            addresses.is_none_or(|mut all| all.any(|address| !address.is_empty() && !address.ends_with(":0")));
        is_lasting.then_some(&self.instance)
    }

    pub fn parse(text: &str) -> Option<Run> {
        // An address has colons too.
        let mut parts = text.rsplitn(4, ':');
        let start = parts.next()?.parse().ok()?;
        let pid = parts.next()?.parse().ok()?;
        let user = parts.next()?.parse().ok()?;
        Some(Run { instance: parts.next()?.to_owned(), user, master: ProcessId { pid, start } })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { instance, user, master: ProcessId { pid, start } } = self;
        write!(f, "{instance}:{user}:{pid}:{start}")
    }
}

/// A node of a run. The preflight of an upgrade has the identity of the master that it may replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub run: Run,
    pub node: NodeId,
}

impl Token {
    pub fn parse(text: &str) -> Option<Token> {
        let (run, node) = text.rsplit_once(':')?;
        Some(Token { run: Run::parse(run)?, node: node.parse().ok()? })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.run, self.node)
    }
}

/// The value of a variable among those that a process was started with.
pub(super) fn value<'a>(variables: &'a [u8], name: &str) -> Option<&'a str> {
    let value = |variable: &'a [u8]| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    std::str::from_utf8(variables.split(|byte| *byte == 0).find_map(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: Option<&str>) -> Run {
        let addresses = [vec!["[::1]:80".to_owned(), "unix:/run/a.sock".to_owned()]];
        Run::new(name, &addresses, 1000, ProcessId { pid: 4711, start: 99 })
    }

    #[test]
    fn a_token_reads_back_what_it_writes() {
        for name in [Some("web-1.a_b"), None] {
            let token = Token { run: run(name), node: NodeId::node(7) };
            assert_eq!(Token::parse(&token.to_string()), Some(token.clone()));
            assert_eq!(Run::parse(&token.run.to_string()), Some(token.run));
        }
        assert_eq!(run(Some("web")).to_string(), "web:1000:4711:99");
        for text in ["", "web", "1:2:3", "web:0:1:2", "web:0:1:2:node-0", "web:x:1:2:node-1", "web:0:-1:2:node-1"] {
            assert_eq!(Token::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn runs_of_one_instance_are_told_from_those_of_others() {
        let one = run(Some("web"));
        let later = Run { master: ProcessId { pid: 4711, start: 100 }, ..one.clone() };
        assert!(one.is_sibling(&later) && !one.is_sibling(&one));
        assert!(!one.is_sibling(&Run { user: 0, ..later.clone() }), "another user's instance of that name");
        assert!(!one.is_sibling(&Run { instance: "web2".to_owned(), ..later.clone() }));
        let upgraded = Run { instance: "web2".to_owned(), ..one.clone() };
        assert!(upgraded.is_same(&one) && !later.is_same(&one));
        let nameless = |master| Run::new(None, &[], 0, master);
        assert!(!nameless(one.master).is_sibling(&nameless(later.master)), "they may be anybody's");
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let variables = b"AB=2\0A=1\0XA=3\0A=4\0\xff=\xff\0C=\xff";
        assert_eq!(value(variables, "A"), Some("1"));
        assert_eq!(value(variables, "B"), None);
        assert_eq!(value(variables, "C"), None, "what is no text is no token");
        assert_eq!(value(b"", "A"), None);
    }
}
