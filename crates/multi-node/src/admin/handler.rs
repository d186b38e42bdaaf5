//! What answers requests: it gives the commands by the program's own handle.

use serde::Serialize;
use serde_json::{Value, json};

use super::command::{NotDone, carry_out};
use super::machines::machines;
use super::observer::Observer;
use super::protocol::{Answer, COMMANDS, CommandHelp, Description, Greeting, PROTOCOL, Refusal, Request, bad_request};
use super::view::Setting;
use crate::Handle;
use crate::id::Slot;
use crate::log_buffer::{Follower, LogBuffer};
use crate::nodes::StatusWatch;
use crate::options::OptionInForce;

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
            Request::Machines => machines(&self.handle).map_or_else(Answer::Refused, |machines| ok(&machines)),
            Request::Reload { wait: false, now } => self.begin_reload(now).await,
            Request::ReloadMachine { machine } => self.reload_machine(&machine).await,
            Request::Watch | Request::Logs { .. } => Answer::Refused(bad_request("a stream has no single answer")),
            request => answer(carry_out(&self.handle, &request).await),
        }
    }

    pub(super) fn watch(&self) -> StatusWatch {
        self.handle.watch()
    }

    pub(super) fn follow(&self, slot: Option<Slot>, lines: usize) -> Follower {
        self.log_buffer.follow(slot, lines)
    }

    /// Answers when the reload has been begun or refused, or has to wait; what comes of it stands in the log.
    async fn begin_reload(&self, now: bool) -> Answer {
        let reload = Request::Reload { wait: true, now };
        tokio::select! {
            biased;
            result = carry_out(&self.handle, &reload) => answer(result),
            () = self.handle.commands_taken() => match self.observer.now().await.waiting {
                Some(waiting) => ok(&json!({ "waiting": waiting })),
                None => ok(&Value::Null),
            },
        }
    }

    async fn reload_machine(&self, machine: &str) -> Answer {
        let error = match self.handle.reload_elsewhere(machine).await {
            Ok(report) => return ok(&report),
            Err(error) => error,
        };
        let refusal = Refusal { code: error.code().to_owned(), why: error.to_string() };
        if error.has_begun() { Answer::Failed(refusal) } else { Answer::Refused(refusal) }
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

fn ok(value: &impl Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Failed(Refusal { code: "failed".to_owned(), why: error.to_string() }),
    }
}

fn answer(result: Result<Value, NotDone>) -> Answer {
    let error = match result {
        Ok(value) => return Answer::Ok(value),
        Err(NotDone::Request(refusal)) => return Answer::Refused(refusal),
        Err(NotDone::Command(error)) => error,
    };
    let refusal = Refusal { code: error.code().to_owned(), why: error.to_string() };
    if error.has_begun() { Answer::Failed(refusal) } else { Answer::Refused(refusal) }
}
