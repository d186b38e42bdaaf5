//! The plan of the fixture program, which the harness writes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use multi_node::Options;
use multi_node::options::{CanaryLimits, GaugeAggregation, Join};
use multi_node::servers::Http;
use multi_node::tls::{Certificates, ClientCertificates};
use serde::{Deserialize, Serialize};

/// The variable that carries a [`Plan`] as JSON.
pub const VARIABLE: &str = "FIXTURE";

/// How the fixture program is set up. The defaults are short, so that tests are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    pub nodes: usize,
    pub max_nodes: usize,
    pub surge: usize,
    pub host: String,
    /// The main server's; 0: any.
    pub port: u16,
    /// Further addresses of the main server.
    pub binds: Vec<String>,
    pub peers: bool,
    /// Off: most tests ask one node by one kept connection.
    pub hand_off_when_busy: bool,
    pub restart: bool,
    pub master_listen: bool,
    pub commands_from_nodes: bool,
    /// Worker threads of the runtime; 1 is the current-thread runtime.
    pub threads: usize,
    /// Whether an admin server has an address of its own.
    pub admin: bool,
    /// A Unix-socket path to serve beside the port.
    pub unix: Option<PathBuf>,
    pub unix_mode: u32,
    pub http: HttpPlan,
    /// Whether the main server has TLS.
    pub tls: Option<TlsPlan>,
    pub streams: Streams,
    /// Whether it takes part in the bus (`/bus/…`).
    pub bus: bool,
    /// How many messages wait in a subscription, if not as many as the library lets wait.
    pub backlog: Option<usize>,
    /// Where it does a job that only one process does, and writes that down.
    pub leads: Option<PathBuf>,
    /// Main goes on after the drain instead of returning.
    pub endless_main: bool,
    pub start_timeout: Duration,
    pub drain_timeout: Duration,
    pub shutdown_delay: Duration,
    pub hang_timeout: Duration,
    pub adopt_timeout: Duration,
    pub backoff: (Duration, Duration),
    pub crash_loop: (usize, Duration),
    /// The name of the control socket, in the program's own runtime directory.
    pub control: Option<String>,
    /// Whether it has the name that the library gives it, where it has no other.
    pub own_name: bool,
    /// The address of the metrics.
    pub metrics: Option<String>,
    pub recycling: RecyclePlan,
    /// How long a reload's first new node is tried, and by how many answers it is judged.
    pub canary: Option<(Duration, u64)>,
    /// By what requests have owners: `query=sid`.
    pub affinity: Option<String>,
    /// The NATS servers that join machines, and the name of this one.
    pub join: Option<(String, String)>,
    pub join_by: JoinPlan,
    /// Whether those may have this one reload.
    pub remote_commands: bool,
    /// The user of nodes.
    pub user: Option<String>,
    pub group: Option<String>,
    pub umask: Option<u32>,
    /// What every process opens before `listen`.
    pub early: Early,
    pub warn_before_listen: bool,
    /// Whether it has a subscriber of `tracing`.
    pub subscriber: bool,
    pub log_to_stderr: bool,
    /// The folder in which [`Fault`]s are laid.
    pub faults: PathBuf,
}

/// What a program opens before `listen`: connections to a server, and threads.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Early {
    pub connections: usize,
    /// The server that the connection goes to.
    pub server: Option<SocketAddr>,
    pub threads: usize,
}

impl Early {
    /// Opens them, and keeps them for as long as the process lives.
    pub fn open(self) {
        let server = self.server.into_iter();
        for server in server.flat_map(|server| std::iter::repeat_n(server, self.connections)) {
            std::mem::forget(std::net::TcpStream::connect(server).expect("the test listens there"));
        }
        for _ in 0..self.threads {
            let thread = std::thread::Builder::new().name("early".to_owned());
            thread.spawn(std::thread::park).expect("a thread");
        }
    }
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            nodes: 4,
            max_nodes: 64,
            surge: 1,
            host: "127.0.0.1".to_owned(),
            port: 0,
            binds: Vec::new(),
            peers: true,
            hand_off_when_busy: false,
            restart: true,
            master_listen: false,
            commands_from_nodes: true,
            threads: 1,
            admin: false,
            unix: None,
            unix_mode: 0o666,
            http: HttpPlan::default(),
            tls: None,
            streams: Streams::default(),
            bus: false,
            backlog: None,
            leads: None,
            endless_main: false,
            start_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
            shutdown_delay: Duration::ZERO,
            hang_timeout: Duration::from_secs(30),
            adopt_timeout: Duration::from_secs(10),
            backoff: (Duration::from_millis(20), Duration::from_millis(200)),
            crash_loop: (5, Duration::from_secs(60)),
            control: None,
            own_name: false,
            metrics: None,
            recycling: RecyclePlan::default(),
            canary: None,
            affinity: None,
            join: None,
            join_by: JoinPlan::default(),
            remote_commands: false,
            user: None,
            group: None,
            umask: None,
            early: Early::default(),
            warn_before_listen: true,
            subscriber: true,
            log_to_stderr: true,
            faults: PathBuf::new(),
        }
    }
}

impl Plan {
    /// This number of nodes, and the defaults.
    pub fn nodes(nodes: usize) -> Plan {
        Plan { nodes, ..Plan::default() }
    }

    /// The plan that the environment carries.
    pub fn from_env() -> anyhow::Result<Plan> {
        Ok(serde_json::from_str(&std::env::var(VARIABLE)?)?)
    }

    /// The library's options for it.
    pub fn options(&self) -> Options {
        let options = Options::new()
            .host(self.host.as_str())
            .port(self.port)
            .nodes(self.nodes)
            .max_nodes(self.max_nodes)
            .surge(self.surge)
            .peers(self.peers)
            .hand_off_when_busy(self.hand_off_when_busy)
            .restart(self.restart)
            .master_listen(self.master_listen)
            .commands_from_nodes(self.commands_from_nodes)
            .warn_before_listen(self.warn_before_listen)
            .log_to_stderr(self.log_to_stderr)
            .start_timeout(self.start_timeout)
            .drain_timeout(self.drain_timeout)
            .shutdown_delay(self.shutdown_delay)
            .hang_timeout(self.hang_timeout)
            .adopt_timeout(self.adopt_timeout)
            .backoff(self.backoff.0, self.backoff.1)
            .crash_loop(self.crash_loop.0, self.crash_loop.1)
            .unix_mode(self.unix_mode);
        let options = self.canary.into_iter().fold(options, |options, (duration, requests)| {
            options.canary(duration, CanaryLimits::new().min_requests(requests))
        });
        let options = self.binds.iter().fold(self.recycling.set(options), Options::bind);
        let options = match self.own_name {
            true => options,
            false => options.control(self.control.as_deref()),
        };
        let options = self.metrics.iter().fold(options, Options::metrics);
        let options = self.user.iter().fold(options, Options::user);
        let options = self.group.iter().fold(options, Options::group);
        let options = self.umask.into_iter().fold(options, Options::umask);
        let options = self.backlog.into_iter().fold(options, Options::max_subscription_backlog);
        let options =
            options.aggregate_gauge("oldest_job_seconds", GaugeAggregation::Max).buckets("job.bytes", [256.0, 512.0]);
        let options =
            self.affinity.iter().fold(options, |options, by| options.affinity(by.parse().expect("an affinity")));
        let options = self.join.iter().fold(options, |options, (servers, machine)| {
            let join = Join::new(servers).machine(machine).remote_commands(self.remote_commands);
            options.join(self.join_by.set(join))
        });
        let unix = self.unix.iter().map(|path| format!("unix:{}", path.display()));
        unix.fold(options, Options::bind)
    }
}

/// By what a machine and the servers of NATS know each other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinPlan {
    /// Default: `test`.
    pub cluster: Option<String>,
    pub credentials: Option<PathBuf>,
    pub nkey: Option<PathBuf>,
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    pub root_certificates: Option<PathBuf>,
}

impl JoinPlan {
    fn set(&self, join: Join) -> Join {
        let join = join.cluster(self.cluster.as_deref().unwrap_or("test"));
        let join = self.credentials.iter().fold(join, Join::credentials);
        let join = self.nkey.iter().fold(join, Join::nkey);
        let join = self.client_certificate.iter().fold(join, |join, (cert, key)| join.client_certificate(cert, key));
        self.root_certificates.iter().fold(join, Join::root_certificates)
    }
}

/// The HTTP settings of the main server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpPlan {
    pub header_timeout: Duration,
    pub keep_alive_timeout: Duration,
    pub max_connections: Option<usize>,
    pub proxy_protocol: bool,
}

impl Default for HttpPlan {
    fn default() -> HttpPlan {
        HttpPlan {
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            max_connections: None,
            proxy_protocol: false,
        }
    }
}

impl HttpPlan {
    /// The server with these settings.
    pub fn set<S>(&self, server: Http<S>, tls: Option<&TlsPlan>) -> Http<S> {
        let server = tls.into_iter().fold(server, |server, tls| server.tls(tls.certificates()));
        let server = server
            .header_timeout(self.header_timeout)
            .keep_alive_timeout(self.keep_alive_timeout)
            .proxy_protocol(self.proxy_protocol);
        match self.max_connections {
            Some(count) => server.max_connections(count),
            None => server,
        }
    }
}

/// The certificate of the main server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsPlan {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub handshake_timeout: Option<Duration>,
    pub max_handshakes: Option<usize>,
    /// The file of authorities of clients, and whether these need a certificate.
    pub client_authority: Option<(PathBuf, bool)>,
    pub ticket_keys: Option<PathBuf>,
    /// Whether there is a second server, which sends bytes back.
    pub echo: bool,
}

impl TlsPlan {
    /// The same with the files that [`Fault::OtherCertificate`] means.
    pub fn other(self) -> TlsPlan {
        TlsPlan {
            cert: self.cert.with_file_name("other-cert.pem"),
            key: self.key.with_file_name("other-key.pem"),
            ..self
        }
    }

    pub fn certificates(&self) -> Certificates {
        let certificates = Certificates::files(&self.cert, &self.key);
        let certificates = self.handshake_timeout.into_iter().fold(certificates, Certificates::handshake_timeout);
        let certificates = self.max_handshakes.into_iter().fold(certificates, Certificates::max_handshakes);
        let certificates = self.ticket_keys.iter().fold(certificates, Certificates::ticket_keys);
        match &self.client_authority {
            Some((file, true)) => certificates.client_authority(file, ClientCertificates::Required),
            Some((file, false)) => certificates.client_authority(file, ClientCertificates::Optional),
            None => certificates,
        }
    }
}

/// When nodes are recycled.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecyclePlan {
    pub max_requests: Option<u64>,
    pub max_age: Option<Duration>,
    pub max_memory: Option<u64>,
}

impl RecyclePlan {
    fn set(&self, options: Options) -> Options {
        let options = self.max_requests.into_iter().fold(options, Options::max_requests);
        let options = self.max_age.into_iter().fold(options, Options::max_age);
        self.max_memory.into_iter().fold(options, Options::max_memory)
    }
}

/// What a process does with the streams to its peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Streams {
    /// Pings and answers pings.
    #[default]
    Talk,
    /// Keeps them, and reads and writes on command only; see [`Held`](crate::held::Held).
    Hold,
    /// As `Hold`, and does not ask for them until it is ordered to `take`.
    HoldLate,
    /// Never asks for one.
    Unasked,
}

/// A way to misbehave that nodes find when they start, so that it can be laid and lifted while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ends with code 3 before `listen`.
    Die,
    /// Does not reach `listen` while this is laid.
    StuckBeforeListen,
    /// The factory does not return while this is laid.
    StuckInFactory,
    /// The factory blocks its thread for ever.
    BlockInFactory,
    /// The factory fails.
    FailFactory,
    /// Answers `/` with a server error.
    AnswerErrors,
    /// Ends with code 4 a moment after it is ready.
    DieWhenReady,
    /// Returns 0 from main a moment after it is ready.
    LeaveWhenReady,
    /// Writes what is no message to its control socket.
    Garbage,
    /// Announces a message that is too long to its master.
    Oversize,
    /// Sends its master descriptors that no message announces.
    Descriptors,
    /// Sends its master messages without end.
    Flood,
    /// Closes its control socket, and lives on.
    HangUp,
    /// Is a program that speaks version 1 of the control protocol alone.
    SpeakVersionOne,
    /// Is a program that speaks version 9 of the control protocol alone.
    SpeakVersionNine,
    /// Is a program of a later release, which speaks versions 1 to 9, and says more than this release knows.
    SpeakMore,
    /// A program that is tried in a child ends with code 5 before `listen`.
    DieInTrial,
    /// A program that is tried in a child does not reach `listen` while this is laid.
    StuckInTrial,
    /// A program that takes the master's place ends with code 6 before `listen`.
    DieAsSuccessor,
    /// A program that takes the master's place panics before `listen`.
    PanicAsSuccessor,
    /// A program that takes the master's place does not reach `listen` while this is laid.
    StuckAsSuccessor,
    /// The new program wants one more address.
    OtherAddresses,
    /// The program has its certificate in files of other names.
    OtherCertificate,
    /// The job of a lease ends.
    ReturnLease,
    /// The job of a lease panics.
    PanicAsLeader,
    /// The job of a lease goes on while this is laid, though its process is to end.
    KeepLeading,
}

impl Fault {
    fn path(self, folder: &Path) -> PathBuf {
        folder.join(format!("{self:?}"))
    }

    /// From now on, nodes that start misbehave so.
    pub fn lay(self, folder: &Path) {
        std::fs::write(self.path(folder), "").expect("the faults' folder is ours");
    }

    /// From now on, nodes that start behave.
    pub fn lift(self, folder: &Path) {
        std::fs::remove_file(self.path(folder)).expect("it was laid");
    }

    /// Resolves once it is not laid (any more).
    pub async fn lifted(self, folder: &Path) {
        while self.is_laid(folder) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether it is laid now.
    pub fn is_laid(self, folder: &Path) -> bool {
        self.path(folder).exists()
    }
}
