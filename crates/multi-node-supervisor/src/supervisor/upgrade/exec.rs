//! The old program's side: it suspends everything, encodes its state, and runs the new program in its process. If that fails,
//! everything continues as before.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::state::{SentFds, State};
use super::{courier, encoding};
use crate::command::ReloadReport;
use crate::error::describe;
use crate::id::NodeId;
use crate::output::Output;
use crate::process_links::End;
use crate::signals::{Kind, Relay};
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
        self.members.announce_departure(self.config.adopt_timeout);
        let (members, news) = self.rest().await;
        tokio::time::sleep(ONE_TURN).await;
        let early = self.signals.waiting().await;
        // From here to the end nothing is waited for, so that this thread is the one that holds signals back.
        let (error, news) = self.leave((&members, &outputs), news, early, &relay, reload);
        self.members.launcher.go_on_reading(outputs);
        if let Err(error) = self.members.resume(members) {
            crate::log::error!(%error, "cannot go on with a node, which drains by itself");
        }
        self.members.reassure();
        (failure(&error), news)
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

    fn leave(
        &self,
        (members, outputs): (&[SuspendedMember], &[Output]),
        news: News,
        early: Vec<Kind>,
        relay: &Relay,
        reload: ReloadReport,
    ) -> (io::Error, News) {
        let stdin = match sys::exec::stdin() {
            Ok(stdin) => stdin,
            Err(error) => return (error, news),
        };
        let mut fds = SentFds::default();
        let mut state = match encoding::pack(&self.members, self.fleet.save(Instant::now()), &mut fds) {
            Ok(state) => state,
            Err(error) => return (error, news),
        };
        state.members = members.iter().map(|node| encoding::encode_member(node, &mut fds)).collect();
        state.outputs = outputs.iter().map(|output| encoding::encode_output(output, &mut fds)).collect();
        state.signals = relay.ends().map(|(kind, end)| (kind, fds.add(end))).collect();
        state.guard =
            self.members.guard.as_ref().and_then(|guard| Some(encoding::encode_guard(guard.held.as_ref()?, &mut fds)));
        state.stdin = Some(fds.add(stdin.as_fd()));
        (state.news, state.early, state.reload) = (news, early, Some(reload));
        match self.send_and_exec(&mut state, &fds, !relay.is_empty()) {
            Ok(never) => match never {},
            Err(error) => (error, state.news),
        }
    }

    fn send_and_exec(&self, state: &mut State, fds: &SentFds<'_>, hold_signals: bool) -> io::Result<Infallible> {
        // Our end is closed by the exec.
        let (ours, theirs) = sys::socket::pair()?;
        courier::send(ours.as_fd(), state, fds)?;
        self.members.launcher.replace_master(theirs, hold_signals)
    }
}

fn failure(error: &io::Error) -> String {
    format!("the new program could not be started in the master's place: {}", describe(error))
}
