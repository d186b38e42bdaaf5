//! Options that have been checked, as the rest of the library uses them.

use std::fmt::Display;
use std::ops::{Deref, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use super::table::Values;
use super::{Address, CanaryLimits, ControlName, Launch, Metering, Options, Origins};
use crate::join::Join;
use crate::serve::Affinity;
use crate::{Error, Heartbeat, environment};

/// The most nodes a program can have; slots are 16-bit numbers, and every pair of nodes costs four descriptors.
pub(super) const MOST_NODES: usize = 4096;

/// No wait is longer: deadlines are sums of times, and must not overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Valid options. Those of the table are read as if they were fields of this.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) addresses: Vec<Address>,
    /// 0: single-process mode.
    pub(crate) nodes: usize,
    pub(crate) values: Values,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) crash_loop: (usize, Duration),
    pub(crate) canary: Option<(Duration, CanaryLimits)>,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) join: Option<Join>,
    pub(crate) launch: Launch,
    pub(crate) heartbeat: Option<Heartbeat>,
    /// The name of the control socket; once that is open, the one that it has.
    pub(crate) control: ControlName,
    /// Where it has to be; `None`: in the runtime directory, where that is possible.
    pub(crate) control_path: Option<PathBuf>,
    /// Where the master serves metrics.
    pub(crate) metrics: Option<Address>,
    pub(crate) metering: Metering,
    /// What `nodes` defaults to.
    pub(crate) cores: usize,
    pub(crate) origins: Origins,
}

impl Deref for Settings {
    type Target = Values;

    fn deref(&self) -> &Values {
        &self.values
    }
}

impl Settings {
    /// How many servers of its own the library has: control socket and metrics.
    pub(crate) fn endpoints(&self) -> usize {
        let has_control = self.control != ControlName::Off || self.control_path.is_some();
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
        let values = self.values.check()?;
        surge(&values)?;
        let max_nodes = values.max_nodes;
        // An explicit number above `max_nodes` is a contradiction; the default just has to fit.
        let nodes = match self.nodes {
            Some(nodes) => within("nodes", nodes, 0..=max_nodes)?,
            None => cores.clamp(1, max_nodes),
        };
        Ok(Settings {
            addresses,
            nodes,
            backoff: backoff(self.backoff)?,
            crash_loop: (
                within("crash_loop", self.crash_loop.0, 1..=1000)?,
                positive("crash_loop.within", self.crash_loop.1)?,
            ),
            canary: self.canary.map(|canary| trial(canary, values.surge)).transpose()?,
            control: self.control.unwrap_or_else(|| own_name(&self.launch)).check()?,
            affinity: self.affinity.map(affinity).transpose()?,
            join: self.join.map(joined).transpose()?,
            launch: self.launch.check(values.master_listen)?,
            heartbeat: self.heartbeat,
            control_path: self.control_path.map(control_path).transpose()?,
            metering: self.metering.check()?,
            metrics: self.metrics.as_deref().map(metrics).transpose()?,
            cores,
            origins: self.origins,
            values,
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

pub(super) fn within<N: PartialOrd + Display>(
    option: &'static str,
    value: N,
    allowed: RangeInclusive<N>,
) -> Result<N, Error> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    Err(refused(option, value, format!("allowed are {} to {}", allowed.start(), allowed.end())))
}

/// Every value is allowed.
#[expect(clippy::unnecessary_wraps, reason = "a check like the others")]
pub(super) fn any<T>(_option: &'static str, value: T) -> Result<T, Error> {
    Ok(value)
}

pub(super) fn counted(option: &'static str, limit: Option<u64>) -> Result<Option<u64>, Error> {
    match limit {
        Some(0) => Err(refused(option, 0, "expected at least 1; without the option there is no limit")),
        limit => Ok(limit),
    }
}

pub(super) fn finite(option: &'static str, time: Duration) -> Result<Duration, Error> {
    if time <= LONGEST {
        return Ok(time);
    }
    Err(refused(option, format!("{time:?}"), "expected at most a year"))
}

pub(super) fn positive(option: &'static str, time: Duration) -> Result<Duration, Error> {
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
pub(super) fn silence(option: &'static str, time: Duration) -> Result<Duration, Error> {
    if !time.is_zero() && time < Duration::from_secs(1) {
        return Err(refused(option, format!("{time:?}"), "expected at least 1 s, or 0 for no detection"));
    }
    finite(option, time)
}

/// What `surge` may be depends on two others.
fn surge(values: &Values) -> Result<(), Error> {
    let nodes = values.surge;
    if nodes != 1 && values.rolling == Some(false) {
        return Err(refused(
            "surge",
            nodes,
            "only a rolling reload starts its nodes one after the other; set `rolling` too",
        ));
    }
    within("surge", nodes, 0..=values.max_nodes).map(drop)
}

fn trial((duration, limits): (Duration, CanaryLimits), surge: usize) -> Result<(Duration, CanaryLimits), Error> {
    if surge == 0 {
        return Err(refused(
            "canary",
            "surge 0",
            "the old node must be there still when the new one fails: set `surge`",
        ));
    }
    counted("canary.min_requests", Some(limits.min_requests))?;
    within("canary.margin", limits.margin, 0.0..=1.0)?;
    Ok((positive("canary", duration)?, limits))
}

fn affinity(affinity: Affinity) -> Result<Affinity, Error> {
    match affinity.check() {
        Ok(()) => Ok(affinity),
        Err(allowed) => Err(refused("affinity", &affinity, allowed)),
    }
}

fn joined(join: Join) -> Result<Join, Error> {
    match join.check() {
        Ok(()) => Ok(join),
        Err(error) => Err(refused("join", &join, error.to_string())),
    }
}

fn metrics(address: &str) -> Result<Address, Error> {
    Address::parse("metrics", address)
}

/// The name of the program's file. `listen` drops it where the process serves alone.
fn own_name(launch: &Launch) -> ControlName {
    let program = launch.program.clone().or_else(environment::program);
    program.map_or(ControlName::Off, ControlName::of_file)
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

pub(super) fn refused(option: &'static str, value: impl Display, allowed: impl Into<String>) -> Error {
    Error::Option { option, value: value.to_string(), allowed: allowed.into() }
}
