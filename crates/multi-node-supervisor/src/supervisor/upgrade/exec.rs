//! The old program's side: it suspends everything, encodes its state, and runs the new program in its process. If that fails,
//! everything continues as before.

use std::convert::Infallible;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::courier;
use super::state::{LEFT_OUT, Rested, State};
use crate::command::ReloadReport;
use crate::control::Fd;
use crate::error::describe;
use crate::id::NodeId;
use crate::process_links::End;
use crate::signals::Relay;
use crate::supervisor::fleet::Event;
use crate::supervisor::member::SuspendedMember;
use crate::supervisor::run::Supervisor;
use crate::supervisor::watch::NodeEvent;
use crate::sys;

/// Within this time the runtime passes on a signal that was handled before.
const ONE_TURN: Duration = Duration::from_millis(1);

/// Unhandled events of nodes.
type News = Vec<(NodeId, NodeEvent)>;

impl Supervisor {
    /// Leaves the process to the next program. If that fails, the old one continues; `Some`: the program has ended.
    pub(in crate::supervisor) async fn try_to_exec(&mut self, reload: ReloadReport) -> Option<End> {
        // A preflight has said so already. Here it lets the compiler leave out what follows.
        if let Some(why) = LEFT_OUT {
            return self.deal(Event::Stayed { why: why.to_owned() }).await;
        }
        let generation = reload.generation;
        let (why, news) = self.exec(reload).await;
        // The nodes are new.
        self.members.run_beside(Some(generation));
        match self.deal(Event::Stayed { why }).await {
            None => self.catch_up(news).await,
            end => end,
        }
    }

    /// Leaves the process to the next program. Returns only if that has failed: the cause, and the events of the meantime.
    async fn exec(&mut self, reload: ReloadReport) -> (String, News) {
        let outputs = match self.members.launcher.stop_reading().await {
            Ok(outputs) => outputs,
            Err(error) => return (failure(&error), News::new()),
        };
        // From here on signals are kept for the next program; those that came before are asked for below.
        let relay = match self.signals.relay() {
            Ok(relay) => relay,
            Err(error) => {
                self.members.launcher.go_on_reading(outputs);
                return (failure(&error), News::new());
            }
        };
        // The next master starts another one. If there is none, this one does.
        self.members.stop_gateway().await;
        self.members.announce_departure(self.config.adopt_timeout);
        let (members, news) = self.rest().await;
        tokio::time::sleep(ONE_TURN).await;
        let early = self.signals.waiting().await;
        let mut rested = Rested { members, news, early, outputs, reload: Some(reload), ..Rested::default() };
        // From here to the end nothing is waited for, so that this thread is the one that holds signals back.
        let Err(error) = self.leave(&mut rested, &relay);
        self.members.launcher.go_on_reading(rested.outputs);
        if let Some(guard) = &mut self.members.guard {
            guard.held = rested.guard;
        }
        if let Err(error) = self.members.resume(rested.members) {
            crate::log::error!(%error, "cannot go on with a node, which drains by itself");
        }
        self.members.reassure();
        (failure(&error), rested.news)
    }

    /// Suspends all channels, and collects earlier messages.
    async fn rest(&mut self) -> (Vec<SuspendedMember>, News) {
        let mut news = News::new();
        let members = {
            let mut rest = std::pin::pin!(self.members.rest());
            loop {
                tokio::select! {
                    members = &mut rest => break members,
                    Some(event) = self.events.recv() => news.push(event),
                }
            }
        };
        while let Ok(event) = self.events.try_recv() {
            news.push(event);
        }
        (members, news)
    }

    /// Runs the next program. If that fails, all that rested is still there.
    fn leave(&mut self, rested: &mut Rested, relay: &Relay) -> io::Result<Infallible> {
        rested.stdin = Some(sys::exec::stdin()?.into());
        let waiting = relay.ends().map(|(kind, end)| Ok((Fd::duplicate(&end)?, kind)));
        rested.signals = waiting.collect::<io::Result<_>>()?;
        rested.guard = self.members.guard.as_mut().and_then(|guard| guard.held.take());
        let mut state = State::of(&self.members, self.fleet.save(Instant::now()))?;
        state.rested = Some(mem::take(rested));
        let result = self.send_and_exec(&state, !relay.is_empty());
        *rested = state.rested.unwrap_or_default();
        result
    }

    fn send_and_exec(&self, state: &State, hold_signals: bool) -> io::Result<Infallible> {
        // Our end is closed by the exec.
        let (ours, theirs) = sys::socket::pair()?;
        courier::send(ours.as_fd(), state)?;
        self.members.launcher.replace_master(theirs, hold_signals)
    }
}

fn failure(error: &io::Error) -> String {
    format!("the new program could not be started in the master's place: {}", describe(error))
}
