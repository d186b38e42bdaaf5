//! Reloads that other machines ask for, where the user has allowed them.
//!
//! The machine that asks does so again and again, by the same ticket: a request or an answer may be lost, also by the reload, which replaces
//! the gateway. So the machine that is asked remembers what came of the last tickets.

mod elsewhere;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use multi_node_bus::{ContentType, Payload, RemoteProcess, Request, RespondError};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::Handle;
use crate::command::{CommandError, ReloadReport};
use crate::control::to_message_pack;

/// By what name masters ask each other.
const NAME: &str = "multi-node/reload";

/// How many tickets are remembered, with what came of each.
const REMEMBERED: usize = 16;

/// How many questions may wait.
const QUESTIONS: usize = 16;

type Outcome = Result<ReloadReport, CommandError>;

/// How far the reload of a ticket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Progress {
    Runs,
    Ended(Outcome),
}

type Question = (String, oneshot::Sender<Progress>);

/// Lets masters of other machines have this one reload.
pub(crate) fn allow(handle: &Handle) -> Result<(), RespondError> {
    let (ask, questions) = mpsc::channel(QUESTIONS);
    tokio::spawn(carry_out(handle.clone(), questions));
    let own = handle.clone();
    handle.respond_raw(NAME, move |request| {
        let (ask, from) = (ask.clone(), own.remote(request.from));
        async move { answer(&ask, from, &request).await }
    })
}

async fn answer(
    ask: &mpsc::Sender<Question>,
    from: Option<RemoteProcess>,
    request: &Request,
) -> Result<Payload, String> {
    // Nodes of this machine and of others would get round `commands_from_nodes`.
    if from.is_none_or(|process| process.number != 0) {
        return Err("only masters of other machines may ask for a reload".to_owned());
    }
    let ticket: String = request.payload.decode().map_err(|error| error.to_string())?;
    let (reply, progress) = oneshot::channel();
    ask.send((ticket, reply)).await.map_err(|_| "the program ends".to_owned())?;
    let progress = progress.await.map_err(|_| "the program ends".to_owned())?;
    let bytes = to_message_pack(&progress).map_err(|error| error.to_string())?;
    Ok(Payload { content: ContentType::MessagePack, bytes })
}

async fn carry_out(handle: Handle, mut questions: mpsc::Receiver<Question>) {
    let mut tickets = Tickets::default();
    let mut running: Option<JoinHandle<Outcome>> = None;
    loop {
        tokio::select! {
            question = questions.recv() => {
                let Some((ticket, reply)) = question else { return };
                let progress = tickets.ask(&ticket).unwrap_or_else(|| {
                    let handle = handle.clone();
                    running = Some(tokio::spawn(async move { handle.reload().await }));
                    Progress::Runs
                });
                // Who has asked may have stopped waiting.
                let _ = reply.send(progress);
            }
            outcome = ended(&mut running) => {
                running = None;
                tickets.end(outcome);
            }
        }
    }
}

async fn ended(running: &mut Option<JoinHandle<Outcome>>) -> Outcome {
    match running {
        // It fails only where the runtime ends.
        Some(task) => task.await.unwrap_or(Err(CommandError::ShuttingDown)),
        None => std::future::pending().await,
    }
}

/// The reload that runs, and what came of those before.
#[derive(Debug, Default)]
struct Tickets {
    running: Option<String>,
    ended: VecDeque<(String, Outcome)>,
}

impl Tickets {
    /// How far this reload is; `None`: it begins now.
    fn ask(&mut self, ticket: &str) -> Option<Progress> {
        if let Some((_, outcome)) = self.ended.iter().find(|(ended, _)| ended == ticket) {
            return Some(Progress::Ended(outcome.clone()));
        }
        match &self.running {
            Some(running) if running == ticket => Some(Progress::Runs),
            Some(_) => Some(Progress::Ended(Err(CommandError::Busy { running: "reload".to_owned() }))),
            None => {
                self.running = Some(ticket.to_owned());
                None
            }
        }
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(ticket) = self.running.take() else { return };
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((ticket, outcome));
    }
}
