//! What is shown of a program: plain values in JSON's terms, with times in milliseconds.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::Slot;
use multi_node_fleet::status::{CertificateStatus, GatewayStatus, SlotStatus, State, Status, Waiting, ms, unix_ms};

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
    pub waiting: Option<Waiting>,
    /// The certificates of servers with TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// The gateway to other machines, if the program joins any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
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
    /// ([`ReadyBy::as_str`](crate::status::ReadyBy::as_str)).
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
            waiting: status.waiting.clone(),
            certificates: status.certificates.clone(),
            gateway: status.gateway.clone(),
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
