//! A reload of another machine, as the machine sees it that asks.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use multi_node_bus::{Payload, RemoteProcess, RequestError};
use tokio::time::{Instant, sleep};

use super::{NAME, Progress};
use crate::Handle;
use crate::command::{CommandError, ReloadReport};
use crate::control::from_message_pack;
use crate::id::NodeId;

/// How often the other machine is asked how far it is, and how long one answer may take.
const ASK_EVERY: Duration = Duration::from_millis(300);
const ANSWER: Duration = Duration::from_secs(3);

/// A machine that does not answer for so long is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no report of another machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Elsewhere {
    #[error("there is no machine {0:?} here; `multi-node status --all-machines` shows them")]
    Unknown(String),
    #[error("{0} is unreachable, and was not asked to reload")]
    Unreachable(String),
    #[error(
        "{0} takes no commands of other machines; `Join::remote_commands(true)`, or `run --remote-commands`, lets it"
    )]
    NotAllowed(String),
    #[error("{0} does not answer ({1}); whether it has reloaded is not known")]
    Silent(String, RequestError),
    #[error("{0}")]
    Failed(CommandError),
}

impl Elsewhere {
    /// The same for programs, as a word.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Elsewhere::Unknown(_) => "no_such_machine",
            Elsewhere::Unreachable(_) => "unreachable",
            Elsewhere::NotAllowed(_) => "not_allowed",
            Elsewhere::Silent(..) => "silent",
            Elsewhere::Failed(error) => error.code(),
        }
    }

    /// Whether the other machine may have begun.
    pub(crate) fn has_begun(&self) -> bool {
        match self {
            Elsewhere::Silent(..) => true,
            Elsewhere::Failed(error) => error.has_begun(),
            _ => false,
        }
    }
}

impl Handle {
    /// Has another machine reload, and waits for its verdict.
    pub(crate) async fn reload_elsewhere(&self, machine: &str) -> Result<ReloadReport, Elsewhere> {
        let master = self.master_of(machine)?;
        let ticket = format!("{:x}", RandomState::new().hash_one("ticket"));
        let question = Payload::message_pack(&ticket).expect("a text can be encoded");
        let mut heard = Instant::now();
        loop {
            let answer = self.raw_request(NAME, question.clone()).to(master).timeout(ANSWER).await;
            let machine = || machine.to_owned();
            match answer.and_then(|answer| progress(&answer)) {
                Ok(Progress::Ended(outcome)) => return outcome.map_err(Elsewhere::Failed),
                Ok(Progress::Runs) => heard = Instant::now(),
                Err(RequestError::NoHandler { .. }) => return Err(Elsewhere::NotAllowed(machine())),
                Err(error) if heard.elapsed() > PATIENCE => return Err(Elsewhere::Silent(machine(), error)),
                // The reload replaces the gateway there.
                Err(_) => {}
            }
            sleep(ASK_EVERY).await;
        }
    }

    fn master_of(&self, name: &str) -> Result<NodeId, Elsewhere> {
        let machines = self.machines();
        let named: Vec<_> = machines.iter().filter(|machine| machine.name == name).collect();
        let machine = match named.iter().find(|machine| machine.reachable) {
            Some(machine) => machine,
            None if named.is_empty() => return Err(Elsewhere::Unknown(name.to_owned())),
            None => return Err(Elsewhere::Unreachable(name.to_owned())),
        };
        Ok(RemoteProcess { machine: machine.name.clone(), epoch: machine.epoch, number: 0, slot: None }.id())
    }
}

/// As masters encode it. `Payload::decode` would carry a way to read reports from each content type.
fn progress(answer: &Payload) -> Result<Progress, RequestError> {
    from_message_pack(&answer.bytes).map_err(|error| RequestError::Decode(error.to_string()))
}
