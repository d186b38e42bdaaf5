//! Options that have been checked, as the rest of the library uses them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{Address, CanaryLimits, Launch, Metering, Options, Origins};
use crate::{Error, Heartbeat};

/// The most nodes a program can have; slots are 16-bit numbers, and every pair of nodes costs four descriptors.
pub(super) const MOST_NODES: usize = 4096;

/// No wait is longer: deadlines are sums of times, and must not overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Valid options.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) addresses: Vec<Address>,
    pub(crate) unix_mode: u32,
    pub(crate) backlog: u32,
    /// 0: single-process mode.
    pub(crate) nodes: usize,
    pub(crate) max_nodes: usize,
    pub(crate) master_listen: bool,
    pub(crate) restart: bool,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) backoff_jitter: f64,
    pub(crate) crash_loop: (usize, Duration),
    pub(crate) rolling: bool,
    pub(crate) settle: Duration,
    pub(crate) surge: usize,
    pub(crate) start_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) shutdown_delay: Duration,
    pub(crate) hang_timeout: Option<Duration>,
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
    /// The name of the control socket.
    pub(crate) control: Option<String>,
    /// Where it has to be; `None`: in the runtime directory, where that is possible.
    pub(crate) control_path: Option<PathBuf>,
    /// Where the master serves metrics.
    pub(crate) metrics: Option<Address>,
    pub(crate) metering: Metering,
    /// What `nodes` defaults to.
    pub(crate) cores: usize,
    pub(crate) origins: Origins,
}

impl Settings {
    /// How many servers of its own the library has: control socket and metrics.
    pub(crate) fn endpoints(&self) -> usize {
        let has_control = self.control.is_some() || self.control_path.is_some();
        usize::from(has_control) + usize::from(self.metrics.is_some())
    }
}

impl Options {
    /// Checks every option. `cores` is what `nodes` defaults to.
    pub(crate) fn check(self, cores: usize) -> Result<Settings, Error> {
        let mut addresses = Vec::new();
        if !self.only_binds {
            addresses.push(Address::tcp(&self.host, self.port)?);
        }
        for bind in &self.binds {
            addresses.push(Address::parse("bind", bind)?);
        }
        let max_nodes = within("max_nodes", self.max_nodes, 1..=MOST_NODES)?;
        // An explicit number above `max_nodes` is a contradiction; the default just has to fit.
        let nodes = match self.nodes {
            Some(nodes) => within("nodes", nodes, 0..=max_nodes)?,
            None => cores.clamp(1, max_nodes),
        };
        Ok(Settings {
            addresses,
            unix_mode: within("unix_mode", self.unix_mode, 0..=0o777)?,
            backlog: within("backlog", self.backlog, 1..=i32::MAX as u32)?,
            nodes,
            max_nodes,
            master_listen: self.master_listen,
            restart: self.restart,
            backoff: backoff(self.backoff)?,
            backoff_jitter: share("backoff_jitter", self.backoff_jitter)?,
            crash_loop: (
                within("crash_loop", self.crash_loop.0, 1..=1000)?,
                positive("crash_loop.within", self.crash_loop.1)?,
            ),
            rolling: self.rolling.unwrap_or(true),
            settle: finite("settle", self.settle.unwrap_or_default())?,
            surge: surge(self.surge, self.rolling, max_nodes)?,
            start_timeout: positive("start_timeout", self.start_timeout)?,
            drain_timeout: finite("drain_timeout", self.drain_timeout)?,
            shutdown_delay: finite("shutdown_delay", self.shutdown_delay)?,
            hang_timeout: hang_timeout(self.hang_timeout)?,
            adopt_timeout: finite("adopt_timeout", self.adopt_timeout)?,
            canary: self.canary.map(|canary| trial(canary, self.surge)).transpose()?,
            max_requests: self.max_requests.map(|count| counted("max_requests", count)).transpose()?,
            max_age: self.max_age.map(|time| positive("max_age", time)).transpose()?,
            max_memory: self.max_memory.map(|bytes| counted("max_memory", bytes)).transpose()?,
            recycle_jitter: share("recycle_jitter", self.recycle_jitter)?,
            signals: self.signals,
            peers: self.peers,
            orders_from_nodes: self.orders_from_nodes,
            warn_before_listen: self.warn_before_listen,
            launch: self.launch.check(self.master_listen)?,
            heartbeat: self.heartbeat,
            control: self.control.map(control).transpose()?,
            control_path: self.control_path.map(control_path).transpose()?,
            metering: self.metering.check()?,
            metrics: self.metrics.as_deref().map(metrics).transpose()?,
            cores,
            origins: self.origins,
        })
    }
}

/// Reads a whole number from text and checks its range.
pub(super) fn number(option: &'static str, text: &str, allowed: RangeInclusive<usize>) -> Result<usize, Error> {
    let number = text.parse().ok().filter(|n| allowed.contains(n));
    number.ok_or_else(|| {
        refused(option, text, format!("expected a whole number from {} to {}", allowed.start(), allowed.end()))
    })
}

fn within<N: PartialOrd + Display>(option: &'static str, value: N, allowed: RangeInclusive<N>) -> Result<N, Error> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    Err(refused(option, value, format!("allowed are {} to {}", allowed.start(), allowed.end())))
}

fn counted(option: &'static str, value: u64) -> Result<u64, Error> {
    match value {
        0 => Err(refused(option, value, "expected at least 1; without the option there is no limit")),
        _ => Ok(value),
    }
}

fn share(option: &'static str, value: f64) -> Result<f64, Error> {
    within(option, value, 0.0..=1.0)
}

fn finite(option: &'static str, time: Duration) -> Result<Duration, Error> {
    if time <= LONGEST {
        return Ok(time);
    }
    Err(refused(option, format!("{time:?}"), "expected at most a year"))
}

fn positive(option: &'static str, time: Duration) -> Result<Duration, Error> {
    if time.is_zero() {
        return Err(refused(option, "0", "expected a time above 0"));
    }
    finite(option, time)
}

fn backoff((initial, max): (Duration, Duration)) -> Result<(Duration, Duration), Error> {
    let (initial, max) = (positive("backoff", initial)?, positive("backoff.longest", max)?);
    if initial > max {
        return Err(refused(
            "backoff.longest",
            format!("{max:?}, with {initial:?} for the first delay"),
            "the first delay must not be above the longest",
        ));
    }
    Ok((initial, max))
}

/// Heartbeats come a few times within the timeout, and a node must not spend its time on them.
fn hang_timeout(time: Duration) -> Result<Option<Duration>, Error> {
    if time.is_zero() {
        return Ok(None);
    }
    if time < Duration::from_secs(1) {
        return Err(refused("hang_timeout", format!("{time:?}"), "expected at least 1 s, or 0 for no detection"));
    }
    finite("hang_timeout", time).map(Some)
}

fn surge(nodes: usize, rolling: Option<bool>, max_nodes: usize) -> Result<usize, Error> {
    if nodes != 1 && rolling == Some(false) {
        return Err(refused(
            "surge",
            nodes,
            "only a rolling reload starts its nodes one after the other; set `rolling` too",
        ));
    }
    within("surge", nodes, 0..=max_nodes)
}

fn trial((duration, limits): (Duration, CanaryLimits), surge: usize) -> Result<(Duration, CanaryLimits), Error> {
    if surge == 0 {
        return Err(refused(
            "canary",
            "surge 0",
            "the old node must be there still when the new one fails: set `surge`",
        ));
    }
    counted("canary.min_requests", limits.min_requests)?;
    within("canary.margin", limits.margin, 0.0..=1.0)?;
    Ok((positive("canary", duration)?, limits))
}

fn metrics(address: &str) -> Result<Address, Error> {
    Address::parse("metrics", address)
}

/// The longest name of a control socket, in bytes; its path has to fit into 108 (unix(7)).
const LONGEST_NAME: usize = 64;

fn control(name: String) -> Result<String, Error> {
    if cfg!(not(multi_process)) {
        return Err(refused("control", name, "control sockets need Linux"));
    }
    if is_instance_name(&name) {
        return Ok(name);
    }
    Err(refused("control", name, "expected 1 to 64 letters, digits, `.`, `_` and `-`, the first of which is no dot"))
}

fn control_path(path: PathBuf) -> Result<PathBuf, Error> {
    if cfg!(not(multi_process)) {
        return Err(refused("control_path", path.display(), "control sockets need Linux"));
    }
    match path.file_name() {
        Some(_) => Ok(path),
        None => Err(refused("control_path", path.display(), "expected the path of a file")),
    }
}

/// Whether a program can run under this name: it becomes a file's name.
pub(crate) fn is_instance_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.')
}

pub(super) fn refused(option: &'static str, value: impl Display, allowed: impl Into<String>) -> Error {
    Error::Option { option, value: value.to_string(), allowed: allowed.into() }
}
