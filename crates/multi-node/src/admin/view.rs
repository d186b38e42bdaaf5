//! What is shown of a program: plain values in JSON's terms, with times in milliseconds.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::command::{CanaryReport, NotApplied, ReloadReport, Replacement, RequestCounts};
use crate::id::Slot;
use crate::status::{CertificateStatus, SlotStatus, State, Status, Waiting, ms, unix_ms};

/// A running program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Instance {
    /// The name of its control socket; empty where it has none.
    pub name: String,
    /// The master's process.
    pub pid: u32,
    /// The version of the library.
    pub version: String,
    /// When the master began: milliseconds of Unix time.
    pub started_ms: u64,
    /// When this was true: milliseconds of Unix time.
    pub now_ms: u64,
    /// What is served, as it was bound; what was bound since nodes have asked for it comes last.
    pub addresses: Vec<String>,
    /// Whether every slot has a node that serves.
    pub ready: bool,
    /// How many slots are meant to serve.
    pub wanted: usize,
    /// One entry for each process that fills or filled a slot, by slot; a slot that is being reloaded has two, the newer
    /// one first.
    pub slots: Vec<SlotInfo>,
    /// The reload or upgrade that was ordered and has not begun.
    #[serde(default)]
    pub waiting: Option<WaitingInfo>,
    /// The certificates of servers with TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateInfo>,
}

/// A certificate that clients get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertificateInfo {
    /// Which of the program's servers has it, from 0.
    pub server: usize,
    /// The file that it was read from.
    pub file: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it expires: milliseconds of Unix time.
    pub expires_ms: i64,
    /// What is wrong with what the files have now; what was read before stays in force.
    pub error: Option<String>,
}

/// A command that waits for its turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitingInfo {
    /// The command: `reload` or `upgrade`.
    pub command: String,
    /// The draining nodes that it waits for; empty while it waits for another command.
    pub nodes: Vec<String>,
    /// When those have ended at the latest: milliseconds of Unix time.
    pub until_ms: Option<u64>,
}

/// One slot of an [`Instance`]. What is not known is `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SlotInfo {
    /// The slot.
    pub slot: Slot,
    /// Who fills it, or filled it last: `node-3`.
    pub id: Option<String>,
    /// Its process, while it lives.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: State,
    /// For how long it has been in that state, in milliseconds.
    pub for_ms: u64,
    /// The generation it was started for.
    pub generation: u32,
    /// How often the slot's node ended unasked.
    pub restarts: u64,
    /// How the slot's last node ended: `exit code 1`, `SIGKILL`.
    pub last_exit: Option<String>,
    /// Connections open now.
    pub connections: Option<u64>,
    /// Requests begun, by all processes that filled the slot.
    pub requests: Option<u64>,
    /// Requests begun and not fully answered.
    pub in_flight: Option<u64>,
    /// Messages between its processes and others that were skipped, since their receiver does not know their kind.
    #[serde(default)]
    pub skipped_messages: Option<u64>,
    /// For a program that does not link this crate: the sign that made it ready, in one word
    /// ([`ReadyBy::as_str`](crate::ReadyBy::as_str)).
    #[serde(default)]
    pub ready_by: Option<String>,
    /// The last status text of such a program (`STATUS=`, sd_notify(3)).
    #[serde(default)]
    pub says: Option<String>,
    /// Of a Node.js program whether it has the preload, by which its connections move in a drain: `on`, or `off: ` and why.
    #[serde(default)]
    pub preload: Option<String>,
    /// Whether it waits until what it writes is taken, where its master collects that.
    #[serde(default)]
    pub output_held: bool,
    /// Processor time of this process and its descendants, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Memory of this process and its descendants, in bytes, with what they share counted in proportion.
    pub pss_bytes: Option<u64>,
}

/// What an observer knows beside the status.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) started: SystemTime,
}

/// The resources that one process uses, and whether its output has to wait for the reader.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) cpu_ms: Option<u64>,
    pub(crate) pss_bytes: Option<u64>,
    pub(crate) output_held: bool,
}

impl Instance {
    pub(crate) fn of(
        setting: &Setting,
        addresses: Vec<String>,
        status: &Status,
        now: SystemTime,
        used: impl Fn(&SlotStatus) -> Used,
    ) -> Instance {
        Instance {
            name: setting.name.clone(),
            pid: setting.pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: unix_ms(setting.started),
            now_ms: unix_ms(now),
            addresses,
            ready: status.is_ready(),
            wanted: status.wanted,
            slots: status.slots.iter().map(|slot| SlotInfo::of(slot, now, &used)).collect(),
            waiting: status.waiting.as_ref().map(WaitingInfo::from),
            certificates: status.certificates.iter().map(CertificateInfo::from).collect(),
        }
    }
}

impl From<&CertificateStatus> for CertificateInfo {
    fn from(certificate: &CertificateStatus) -> CertificateInfo {
        let CertificateStatus { server, file, names, expires, error, .. } = certificate.clone();
        CertificateInfo { server, file, names, expires_ms: expires.saturating_mul(1000), error }
    }
}

impl From<&Waiting> for WaitingInfo {
    fn from(waiting: &Waiting) -> WaitingInfo {
        WaitingInfo {
            command: waiting.command.clone(),
            nodes: waiting.nodes.iter().map(ToString::to_string).collect(),
            until_ms: waiting.until.map(unix_ms),
        }
    }
}

impl SlotInfo {
    fn of(slot: &SlotStatus, now: SystemTime, used: impl Fn(&SlotStatus) -> Used) -> SlotInfo {
        let Used { cpu_ms, pss_bytes, output_held } = used(slot);
        let known = |count: u64| slot.program.is_none().then_some(count);
        let program = slot.program.as_ref();
        SlotInfo {
            slot: slot.slot,
            id: slot.id.map(|id| id.to_string()),
            pid: slot.pid,
            state: slot.state,
            for_ms: ms(now.duration_since(slot.since).unwrap_or_default()),
            generation: slot.generation.number(),
            restarts: slot.restarts,
            last_exit: slot.last_exit.map(|exit| exit.to_string()),
            connections: known(slot.connections),
            requests: known(slot.requests),
            in_flight: known(slot.in_flight),
            skipped_messages: known(slot.skipped_messages),
            ready_by: program.and_then(|program| Some(program.ready_by?.as_str().to_owned())),
            says: program.and_then(|program| program.said.clone()),
            preload: program.and_then(|program| program.preload.clone()),
            output_held,
            cpu_ms,
            pss_bytes,
        }
    }
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// The generation that serves now.
    pub generation: u32,
    /// From the command to the end of the last drain, in milliseconds.
    pub took_ms: u64,
    /// What happened in each slot, in the order it happened.
    pub slots: Vec<Replaced>,
    /// How the canary stood its trial; `null` where there was none.
    #[serde(default)]
    pub canary: Option<CanaryResult>,
    /// Settings that have changed, and that a reload does not apply.
    #[serde(default)]
    pub not_applied: Vec<NotApplied>,
    /// What is wrong with the files of TLS certificates: the certificates before stay in force.
    #[serde(default)]
    pub certificate_errors: Vec<String>,
}

/// How the first new node of a reload has stood its trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CanaryResult {
    /// The new node.
    pub node: String,
    /// How long it was watched, in milliseconds.
    pub watched_ms: u64,
    /// What it answered.
    pub new: RequestCounts,
    /// What the old nodes answered, as far as it was compared.
    pub old: RequestCounts,
    /// Whether answers were judged, and not only that it lived and was not silent.
    pub by_answers: bool,
    /// The same as a sentence.
    pub verdict: String,
}

/// How one slot's node was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Replaced {
    /// The slot.
    pub slot: Slot,
    /// Who served before; `null` where the slot had no node.
    pub old: Option<String>,
    /// Who serves now.
    pub new: String,
    /// From the new node's start until it was ready, in milliseconds.
    pub to_ready_ms: u64,
    /// From the command to drain until the old node's end, in milliseconds.
    pub drain_ms: u64,
    /// Whether the old node was killed before it had drained.
    pub killed: bool,
    /// Connections that were open when the drain began and closed normally during it; `null` if the old node could not report
    /// this.
    pub finished: Option<u64>,
    /// Connections that other nodes have taken over; `null` as above.
    pub handed_off: Option<u64>,
    /// Idle connections with TLS that stayed open for one more request; they count as finished too. `null` as above.
    #[serde(default)]
    pub kept: Option<u64>,
    /// Kept connections that sent no request, and were closed shortly before the old node's time was over; `null` as above.
    #[serde(default)]
    pub kept_closed: Option<u64>,
    /// Connections that were open still when the old node's time was over, or when it died; `null` where the slot had no
    /// node, and for a program that does not count them, since it does not link this library.
    pub aborted: Option<u64>,
    /// HTTP requests that the old node had begun and not fully answered then; `null` as `aborted`.
    pub requests_failed: Option<u64>,
}

impl From<&ReloadReport> for Reloaded {
    fn from(report: &ReloadReport) -> Reloaded {
        Reloaded {
            generation: report.generation.number(),
            took_ms: ms(report.took),
            slots: report.slots.iter().map(Replaced::from).collect(),
            canary: report.canary.as_ref().map(CanaryResult::from),
            not_applied: report.not_applied.clone(),
            certificate_errors: report.certificate_errors.clone(),
        }
    }
}

impl From<&CanaryReport> for CanaryResult {
    fn from(report: &CanaryReport) -> CanaryResult {
        CanaryResult {
            node: report.node.to_string(),
            watched_ms: ms(report.watched),
            new: report.new,
            old: report.old,
            by_answers: report.by_answers,
            verdict: report.to_string(),
        }
    }
}

impl From<&Replacement> for Replaced {
    fn from(slot: &Replacement) -> Replaced {
        Replaced {
            slot: slot.slot,
            old: slot.old.map(|id| id.to_string()),
            new: slot.new.to_string(),
            to_ready_ms: ms(slot.to_ready),
            drain_ms: ms(slot.drain),
            killed: slot.killed,
            finished: slot.finished,
            handed_off: slot.handed_off,
            kept: slot.kept,
            kept_closed: slot.kept_closed,
            aborted: slot.aborted,
            requests_failed: slot.requests_failed,
        }
    }
}
