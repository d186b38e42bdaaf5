//! What answers requests: it gives the commands by the program's own handle.

use serde::Serialize;
use serde_json::{Value, json};

use super::observer::Observer;
use super::protocol::{Answer, CommandHelp, Description, Greeting, PROTOCOL, Refusal, Request};
use super::view::{Reloaded, Replaced, Setting};
use crate::command::CommandError;
use crate::id::Slot;
use crate::log_buffer::{Follower, LogBuffer};
use crate::nodes::StatusWatch;
use crate::options::OptionInForce;
use crate::{Handle, sys};

pub(super) struct CommandHandler {
    pub(super) observer: Observer,
    handle: Handle,
    options: Vec<OptionInForce>,
    log_buffer: LogBuffer,
}

impl CommandHandler {
    pub(super) fn new(observer: Observer, options: Vec<OptionInForce>, log_buffer: LogBuffer) -> CommandHandler {
        CommandHandler { handle: observer.handle.clone(), observer, options, log_buffer }
    }

    /// Carries out a request that has one answer.
    pub(super) async fn carry_out(&self, request: Request) -> Answer {
        match request {
            Request::Hello { versions, .. } => ok(&Greeting::to(versions)),
            Request::Describe => ok(&self.describe()),
            Request::Status => ok(&self.observer.now().await),
            Request::Reload { wait: true, now } => answer(self.reload(now).await),
            Request::Reload { wait: false, now } => self.begin_reload(now).await,
            Request::Upgrade => answer(self.handle.upgrade().await.map(|never| -> Value { match never {} })),
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
        self.log_buffer.follow(slot, lines)
    }

    async fn reload(&self, now: bool) -> Result<Reloaded, CommandError> {
        let report = if now { self.handle.reload_now().await } else { self.handle.reload().await };
        report.map(|report| Reloaded::from(&report))
    }

    /// Answers when the reload has been begun or refused, or has to wait; what comes of it stands in the log.
    async fn begin_reload(&self, now: bool) -> Answer {
        tokio::select! {
            biased;
            result = self.reload(now) => answer(result),
            () = self.handle.commands_taken() => match self.observer.now().await.waiting {
                Some(waiting) => ok(&json!({ "waiting": waiting })),
                None => ok(&Value::Null),
            },
        }
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
        let Setting { name, pid, .. } = self.observer.setting.clone();
        Description {
            protocol: PROTOCOL,
            how: HOW.to_owned(),
            name,
            pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            addresses: self.handle.served(),
            leases: self.handle.lease_directory(),
            options: self.options.clone(),
            commands: COMMANDS
                .map(|(request, does)| CommandHelp { request: request.into(), does: does.into() })
                .to_vec(),
        }
    }
}

const HOW: &str = "One request a line, as JSON; a command without fields may be its bare name. One answer a line: \
    {\"ok\":…}, {\"refused\":{\"code\",\"why\"}} where nothing was begun, {\"failed\":{\"code\",\"why\"}}, or for `watch` and \
    followed `logs` a stream of {\"event\":…} until you close the connection.";

pub(super) const COMMANDS: [(&str, &str); 11] = [
    (
        r#"{"command":"hello","versions":{"lowest":1,"highest":1},"capabilities":[]}"#,
        "which versions of this protocol both sides speak; a client that has only one need not ask",
    ),
    (r#"{"command":"describe"}"#, "this"),
    (r#"{"command":"status"}"#, "how the program is, slot by slot"),
    (r#"{"command":"watch"}"#, "a stream: the status, again whenever it changes"),
    (
        r#"{"command":"reload","wait":true,"now":false}"#,
        "replaces every node by one of the program as it is on disk now; with `now` without waiting for older ones to drain",
    ),
    (
        r#"{"command":"upgrade"}"#,
        "replaces the master too, in its process; after a success the connection ends, and the next program answers",
    ),
    (r#"{"command":"restart","slot":0}"#, "replaces one slot's node by another of the same program"),
    (
        r#"{"command":"scale","nodes":4}"#,
        "changes the number of nodes; `by` in place of `nodes`: so many more or fewer",
    ),
    (r#"{"command":"signal","signal":"USR1","slot":0}"#, "sends the slot's node a signal; without `slot`, every node"),
    (r#"{"command":"logs","slot":0,"lines":100,"follow":true}"#, "the last lines of the log; with `follow` a stream"),
    (r#"{"command":"stop","now":false}"#, "ends the program; with `now` without a drain"),
];

pub(super) fn bad_request(why: &str) -> Refusal {
    Refusal { code: "bad_request".to_owned(), why: why.to_owned() }
}

fn ok(value: &impl Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Failed(Refusal { code: "failed".to_owned(), why: error.to_string() }),
    }
}

fn answer(result: Result<impl Serialize, CommandError>) -> Answer {
    let error = match result {
        Ok(value) => return ok(&value),
        Err(error) => error,
    };
    let refusal = Refusal { code: error.code().to_owned(), why: error.to_string() };
    if error.has_begun() { Answer::Failed(refusal) } else { Answer::Refused(refusal) }
}
