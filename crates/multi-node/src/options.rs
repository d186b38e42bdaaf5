//! Options: what a program may say about its addresses, nodes and limits; checked once, valid after.
//!
//! ```
//! use std::time::Duration;
//! use multi_node::Options;
//! use multi_node::options::{CanaryLimits, GaugeAggregation};
//!
//! let options = Options::new()
//!     .port(8080)
//!     .canary(Duration::from_secs(30), CanaryLimits::new().min_requests(500))
//!     .aggregate_gauge("queue_age_seconds", GaugeAggregation::Max);
//! # let _ = options;
//! ```

mod canary;
mod control;
mod launch;
mod listed;
mod metering;
mod origin;
mod settings;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod value;
mod variables;

use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "join")]
#[doc(inline)]
pub use crate::join::{Join, JoinError};
#[doc(inline)]
pub use crate::metrics::{GaugeAggregation, Metric, MetricError};
#[doc(inline)]
pub use crate::shared_secret::SharedSecret;
pub use canary::CanaryLimits;
pub use control::ControlName;
pub(crate) use control::is_instance_name;
pub(crate) use launch::Launch;
pub(crate) use metering::Metering;
pub(crate) use origin::Origins;
pub use origin::{OptionInForce, Origin};
pub(crate) use settings::Settings;
use table::Values;
pub use value::{OptionGroup, OptionInfo, OptionKind, OptionValue};

use crate::Heartbeat;
#[cfg(not(feature = "join"))]
use crate::join::Join;
use crate::serve::Affinity;
pub(crate) use multi_node_process::address::Address;
pub(crate) use multi_node_process::identity::Identity;

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
    pub(crate) nodes: Option<usize>,
    /// Those of the table.
    pub(crate) values: Values,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) crash_loop: (usize, Duration),
    pub(crate) canary: Option<(Duration, CanaryLimits)>,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) join: Option<Join>,
    pub(crate) launch: Launch,
    pub(crate) heartbeat: Option<Heartbeat>,
    /// `None`: that of the program.
    pub(crate) control: Option<ControlName>,
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
    /// The defaults. Each method names its default.
    pub fn new() -> Options {
        Options {
            port: 80,
            host: "0.0.0.0".to_owned(),
            binds: Vec::new(),
            only_binds: false,
            nodes: None,
            values: Values::default(),
            backoff: (Duration::from_millis(100), Duration::from_secs(30)),
            crash_loop: (5, Duration::from_secs(60)),
            canary: None,
            affinity: None,
            join: None,
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
    /// [`Handle::local_addr`](crate::Handle::local_addr) then returns.
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
    /// A Unix-socket path without a listening process is replaced; one that is in use is an error. Its mode is set by
    /// [`unix_mode`](Options::unix_mode), and the file is removed when the program ends.
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

    /// How many nodes serve. Default: one for each available core. 0 serves in the calling process (single-process
    /// mode), as does `MULTI_NODE=off` in the environment.
    pub fn nodes(mut self, nodes: usize) -> Options {
        self.nodes = Some(nodes);
        self
    }

    /// How long a slot waits when its nodes go on dying: the first delay, which doubles up to the longest one. Default 100 ms
    /// to 30 s. After a stable time the first death is followed by a restart at once.
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Options {
        self.backoff = (initial, max);
        self
    }

    /// If this number of one slot's nodes end unrequested within this time, that is a crash loop. Default 5 within 60 s.
    /// Before the program was ever ready, a crash loop ends the program with an error. Later the slot retries at the longest
    /// backoff.
    pub fn crash_loop(mut self, deaths: usize, within: Duration) -> Options {
        self.crash_loop = (deaths, within);
        self
    }

    /// Lets the first new node of each reload serve on trial for this time, with its fair share of new connections and no
    /// more, while the old node of its slot stays but takes none. Default: no trial.
    ///
    /// The node fails if it ends or hangs, or if it answers clearly more requests with server errors (a status of 500 to 599,
    /// or no answer because the service failed) than the old nodes do in the same time. Then it drains, the old node
    /// continues, and the reload ends with [`CommandError::RolledBack`](crate::commands::CommandError::RolledBack). Otherwise the
    /// reload continues. "Clearly" means: by more than the [margin](CanaryLimits::margin), at a confidence of 99.9 %
    /// (Newcombe's interval for the difference of two shares). If the old nodes have answered fewer than `min_requests` in
    /// that time, all their answers since their start are compared.
    ///
    /// A hang is found after [`hang_timeout`](Options::hang_timeout); the trial does not end before the node has sent a
    /// heartbeat. Servers without status codes (`tcp`, `raw`) are judged only by whether the node lives, and so is a node
    /// that has answered too few requests; the [report](crate::commands::CanaryReport) shows which applied. Needs a
    /// [`surge`](Options::surge) of at least 1.
    pub fn canary(mut self, duration: Duration, limits: CanaryLimits) -> Options {
        self.canary = Some((duration, limits));
        self
    }

    /// Has one node answer all requests of a client, which is recognized by a cookie, a query parameter, a header or its address. Default:
    /// each node answers what reaches it.
    ///
    /// ```
    /// use multi_node::{Affinity, Options};
    ///
    /// let options = Options::new().affinity(Affinity::cookie("sid"));
    /// # let _ = options;
    /// ```
    ///
    /// The value belongs to a slot, and the slot's newest node that serves owns the value. For each HTTP/1 request a node looks at the head
    /// before it is read. If another node owns the request, its connection goes there as in a drain, with what was read. So it holds for
    /// clients that a proxy mixes on one connection too.
    ///
    /// It is a preference, and no promise. A request is answered where it has arrived if:
    ///
    /// - it has no value, or the value stands behind the first 16 KiB of the head;
    /// - its owner drains, has too many connections, or is gone;
    /// - moves of 48 KiB in all are under way to that owner; each counts as 1 KiB and what was read of it;
    /// - it came in one piece with the request before;
    /// - the service has not read the body of the request before to its end.
    ///
    /// An owner that stands still holds the requests that are on their way to it until it continues, or
    /// [`hang_timeout`](Options::hang_timeout) ends it. HTTP/2 and TLS have no affinity. Neither have servers without
    /// [`handoff`](crate::servers::Http::handoff), the master's own servers ([`master_listen`](Options::master_listen)), and programs with
    /// [`peers(false)`](Options::peers).
    pub fn affinity(mut self, affinity: Affinity) -> Options {
        self.affinity = Some(affinity);
        self
    }

    /// Joins the topics of this program with those of the same program on other machines, over NATS servers. Default: this machine alone.
    ///
    /// ```
    /// use multi_node::Options;
    /// use multi_node::options::Join;
    ///
    /// let options = Options::new().join("nats://127.0.0.1:4222");
    /// let options = Options::new().join(Join::new("tls://bus-1:4222,tls://bus-2:4222").machine("alpha"));
    /// # let _ = options;
    /// ```
    ///
    /// The master starts one more process of this program, the gateway, which alone is connected to NATS. What a process publishes on a
    /// topic reaches the subscriptions of all machines, each at most once. What is lost on the way arrives as
    /// [`Lagged`](crate::bus::TypedEvent::Lagged). Without NATS each machine is on its own, and is joined when NATS is back. Requests,
    /// sessions, limits and leases stay on each machine.
    ///
    /// A plaintext connection to another machine is refused unless [`insecure_bus`](crate::options::Join::insecure_bus) allows it. Needs
    /// nodes; a process that serves alone refuses it. Linux only.
    #[cfg(feature = "join")]
    pub fn join(mut self, servers: impl Into<Join>) -> Options {
        self.join = Some(servers.into());
        self
    }

    /// The program of the gateway, if that is another than the nodes': the command `multi-node`, and its arguments. Default: the program of nodes.
    #[cfg(all(feature = "embed", feature = "join"))]
    pub fn gateway_program<I>(mut self, program: impl Into<PathBuf>, args: I) -> Options
    where
        I: IntoIterator,
        I::Item: Into<std::ffi::OsString>,
    {
        self.launch.gateway = Some((program.into(), args.into_iter().map(Into::into).collect()));
        self
    }

    /// The pulse by which a node counts as alive, in place of this runtime's: for programs whose connections are served by
    /// another event loop. Default: the runtime's.
    #[cfg(feature = "embed")]
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Options {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// The name of the control socket. By it the command `multi-node` and [`admin::Client`](crate::admin::Client) show and
    /// control the program. The default is the name of the program's file, followed by the process id if another program has
    /// that name. `None`: no control socket. A process that serves alone has a control socket only if this option names one.
    ///
    /// It is a Unix socket of mode 0600 in the runtime directory: `$XDG_RUNTIME_DIR/multi-node`, else `/run/multi-node` for
    /// root, else `/tmp/multi-node-UID`. The user who runs the program may use it, and root. A name has 1 to 64 letters,
    /// digits, `.`, `_` and `-`, and does not begin with a dot. If a given name belongs to another running program, `listen`
    /// fails with [`Error::NameTaken`](crate::Error::NameTaken). Linux only.
    ///
    /// If the socket cannot be made, for example on a read-only file system, the program logs a warning and serves without
    /// it.
    pub fn control(mut self, name: impl Into<ControlName>) -> Options {
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
