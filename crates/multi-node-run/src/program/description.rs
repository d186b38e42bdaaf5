//! What is known of a program that does not link this crate.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::NotApplied;
use crate::serve::Affinity;
use crate::supervisor::Collect;

/// A server program, how it gets its listening sockets, and how it is asked to end.
///
/// In arguments and values of variables these are replaced: `{fd}` (the number of the first listening socket), `{port}` (of
/// the first address), `{slot}`, `{id}`, and `{node_port}`, a free port of 127.0.0.1 for each node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[must_use = "a description does nothing until `run` is given it"]
pub struct Program {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) sockets: Sockets,
    pub(crate) socket_names: Vec<String>,
    pub(crate) defer_accept: bool,
    pub(crate) stop_signal: i32,
    pub(crate) readiness: Readiness,
    pub(crate) ready_after: Duration,
    pub(crate) ready_fd: Option<u32>,
    pub(crate) watchdog: Option<Duration>,
    pub(crate) node_js: Option<bool>,
    #[serde(default = "yes")]
    pub(crate) preload: bool,
    /// Of the first description; the next master has its own.
    #[serde(skip)]
    pub(crate) affinity: Option<Affinity>,
    /// The user's own code for the primary of a Node.js program.
    #[serde(default)]
    pub(crate) primary: Option<OsString>,
    /// What has changed beside it, and a reload does not apply.
    #[serde(default)]
    pub(crate) not_applied: Vec<NotApplied>,
    #[serde(skip)]
    pub(crate) output: Option<mpsc::Sender<Collect>>,
    #[serde(skip)]
    pub(crate) renewal: Option<Renewal>,
}

/// Returns the program to run from a reload on.
#[derive(Clone)]
pub(crate) struct Renewal(pub(crate) Arc<dyn Fn() -> Result<Program, String> + Send + Sync>);

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal")
    }
}

fn yes() -> bool {
    true
}

/// Which conventions tell the program of its sockets, which have the numbers from 3 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sockets {
    /// Those of systemd and of Server::Starter, and this crate's own: a program that links it is a node as any other.
    #[default]
    All,
    /// `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`, as sd_listen_fds(3) has them.
    Systemd,
    /// `SERVER_STARTER_PORT`, which Perl and some Ruby and C servers read.
    ServerStarter,
    /// None: only templates tell the numbers.
    Bare,
}

/// How the master knows that a node serves. A program that links this crate always reports that itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Readiness {
    /// A program that is given a socket is ready once one of its processes waits for connections on it. Before that its own
    /// messages do not count. A Node.js program ([`Program::node_js`]) is ready once one of its servers listens, or it has
    /// sent `ready`. Any other program is ready once it has reported so, as in [`Notification`](Readiness::Notification), or
    /// has run for [`Program::ready_after`].
    ///
    /// The master ends a node early, before its start times out, if the node's arguments make it listen elsewhere, or if the
    /// master may not inspect it.
    #[default]
    Auto,
    /// By its message alone: `READY=1` on the socket that `NOTIFY_SOCKET` names (sd_notify(3)), a newline on the descriptor
    /// of [`Program::ready_fd`], or `process.send("ready")` of a Node.js program.
    Notification,
    /// By a GET of this path on the node's own port, `{node_port}`, that is answered with a status below 400.
    Http(String),
    /// By its age alone: once it has lived for [`Program::ready_after`].
    Age,
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
            defer_accept: false,
            stop_signal: 15,
            readiness: Readiness::default(),
            ready_after: Duration::from_secs(2),
            ready_fd: None,
            watchdog: None,
            node_js: None,
            preload: true,
            affinity: None,
            primary: None,
            not_applied: Vec::new(),
            output: None,
            renewal: None,
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

    /// Whether the kernel keeps a connection to itself until its first byte has come, for about 1 s at most
    /// (`TCP_DEFER_ACCEPT`, tcp(7)). So a node that drains has hardly any that it has accepted and not read from, which many
    /// servers close. Default: no, since the clients of a server that is the first to speak would wait. A reload does not
    /// change it.
    pub fn defer_accept(mut self, defers: bool) -> Program {
        self.defer_accept = defers;
        self
    }

    /// The number of the signal that asks the program to finish and end. Default 15, SIGTERM. A node that has not ended
    /// within `Options::drain_timeout` is killed.
    pub fn stop_signal(mut self, number: i32) -> Program {
        self.stop_signal = number;
        self
    }

    /// How it is known that a node serves. Default: by its waiting for connections, where it has a socket.
    pub fn readiness(mut self, readiness: Readiness) -> Program {
        self.readiness = readiness;
        self
    }

    /// The number of a descriptor to which it writes a newline when it serves. It must be above those of the sockets.
    pub fn ready_fd(mut self, number: u32) -> Program {
        self.ready_fd = Some(number);
        self
    }

    /// A node has to say `WATCHDOG=1` at least so often (sd_watchdog_enabled(3)) or is replaced. At least 1 s. Default: no such rule,
    /// and those that link this crate are replaced where they hang
    /// (`Options::hang_timeout`).
    pub fn watchdog(mut self, time: Duration) -> Program {
        self.watchdog = Some(time);
        self
    }

    /// Whether it is a Node.js program that is to find its master as a `node:cluster` worker finds its primary: what it
    /// listens on is bound, or mapped to the given addresses, by the master, which accepts and hands connections out evenly.
    /// Default: if the program is `node`, or a script that names it in its first line.
    pub fn node_js(mut self, is: bool) -> Program {
        self.node_js = Some(is);
        self
    }

    /// Whether a Node.js program ([`node_js`](Program::node_js)) loads the [`preload`](super::preload), by which its idle
    /// connections move to other nodes in a drain. Default: yes.
    pub fn preload(mut self, is: bool) -> Program {
        self.preload = is;
        self
    }

    /// By what the requests of one client of a Node.js program ([`node_js`](Program::node_js)) are recognized, so that one node
    /// answers all that come by HTTP/1 without TLS. A new connection goes to the node of its first request; its later requests are
    /// looked at by the [`preload`](super::preload). Default: none. A reload does not change it.
    pub fn affinity(mut self, affinity: Affinity) -> Program {
        self.affinity = Some(affinity);
        self
    }

    /// The file that the primary of a Node.js program ([`node_js`](Program::node_js)) runs. It runs in one more process, in
    /// which `require("cluster")` is what it is in the primary of `node:cluster`, with the nodes as its workers. It relays
    /// only messages. It starts before the nodes, is restarted whenever it ends and by each reload, and stops after the
    /// nodes. Default: none; then messages of workers to their primary are dropped.
    pub fn primary(mut self, file: impl Into<OsString>) -> Program {
        self.primary = Some(file.into());
        self
    }

    /// After which life a node is ready with [`Readiness::Age`], and where its program is given no address and is no Node.js
    /// program ([`node_js`](Program::node_js)). Default 2 s.
    pub fn ready_after(mut self, time: Duration) -> Program {
        self.ready_after = time;
        self
    }

    /// Sends the standard output and error of each node here, as the ends of pipes, instead of letting nodes inherit those of
    /// this process. The receiver must read: a node that finds a pipe full waits.
    pub fn output(mut self, to: mpsc::Sender<Collect>) -> Program {
        self.output = Some(to);
        self
    }

    /// Settings beyond the program that had changed when the program was described again ([`renew`](Program::renew)). A
    /// reload warns of them, and names them in its report.
    pub fn not_applied(mut self, settings: impl IntoIterator<Item = NotApplied>) -> Program {
        self.not_applied = settings.into_iter().collect();
        self
    }

    /// Each reload calls this for the program to run from then on. An error fails the reload, which then changes nothing.
    /// Before the first reload, and without this, the given program runs. The destination of the output does not change.
    pub fn renew(mut self, by: impl Fn() -> Result<Program, String> + Send + Sync + 'static) -> Program {
        self.renewal = Some(Renewal(Arc::new(by)));
        self
    }
}
