//! What is known of a program that does not link this crate.

use std::ffi::OsString;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Output;

/// A server program, how its listening sockets reach it, and how it is told to end.
///
/// In arguments and values of variables these are replaced: `{fd}` (the number of the first listening socket), `{port}` (of the
/// first address), `{slot}`, `{id}`, and `{node_port}`, a free port of 127.0.0.1 that each node has for itself.
#[derive(Clone, Debug)]
#[must_use = "a description does nothing until `run` is given it"]
pub struct Program {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) sockets: Sockets,
    pub(crate) socket_names: Vec<String>,
    pub(crate) stop_signal: i32,
    pub(crate) ready_after: Duration,
    pub(crate) output: Option<mpsc::Sender<Output>>,
}

/// Which conventions tell the program of its sockets, which have the numbers from 3 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sockets {
    /// Those of systemd and of Server::Starter.
    #[default]
    All,
    /// `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`, as sd_listen_fds(3) has them.
    Systemd,
    /// `SERVER_STARTER_PORT`, which Perl and some Ruby and C servers read.
    ServerStarter,
    /// None: only templates tell the numbers.
    Bare,
}

impl Program {
    /// The program at this path, or of this name in `PATH`.
    pub fn new(program: impl Into<OsString>) -> Program {
        Program {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            sockets: Sockets::default(),
            socket_names: Vec::new(),
            stop_signal: 15,
            ready_after: Duration::from_secs(2),
            output: None,
        }
    }

    /// Its arguments.
    pub fn args<I>(mut self, args: I) -> Program
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of its environment, beside those of this process. May be called several times.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Program {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Which conventions tell it of its sockets. Default: all.
    pub fn sockets(mut self, sockets: Sockets) -> Program {
        self.sockets = sockets;
        self
    }

    /// What `LISTEN_FDNAMES` calls the sockets, in the order of the addresses. Default: the variable is not set, which
    /// programs read as `unknown`.
    pub fn socket_names<I>(mut self, names: I) -> Program
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.socket_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The number of the signal that tells it to finish and end. Default 15, SIGTERM. It is killed where it has not ended
    /// within [`Options::drain_timeout`](crate::Options::drain_timeout).
    pub fn stop_signal(mut self, number: i32) -> Program {
        self.stop_signal = number;
        self
    }

    /// A node that says nothing about itself counts as ready once it has lived for so long. Default 2 s.
    pub fn ready_after(mut self, time: Duration) -> Program {
        self.ready_after = time;
        self
    }

    /// Sends what each node writes to its standard output and error here, as the ends of two pipes, instead of letting
    /// nodes inherit those of this process. Whoever receives must read: a node that finds a pipe full waits.
    pub fn output(mut self, to: mpsc::Sender<Output>) -> Program {
        self.output = Some(to);
        self
    }
}
