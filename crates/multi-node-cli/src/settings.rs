//! The settings of `multi-node run`, on the command line and in `multi-node.toml`: the same names, the same values.

mod choice;
mod file;
mod in_force;
mod layers;
mod library;
mod machines;
mod value;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use multi_node::options::{CanaryLimits, ControlName};
use multi_node::{Error, Options};
use multi_node_run::{Program, Readiness};
use serde::{Deserialize, Serialize};

use choice::{Log, LogFormat, LogFull, Ready, Sockets};
use library::Library;
use machines::Machines;
pub(crate) use value::Time;
use value::{Account, ClientsBy, Control, Count, Mode, StopSignal, names, one_or_more, table, variable};

use crate::exit::Usage;
use crate::node_log::{Format, Manner};
use crate::{exec_shim, npm, output, script};

/// What settings are about: the headings of their help.
const ADDRESSES: &str = "Addresses and sockets";
const NODES: &str = "Nodes";
const HEALTH: &str = "When a node is ready, and when it hangs";
const REPLACING: &str = "Reload, upgrade and the end of a node";
const RESTARTING: &str = "Nodes that end unasked, or have served for long";
const SEEING: &str = "Seen and steered from outside";
const MACHINES: &str = "Other machines";

/// What most people set, as the short help shows it.
pub(crate) const USUAL: [&str; 12] = [
    "nodes",
    "port",
    "bind",
    "env",
    "ready-http",
    "settle",
    "rolling",
    "drain-timeout",
    "max-memory",
    "user",
    "metrics",
    "log-format",
];

/// Everything is optional here; what is said nowhere has the library's default.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// The name by which `multi-node status`, `reload` and the others find it [default: that of the program's file, or of its
    /// script]
    #[arg(long, help_heading = SEEING)]
    pub(crate) name: Option<String>,
    /// The path of the control socket, by which the others find it with --socket; or `off`: there is none [default: the name's in
    /// the runtime directory, where that can be written to]
    #[arg(long, value_name = "PATH", help_heading = SEEING)]
    pub(crate) control: Option<Control>,
    /// Where /metrics, /healthz, /readyz and /status are served: 127.0.0.1:9090, :9090 or unix:/run/metrics.sock
    #[arg(long, value_name = "ADDR", help_heading = SEEING)]
    pub(crate) metrics: Option<String>,
    /// How many nodes: a number, or `auto` for one for each available core [default: auto]
    #[arg(short, long, help_heading = NODES)]
    pub(crate) nodes: Option<Count>,
    /// Those of the library's table.
    #[command(flatten)]
    #[serde(flatten, skip_deserializing)]
    pub(crate) library: Library,
    /// A TCP port, of all interfaces. Without this and --bind the nodes are given no socket
    #[arg(short, long, help_heading = ADDRESSES)]
    pub(crate) port: Option<u16>,
    /// An address: 127.0.0.1:8080, [::1]:8080, :8080, or unix:/run/app.sock. May be given several times
    #[arg(short, long, value_name = "ADDR", help_heading = ADDRESSES)]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) bind: Vec<String>,
    /// How the program is told of its sockets [default: all]
    #[arg(long, value_enum, help_heading = ADDRESSES)]
    pub(crate) sockets: Option<Sockets>,
    /// What LISTEN_FDNAMES calls the sockets, separated by colons
    #[arg(long, value_name = "NAMES", help_heading = ADDRESSES)]
    pub(crate) fdname: Option<String>,
    /// Has the kernel hand off a connection only when its first byte has come, so that servers that close what they have
    /// not read from lose hardly anything in a reload. Not for servers that are the first to speak [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = ADDRESSES)]
    pub(crate) defer_accept: Option<bool>,
    /// A variable for the program's environment, NAME=VALUE. May be given several times
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable, help_heading = NODES)]
    #[serde(deserialize_with = "table", serialize_with = "names")]
    pub(crate) env: Vec<(String, String)>,
    /// How it is known that a node is ready [default: auto]
    #[arg(long, value_enum, help_heading = HEALTH)]
    pub(crate) ready: Option<Ready>,
    /// A node is ready once it answers this path on {node_port} with a status below 400
    #[arg(long, value_name = "PATH", conflicts_with = "ready", help_heading = HEALTH)]
    pub(crate) ready_http: Option<String>,
    /// The age at which a node is ready with --ready=age, and where the program is given no address and is no Node.js program
    /// [default: 2s]
    #[arg(long, value_name = "TIME", help_heading = HEALTH)]
    pub(crate) ready_after: Option<Time>,
    /// The descriptor to which a node writes a newline when it is ready; that alone counts with --ready=notify
    #[arg(long, value_name = "NUMBER", help_heading = HEALTH)]
    pub(crate) ready_fd: Option<u32>,
    /// A node has to say WATCHDOG=1 at least so often, or is replaced
    #[arg(long, value_name = "TIME", conflicts_with = "hang_timeout", help_heading = HEALTH)]
    pub(crate) watchdog: Option<Time>,
    /// The signal that tells a node to finish and end [default: SIGTERM]
    #[arg(long, value_name = "SIGNAL", help_heading = REPLACING)]
    pub(crate) stop_signal: Option<StopSignal>,
    /// The first pause before a slot whose nodes go on dying is tried again [default: 100ms]
    #[arg(long, value_name = "TIME", help_heading = RESTARTING)]
    pub(crate) backoff: Option<Time>,
    /// The longest such pause [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = RESTARTING)]
    pub(crate) backoff_max: Option<Time>,
    /// So many ends of one slot's nodes within --crash-loop-within are a crash loop [default: 5]
    #[arg(long, value_name = "ENDS", help_heading = RESTARTING)]
    pub(crate) crash_loop: Option<usize>,
    /// The time within which they are [default: 1m]
    #[arg(long, value_name = "TIME", help_heading = RESTARTING)]
    pub(crate) crash_loop_within: Option<Time>,
    /// How long the first new node of a reload is tried before the others follow [default: it is not]
    #[arg(long, value_name = "TIME", help_heading = REPLACING)]
    pub(crate) canary: Option<Time>,
    /// How many requests it must have answered for its answers to be judged, with --canary [default: 100]
    #[arg(long, value_name = "REQUESTS", help_heading = REPLACING)]
    pub(crate) canary_requests: Option<u64>,
    /// By how much its share of server errors may exceed that of the old nodes, 0 to 1, with --canary [default: 0.01]
    #[arg(long, value_name = "SHARE", help_heading = REPLACING)]
    pub(crate) canary_margin: Option<f64>,
    /// The user as whom nodes run, by name or number: with its groups, and without privileges. The command itself stays
    /// what it is, so as root it can bind port 80 [default: this command's]
    #[arg(long, value_name = "USER", help_heading = NODES)]
    pub(crate) user: Option<Account>,
    /// The group as which nodes run [default: the user's]
    #[arg(long, value_name = "GROUP", help_heading = NODES)]
    pub(crate) group: Option<Account>,
    /// Permission bits that files made by nodes do not get, in octal, such as 027 [default: this command's]
    #[arg(long, value_name = "MODE", help_heading = NODES)]
    pub(crate) umask: Option<Mode>,
    /// What becomes of what nodes write [default: collect]
    #[arg(long, value_enum, help_heading = SEEING)]
    pub(crate) log: Option<Log>,
    /// How it is shown [default: prefixed on a terminal and in the journal, otherwise plain]
    #[arg(long, value_enum, help_heading = SEEING)]
    pub(crate) log_format: Option<LogFormat>,
    /// What happens when it comes faster than it can be written, and 1 MiB of a node waits [default: drop on a terminal,
    /// otherwise block]
    #[arg(long, value_enum, help_heading = SEEING)]
    pub(crate) log_full: Option<LogFull>,
    /// By what a client of a Node.js program is recognized, so that one node answers all its HTTP/1 requests: cookie=NAME,
    /// query=NAME, header=NAME or client-address [default: none; any node answers]
    #[arg(long, value_name = "BY", help_heading = NODES)]
    pub(crate) affinity: Option<ClientsBy>,
    /// Gives Node.js programs no preload, so that a drain closes their idle connections and waits for busy ones [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = NODES)]
    pub(crate) no_preload: Option<bool>,
    /// The user's own code for the primary of a Node.js program: a file that Node.js runs in one more process, where
    /// require("cluster") shows the nodes as workers and relays messages [default: none, and messages to the primary are dropped]
    #[arg(long, value_name = "FILE", help_heading = NODES)]
    pub(crate) primary: Option<PathBuf>,
    /// Those of other machines.
    #[command(flatten)]
    #[serde(flatten, skip_deserializing)]
    pub(crate) machines: Machines,
    /// The program and its arguments: everything from the first word on that is no option, or behind `--`
    #[arg(trailing_var_arg = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<PathBuf>,
}

impl Settings {
    /// What concerns the master, and needs a restart of the whole to change.
    pub(crate) fn options(&self) -> Result<Options, Error> {
        let port = self.port.map(|port| format!("0.0.0.0:{port}"));
        let mut options = self.library.set(Options::new())?;
        options = options.args([exec_shim::NAME]).addresses(port.iter().chain(&self.bind));
        macro_rules! set {
            ($($name:ident: $value:expr),* $(,)?) => {$(
                if let Some(value) = $value {
                    options = options.$name(value);
                }
            )*};
        }
        set! {
            metrics: self.metrics.clone(),
            control: Some(self.control_name()),
            control_path: self.control_path(),
            nodes: self.nodes.and_then(|nodes| nodes.0),
            user: self.user.as_ref().map(|user| user.0.as_str()),
            group: self.group.as_ref().map(|group| group.0.as_str()),
            umask: self.umask.map(|mode| mode.0),
        }
        if let Some(Time(time)) = self.canary {
            options = options.canary(time, self.canary_limits());
        }
        if let Some(join) = self.machines.join(self.cluster_name().as_deref())? {
            options = options.join(join);
        }
        let time = |time: Option<Time>, default| time.map_or(default, |time: Time| time.0);
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(30));
        Ok(options
            .backoff(time(self.backoff, first), time(self.backoff_max, longest))
            .crash_loop(self.crash_loop.unwrap_or(5), time(self.crash_loop_within, Duration::from_secs(60))))
    }

    fn canary_limits(&self) -> CanaryLimits {
        let limits = CanaryLimits::new();
        let limits = self.canary_requests.into_iter().fold(limits, CanaryLimits::min_requests);
        self.canary_margin.into_iter().fold(limits, CanaryLimits::margin)
    }

    /// What the program is called by those who ask for it.
    fn control_name(&self) -> ControlName {
        match (&self.control, &self.name, script::named(&self.program)) {
            (Some(Control::Off), _, _) => ControlName::Off,
            (_, Some(name), _) => name.as_str().into(),
            (_, None, Some(file)) => ControlName::of_file(file),
            (_, None, None) => ControlName::Off,
        }
    }

    /// What is joined with the same program elsewhere is called so, unless it is given a name for that.
    fn cluster_name(&self) -> Option<String> {
        let file = || Some(script::named(&self.program)?.file_name()?.to_string_lossy().into_owned());
        self.name.clone().or_else(file)
    }

    fn control_path(&self) -> Option<PathBuf> {
        match &self.control {
            Some(Control::At(path)) => Some(path.clone()),
            Some(Control::Off) | None => None,
        }
    }

    /// What concerns the program, and is looked up again at each reload.
    pub(crate) fn program(&self) -> Result<Program, Usage> {
        if let Some(advice) = npm::advice(&self.program, Path::new("package.json")) {
            return Err(Usage(advice));
        }
        let (program, args) = self.program.split_first().ok_or_else(|| {
            Usage(
                "no program is named; name it behind the options, or in multi-node.toml: program = [\"gunicorn\", \"app:app\"]"
                    .to_owned(),
            )
        })?;
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let mut program = Program::new(program).args(args).readiness(self.readiness());
        for (name, value) in &self.env {
            program = program.env(name, value);
        }
        if let Some(sockets) = self.sockets {
            program = program.sockets(match sockets {
                Sockets::All => multi_node_run::Sockets::All,
                Sockets::Systemd => multi_node_run::Sockets::Systemd,
                Sockets::ServerStarter => multi_node_run::Sockets::ServerStarter,
                Sockets::Bare => multi_node_run::Sockets::Bare,
            });
        }
        if let Some(defers) = self.defer_accept {
            program = program.defer_accept(defers);
        }
        if let Some(names) = &self.fdname {
            program = program.socket_names(names.split(':'));
        }
        if let Some(Time(time)) = self.ready_after {
            program = program.ready_after(time);
        }
        if let Some(number) = self.ready_fd {
            program = program.ready_fd(number);
        }
        if let Some(Time(time)) = self.watchdog {
            program = program.watchdog(time);
        }
        if let Some(ClientsBy(affinity)) = &self.affinity {
            program = program.affinity(affinity.clone());
        }
        if let Some(file) = &self.primary {
            program = program.primary(file);
        }
        if let Some(StopSignal(number)) = self.stop_signal {
            program = program.stop_signal(number);
        }
        Ok(program.preload(!self.no_preload.unwrap_or(false)))
    }

    /// What to do with the nodes' output; `None`: nodes write it themselves.
    pub(crate) fn output(&self) -> Option<Manner> {
        let terminal = std::io::stdout().is_terminal();
        let format = match (self.log_format, terminal) {
            (Some(LogFormat::Json), _) => Format::Json,
            (Some(LogFormat::Plain), _) => Format::Plain,
            (None, false) if !output::is_journal() => Format::Plain,
            (Some(LogFormat::Prefixed) | None, _) => Format::Prefixed(output::paint()),
        };
        let drop = self.log_full.map_or(terminal, |full| full == LogFull::Drop);
        (self.log != Some(Log::Inherit)).then_some(Manner { format, drop })
    }

    /// Whether the command's own log is JSON.
    pub(crate) fn logs_json(&self) -> bool {
        self.log_format == Some(LogFormat::Json)
    }

    fn readiness(&self) -> Readiness {
        match (&self.ready_http, self.ready) {
            (Some(path), _) => Readiness::Http(path.clone()),
            (None, Some(Ready::Notify)) => Readiness::Notification,
            (None, Some(Ready::Age)) => Readiness::Age,
            (None, Some(Ready::Auto) | None) => Readiness::Auto,
        }
    }
}
