//! What answers requests: it gives the orders by the program's own handle.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;

use super::journal::{Follower, Journal};
use super::protocol::{Answer, Description, OrderHelp, PROTOCOL, Refusal, Request};
use super::view::{Instance, Reloaded, Replaced, Setting, Used};
use crate::id::Slot;
use crate::nodes::StatusWatch;
use crate::order::OrderError;
use crate::status::Status;
use crate::{Handle, sys};

pub(super) struct Desk {
    setting: Setting,
    options: Vec<(String, String)>,
    journal: Journal,
    handle: Handle,
}

impl Desk {
    pub(super) fn new(
        name: String,
        options: Vec<(String, String)>,
        journal: Journal,
        handle: Handle,
        started: SystemTime,
    ) -> Desk {
        let addresses = handle.local_addrs().iter().map(ToString::to_string).collect();
        let setting = Setting { name, pid: std::process::id(), addresses, started };
        Desk { setting, options, journal, handle }
    }

    /// Carries out a request that has one answer.
    pub(super) async fn carry_out(&self, request: Request) -> Answer {
        match request {
            Request::Describe => ok(&self.describe()),
            Request::Status => ok(&self.instance(self.handle.status()).await),
            Request::Reload => answer(self.handle.reload().await.map(|report| Reloaded::from(&report))),
            Request::Restart { slot } => answer(self.handle.restart(slot).await.map(|report| Replaced::from(&report))),
            Request::Scale { nodes, by } => self.scale(nodes, by).await,
            Request::Stop { now: false } => answer(self.handle.shutdown().await),
            Request::Stop { now: true } => answer(self.handle.shutdown_now().await),
            Request::Signal { signal, slot } => self.signal(&signal, slot).await,
            Request::Watch | Request::Logs { .. } => Answer::Refused(bad_request("a stream has no single answer")),
        }
    }

    pub(super) fn watch(&self) -> StatusWatch {
        self.handle.watch()
    }

    pub(super) fn follow(&self, slot: Option<Slot>, lines: usize) -> Follower {
        self.journal.follow(slot, lines)
    }

    pub(super) async fn instance(&self, status: Status) -> Instance {
        let pids: Vec<u32> = status.slots.iter().filter_map(|slot| slot.pid).collect();
        let used = usage(pids).await;
        Instance::of(&self.setting, &status, SystemTime::now(), |pid| {
            used.iter().find(|(of, _)| *of == pid).map(|(_, used)| *used).unwrap_or_default()
        })
    }

    async fn scale(&self, nodes: Option<usize>, by: Option<i64>) -> Answer {
        let present = self.handle.status().wanted;
        let wanted = match (nodes, by) {
            (Some(nodes), None) => nodes,
            (None, Some(by)) => {
                let wanted = i64::try_from(present).unwrap_or(i64::MAX).saturating_add(by);
                usize::try_from(wanted).unwrap_or(0)
            }
            _ => return Answer::Refused(bad_request("`scale` needs either `nodes` or `by`")),
        };
        let scaled = self.handle.scale(wanted).await;
        answer(scaled.map(|report| json!({ "from": report.from, "to": report.to })))
    }

    async fn signal(&self, name: &str, slot: Option<Slot>) -> Answer {
        let Some(signal) = sys::signal::number(name) else {
            let why = format!("{name:?} names no signal; expected one of {}", sys::signal::names());
            return Answer::Refused(bad_request(&why));
        };
        answer(self.handle.signal(slot, signal).await.map(|nodes| json!({ "nodes": nodes })))
    }

    fn describe(&self) -> Description {
        Description {
            protocol: PROTOCOL,
            how: HOW.to_owned(),
            name: self.setting.name.clone(),
            pid: self.setting.pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            addresses: self.setting.addresses.clone(),
            options: self.options.clone(),
            orders: ORDERS.map(|(request, does)| OrderHelp { request: request.into(), does: does.into() }).to_vec(),
        }
    }
}

const HOW: &str = "One request a line, as JSON; an order without fields may be its bare name. One answer a line: \
    {\"ok\":…}, {\"refused\":{\"code\",\"why\"}} where nothing was begun, {\"failed\":{\"code\",\"why\"}}, or for `watch` and \
    followed `logs` a stream of {\"event\":…} until you close the connection.";

const ORDERS: [(&str, &str); 9] = [
    (r#"{"order":"describe"}"#, "this"),
    (r#"{"order":"status"}"#, "how the program is, slot by slot"),
    (r#"{"order":"watch"}"#, "a stream: the status, again whenever it changes"),
    (r#"{"order":"reload"}"#, "replaces every node by one of the program as it is on disk now"),
    (r#"{"order":"restart","slot":0}"#, "replaces one slot's node by another of the same program"),
    (r#"{"order":"scale","nodes":4}"#, "changes the number of nodes; `by` in place of `nodes`: so many more or fewer"),
    (r#"{"order":"signal","signal":"USR1","slot":0}"#, "sends the slot's node a signal; without `slot`, every node"),
    (r#"{"order":"logs","slot":0,"lines":100,"follow":true}"#, "the last lines of the log; with `follow` a stream"),
    (r#"{"order":"stop","now":false}"#, "ends the program; with `now` without a drain"),
];

/// What processes use; looking at their memory takes some milliseconds each, in which the runtime must not wait.
async fn usage(pids: Vec<u32>) -> Vec<(u32, Used)> {
    let used = |pid: u32| {
        let usage = sys::usage::usage(pid);
        let cpu = usage.cpu.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        (pid, (cpu, usage.pss))
    };
    // It fails only where the runtime ends.
    tokio::task::spawn_blocking(move || pids.into_iter().map(used).collect()).await.unwrap_or_default()
}

pub(super) fn bad_request(why: &str) -> Refusal {
    Refusal { code: "bad_request".to_owned(), why: why.to_owned() }
}

fn ok(value: &impl Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Failed(Refusal { code: "failed".to_owned(), why: error.to_string() }),
    }
}

fn answer(result: Result<impl Serialize, OrderError>) -> Answer {
    let error = match result {
        Ok(value) => return ok(&value),
        Err(error) => error,
    };
    let (begun, code) = match &error {
        OrderError::Busy { .. } => (false, "busy"),
        OrderError::NotFromNodes => (false, "not_allowed"),
        OrderError::OutOfRange { .. } => (false, "out_of_range"),
        OrderError::NoSuchSlot { .. } => (false, "no_such_slot"),
        OrderError::ShuttingDown => (false, "shutting_down"),
        OrderError::SingleProcess => (false, "single_process"),
        OrderError::Failed { .. } => (true, "failed"),
        OrderError::RolledBack { .. } => (true, "rolled_back"),
        OrderError::MasterGone => (true, "master_gone"),
    };
    let refusal = Refusal { code: code.to_owned(), why: error.to_string() };
    if begun { Answer::Failed(refusal) } else { Answer::Refused(refusal) }
}
