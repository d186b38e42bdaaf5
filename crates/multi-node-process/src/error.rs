//! Every way in which `listen` and what follows it can fail.

use std::{fmt, io};

/// Why `listen` failed, or how its service ended.
///
/// Each message says what failed, why, and what can be done about it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that is not allowed.
    #[error("option `{option}`: {value:?} is not allowed; {allowed}")]
    Option {
        /// The option's name, as the method of `Options` or the environment variable is called.
        option: &'static str,
        /// The value it was given.
        value: String,
        /// What would be allowed.
        allowed: String,
    },
    /// An address could not be bound.
    #[error("cannot listen on {address}: {}; {remedy}", describe(source))]
    Bind {
        /// The address, as it was given.
        address: String,
        /// What the system said.
        source: io::Error,
        /// What can be done about it.
        remedy: String,
    },
    /// Another program runs under the name that `Options::control` asks for.
    #[error(
        "another program runs under the name {name:?}{}; stop it (`multi-node stop --name {name}`) or choose another name",
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The other program's master, if the system knows it.
        pid: Option<u32>,
    },
    /// The control socket could not be opened.
    #[error("cannot open the control socket {path}: {}; {remedy}", describe(source))]
    ControlSocket {
        /// Where it was to be.
        path: String,
        /// What the system said.
        source: io::Error,
        /// What can be done about it.
        remedy: String,
    },
    /// `listen` was called before in this process.
    #[error(
        "`listen` was called before in this process; one call serves several addresses: `http(a).and(\"127.0.0.1:9090\", http(b))`"
    )]
    SecondListen,
    /// `listen` was called under a test runner, and would have started the test program again for each node.
    #[error(
        "`listen` was called in a test program, which every node would start again; use `Options::nodes(0)` or `MULTI_NODE=off` to serve in this process"
    )]
    InTest,
    /// `listen` was called outside a tokio runtime.
    #[error("`listen` needs a tokio runtime with I/O and time enabled, such as `#[tokio::main]` makes")]
    NoRuntime,
    /// The master of this node is gone; the node must not continue alone.
    #[error("the master of this node is gone, so the node ends")]
    MasterGone,
    /// This program was to take the place of a running one, and cannot.
    #[error("cannot go on in the place of the running program: {cause}")]
    Resume {
        /// What was wrong.
        cause: String,
    },
    /// The program to be started for the nodes could not be found.
    #[error("cannot start nodes: {program}: {}; set `Options::program` if the program is elsewhere", describe(source))]
    Program {
        /// The program, as it was given or typed.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The limit of open files (`RLIMIT_NOFILE`) has no room for what the processes of the program need of it.
    #[error(
        "the limit of open files is {limit}, and {process} needs {needed}: {sum}; raise it (`ulimit -n {needed}`, systemd: `LimitNOFILE={needed}`) or set fewer `nodes`"
    )]
    OpenFiles {
        /// Which process needs the most: the master, or each node.
        process: &'static str,
        /// How many descriptors it needs.
        needed: u64,
        /// How many it may have.
        limit: u64,
        /// What needs how many.
        sum: String,
    },
    /// A server's certificate cannot be used.
    #[error("{cause}")]
    Certificate {
        /// The file that has to be looked at.
        file: String,
        /// What is wrong with it, and what can be done about it.
        cause: String,
    },
    /// A server's factory, or a server itself, failed to start.
    #[error("the server failed to start: {cause}")]
    Start {
        /// The chain of causes, outermost first.
        cause: String,
    },
    /// A node and its master did not understand each other.
    #[error("the control channel failed: {cause}")]
    Control {
        /// What was wrong.
        cause: String,
    },
    /// No slot had a node left, and none will be started.
    #[error("no node is left: {cause}")]
    NoNodes {
        /// What became of the last ones.
        cause: String,
    },
    /// The system refused something else.
    #[error("cannot {action}: {}", describe(source))]
    Io {
        /// What was to be done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The system's words without Rust's "(os error N)", in lower case as the rest of the sentence; names in capitals stay.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// As [`Display`](fmt::Display): a program that returns the error from `main` shows its `Debug` form, and people should
/// read a sentence.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// Where the system has refused this.
    #[doc(hidden)]
    pub fn io(action: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, source }
    }

    /// Whether another process has an address of this program.
    #[cfg(multi_process)]
    #[doc(hidden)]
    pub fn is_address_in_use(&self) -> bool {
        matches!(self, Error::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_continues_the_sentence_and_names_stay() {
        let described = |text: &str| describe(&io::Error::other(text.to_owned()));
        assert_eq!(described("Permission denied (os error 13)"), "permission denied");
        assert_eq!(described("LISTEN_FDS has it"), "LISTEN_FDS has it");
        assert_eq!(described(""), "");
    }
}
