//! Options: what a program may say about its addresses, nodes and limits; checked once, valid after.

mod address;
mod canary;
mod identity;
mod launch;
mod listed;
mod metering;
mod origin;
mod settings;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod variables;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use address::Address;
pub use canary::CanaryLimits;
pub(crate) use identity::Identity;
pub(crate) use launch::{Launch, SlotArgs};
pub(crate) use metering::Metering;
pub(crate) use origin::Origins;
pub use origin::{OptionInForce, Origin};
pub(crate) use settings::{Settings, is_instance_name};

use crate::Heartbeat;

/// What [`listen`](crate::listen) goes by. Every option has a default that suits production.
///
/// Values are checked when `listen` is called: a wrong one is an [`Error`](crate::Error) that names the option, the
/// value and what is allowed.
///
/// ```
/// use std::time::Duration;
/// use multi_node::Options;
///
/// let options = Options::new().port(8080).nodes(4).drain_timeout(Duration::from_secs(20));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `listen` is given them"]
pub struct Options {
    pub(crate) port: u16,
    pub(crate) host: String,
    pub(crate) binds: Vec<String>,
    pub(crate) only_binds: bool,
    pub(crate) unix_mode: u32,
    pub(crate) backlog: u32,
    pub(crate) nodes: Option<usize>,
    pub(crate) max_nodes: usize,
    pub(crate) master_listen: bool,
    pub(crate) restart: bool,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) backoff_jitter: f64,
    pub(crate) crash_loop: (usize, Duration),
    pub(crate) rolling: Option<bool>,
    pub(crate) settle: Option<Duration>,
    pub(crate) surge: usize,
    pub(crate) start_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) shutdown_delay: Duration,
    pub(crate) hang_timeout: Duration,
    pub(crate) adopt_timeout: Duration,
    pub(crate) canary: Option<(Duration, CanaryLimits)>,
    pub(crate) max_requests: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_memory: Option<u64>,
    pub(crate) recycle_jitter: f64,
    pub(crate) signals: bool,
    pub(crate) peers: bool,
    pub(crate) orders_from_nodes: bool,
    pub(crate) warn_before_listen: bool,
    pub(crate) launch: Launch,
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) control: Option<String>,
    pub(crate) control_path: Option<PathBuf>,
    pub(crate) metrics: Option<String>,
    pub(crate) metering: Metering,
    pub(crate) origins: Origins,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// The defaults, each of which is told at its method.
    pub fn new() -> Options {
        Options {
            port: 80,
            host: "0.0.0.0".to_owned(),
            binds: Vec::new(),
            only_binds: false,
            unix_mode: 0o666,
            backlog: 4096,
            nodes: None,
            max_nodes: 256,
            master_listen: false,
            restart: true,
            backoff: (Duration::from_millis(100), Duration::from_secs(30)),
            backoff_jitter: 0.2,
            crash_loop: (5, Duration::from_secs(60)),
            rolling: None,
            settle: None,
            surge: 1,
            start_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
            hang_timeout: Duration::from_secs(30),
            adopt_timeout: Duration::from_secs(60),
            canary: None,
            max_requests: None,
            max_age: None,
            max_memory: None,
            recycle_jitter: 0.1,
            signals: true,
            peers: true,
            orders_from_nodes: false,
            warn_before_listen: true,
            launch: Launch::default(),
            heartbeat: None,
            control: None,
            control_path: None,
            metrics: None,
            metering: Metering::default(),
            origins: Origins::default(),
        }
    }

    /// The TCP port. Default 80, as in the original; 0 lets the system choose one, which
    /// [`Handle::local_addr`](crate::Handle::local_addr) then tells.
    pub fn port(mut self, port: u16) -> Options {
        self.port = port;
        self
    }

    /// The host to bind: an IPv4 or IPv6 address, or a name, all of whose addresses are bound. Default `0.0.0.0`.
    pub fn host(mut self, host: impl Into<String>) -> Options {
        self.host = host.into();
        self
    }

    /// A further address: `127.0.0.1:9090`, `[::1]:9090`, `localhost:9090`, `:9090`, or `unix:/run/app.sock`. May be
    /// called several times.
    ///
    /// A Unix-socket path on which nobody listens any more is replaced; one that is in use is an error. Its mode is
    /// set by [`unix_mode`](Options::unix_mode), and the file is removed when the program ends.
    pub fn bind(mut self, address: impl Into<String>) -> Options {
        self.binds.push(address.into());
        self
    }

    /// Exactly these addresses, in any form that [`bind`](Options::bind) takes, and not `host` and `port`.
    pub fn addresses<I>(mut self, addresses: I) -> Options
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.binds = addresses.into_iter().map(Into::into).collect();
        self.only_binds = true;
        self
    }

    /// The mode of Unix-socket files. Default `0o666`: whoever reaches the directory may connect.
    pub fn unix_mode(mut self, mode: u32) -> Options {
        self.unix_mode = mode;
        self
    }

    /// How many connections may wait in the listener's queue. Default 4096; the system caps it at
    /// `net.core.somaxconn` (listen(2)).
    pub fn backlog(mut self, connections: u32) -> Options {
        self.backlog = connections;
        self
    }

    /// How many nodes serve. Default: one for each available core. 0 serves in the calling process (single-process
    /// mode), as does `MULTI_NODE=off` in the environment.
    pub fn nodes(mut self, nodes: usize) -> Options {
        self.nodes = Some(nodes);
        self
    }

    /// The most nodes that [`Handle::scale`](crate::Handle::scale) may ask for. Default 256, at most 4096.
    pub fn max_nodes(mut self, nodes: usize) -> Options {
        self.max_nodes = nodes;
        self
    }

    /// Whether the master serves too. Default `false`: a master that serves is not reloaded, and a handler's bug takes
    /// it down with the supervision. `true` restores the original's behaviour.
    pub fn master_listen(mut self, serves: bool) -> Options {
        self.master_listen = serves;
        self
    }

    /// Whether a node that ends unasked is replaced. Default `true`.
    pub fn restart(mut self, restart: bool) -> Options {
        self.restart = restart;
        self
    }

    /// How long a slot rests when its nodes go on dying: the first delay, which doubles up to the longest one. Default
    /// 100 ms to 30 s. The first death after a stable time is followed by a restart at once.
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Options {
        self.backoff = (initial, max);
        self
    }

    /// The share by which a delay is shortened or lengthened at random, so that slots do not restart in step. 0 to 1,
    /// default 0.2.
    pub fn backoff_jitter(mut self, share: f64) -> Options {
        self.backoff_jitter = share;
        self
    }

    /// So many unasked ends of one slot's nodes within this time are a crash loop. Default 5 within 60 s. Before the
    /// program's first readiness it ends the program with an error; later the slot goes on at the longest backoff.
    pub fn crash_loop(mut self, deaths: usize, within: Duration) -> Options {
        self.crash_loop = (deaths, within);
        self
    }

    /// Whether a reload replaces slot by slot. Otherwise all new nodes start beside the old ones, and all old nodes serve
    /// until every new one has proved itself ([`settle`](Options::settle)): a release that does not is ended, and no old node
    /// has been touched. That takes twice the memory and twice the database connections for that time.
    ///
    /// Default: slot by slot in programs that link this crate, all together for a [`program`](crate::program) that does not,
    /// since the code of an interpreted program is gone from disk, and a slot whose old node has left cannot be taken back.
    pub fn rolling(mut self, rolling: bool) -> Options {
        self.rolling = Some(rolling);
        self
    }

    /// How long a new node has to serve before the old one of its slot is told to end. Where a reload is not
    /// [`rolling`](Options::rolling), it counts once, from the last that became ready. A new node that ends, leaves, is seen
    /// serving no more, or answers the [readiness](crate::foreign::Readiness::Http) question badly before that has failed,
    /// and so has the order. Holds for restarts of one slot and for recycling too. Default: 0 in programs that link this crate,
    /// 3 s for a [`program`](crate::program) that does not.
    pub fn settle(mut self, time: Duration) -> Options {
        self.settle = Some(time);
        self
    }

    /// How many new nodes a [`rolling`](Options::rolling) reload starts ahead of the old ones. Default 1. 0 stops a slot's old
    /// node first, for programs whose memory does not fit twice.
    pub fn surge(mut self, nodes: usize) -> Options {
        self.surge = nodes;
        self
    }

    /// How long a node may take from its start until it is ready. Default 60 s; longer, and it is killed.
    pub fn start_timeout(mut self, time: Duration) -> Options {
        self.start_timeout = time;
        self
    }

    /// How long a node may take to finish what it has in flight. Default 30 s; longer, and it is killed. What is left
    /// half a second before (a quarter of shorter times) is cut, so that the node can still end by itself.
    pub fn drain_timeout(mut self, time: Duration) -> Options {
        self.drain_timeout = time;
        self
    }

    /// How long the nodes go on accepting after an order to shut down, so that load balancers can take the program out
    /// first. Default 0.
    pub fn shutdown_delay(mut self, time: Duration) -> Options {
        self.shutdown_delay = time;
        self
    }

    /// How long a node's runtime may be silent before the node counts as hung: it is reported, gets SIGABRT, 5 s later
    /// SIGKILL, and is replaced. Default 30 s, at least 1 s; 0 turns the detection off.
    pub fn hang_timeout(mut self, time: Duration) -> Options {
        self.hang_timeout = time;
        self
    }

    /// How long the nodes serve on after an [`upgrade`](crate::Handle::upgrade) without hearing of the new master, before
    /// they drain and end. Default 60 s: a new program that is slow to reach `listen` costs nothing.
    pub fn adopt_timeout(mut self, time: Duration) -> Options {
        self.adopt_timeout = time;
        self
    }

    /// Lets the first new node of each reload serve on trial for this time, with its fair share of new connections and no
    /// more, while the old node of its slot takes none and stays. Default: no trial.
    ///
    /// If it ends, hangs, or answers clearly more requests with server errors (a status of 500 to 599, or no answer since
    /// the service failed) than the old nodes do in the same time, it drains, the old node goes on, and the reload ends
    /// with [`OrderError::RolledBack`](crate::OrderError::RolledBack). Else the reload goes on. "Clearly" means: by more
    /// than the [margin](CanaryLimits::margin), at a confidence of 99.9 % (Newcombe's interval for the difference of two
    /// shares). Where the old nodes have answered fewer than `min_requests` in that time, all that they have answered since
    /// their start is compared.
    ///
    /// A hang is found after [`hang_timeout`](Options::hang_timeout); the trial is not over before the node has given a
    /// sign of life. Servers without status codes (`tcp`, `raw`) are judged by the node's life alone, and so is a node that
    /// has answered too few requests; the [report](crate::CanaryReport) says which it was. Needs a
    /// [`surge`](Options::surge) of at least 1.
    pub fn canary(mut self, duration: Duration, limits: CanaryLimits) -> Options {
        self.canary = Some((duration, limits));
        self
    }

    /// Recycles a node that has begun so many HTTP requests: it is replaced by another, which is ready before it drains
    /// (with [`surge`](Options::surge) 0 after it has ended). Default: no limit. Nodes are looked at once a second, so a
    /// busy one serves some more.
    ///
    /// Recycling replaces one slot at a time, and none while an order is carried out. If the new node does not come up,
    /// the old one goes on serving, and the next is tried after the longest [`backoff`](Options::backoff).
    pub fn max_requests(mut self, requests: u64) -> Options {
        self.max_requests = Some(requests);
        self
    }

    /// Recycles a node that has served for so long, as [`max_requests`](Options::max_requests) does. Default: no limit.
    pub fn max_age(mut self, time: Duration) -> Options {
        self.max_age = Some(time);
        self
    }

    /// Recycles a node that has so many bytes of memory in RAM, as [`max_requests`](Options::max_requests) does. Default:
    /// no limit. Nodes are looked at once a second, or less often where a look takes more than 10 ms: looking takes about
    /// 1 % of a core.
    ///
    /// What counts is the sum of the node's process and all that descend from it, as `status` shows it: PSS
    /// (proc_pid_smaps(5)), in which a page that several processes share counts for each in proportion. So a page that a
    /// forked worker has of its parent counts once. Where PSS cannot be had, or after 100 ms of one look, it is RSS without
    /// what may be shared. A process that has left its parent behind, as daemons do, is not found.
    pub fn max_memory(mut self, bytes: u64) -> Options {
        self.max_memory = Some(bytes);
        self
    }

    /// The share by which each node's `max_requests` and `max_age` are lower, at random between 0 and this, so that
    /// slots do not come due in step. 0 to 1, default 0.1.
    pub fn recycle_jitter(mut self, share: f64) -> Options {
        self.recycle_jitter = share;
        self
    }

    /// Whether the library handles SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGUSR2. Default `true`; with `false` the program gives
    /// the orders itself, by [`Handle`](crate::Handle).
    pub fn signals(mut self, handle: bool) -> Options {
        self.signals = handle;
        self
    }

    /// Whether each process gets a stream to every other. Default `true`; `false` saves four file descriptors for each
    /// pair, two in each, and goes without what needs them: idle connections are closed in a drain, not handed over.
    pub fn peers(mut self, join: bool) -> Options {
        self.peers = join;
        self
    }

    /// Whether nodes may give orders (`reload`, `scale`, `shutdown`). Default `false`: a node that was broken into must
    /// not own the fleet.
    pub fn orders_from_nodes(mut self, allow: bool) -> Options {
        self.orders_from_nodes = allow;
        self
    }

    /// Whether the master warns of TCP connections and threads that were opened before [`listen`](crate::listen()): code there
    /// runs in every process, so each opens its own. Default `true`. [`Handle::before_listen`](crate::Handle::before_listen) tells
    /// them too.
    ///
    /// The threads of a tokio runtime, of `tracing-appender` and of allocators do not count, nor does what the process was started
    /// with, and with another event loop's [`heartbeat`](Options::heartbeat) no thread does. Linux only.
    pub fn warn_before_listen(mut self, warn: bool) -> Options {
        self.warn_before_listen = warn;
        self
    }

    /// The pulse by which a node counts as alive, in place of this runtime's: for programs whose connections are served by
    /// another event loop. Default: the runtime's.
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Options {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Opens a control socket under this name, by which the command `multi-node` and [`admin::Client`](crate::admin::Client)
    /// see the program and steer it. Default: none.
    ///
    /// It is a Unix socket of mode 0600 in the runtime directory: `$XDG_RUNTIME_DIR/multi-node`, else `/run/multi-node`
    /// for root, else `/tmp/multi-node-UID`. Whoever runs the program may use it, and root. A name has 1 to 64 letters,
    /// digits, `.`, `_` and `-`, the first of which is no dot; [`Error::NameTaken`](crate::Error::NameTaken) where
    /// another program runs under it. Linux only.
    ///
    /// Where the socket cannot be made, as on a read-only file system, the program logs a warning and serves without it.
    pub fn control(mut self, name: impl Into<String>) -> Options {
        self.control = Some(name.into());
        self
    }

    /// Opens the control socket at this path, and not in the runtime directory: then `listen` fails with
    /// [`Error::ControlSocket`](crate::Error::ControlSocket) where it cannot be made. Commands reach it by `--socket PATH`. Without
    /// [`control`](Options::control) the program is called by the file's name. Linux only.
    pub fn control_path(mut self, path: impl Into<PathBuf>) -> Options {
        self.control_path = Some(path.into());
        self
    }
}
