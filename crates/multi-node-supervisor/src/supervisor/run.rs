//! The only loop: wait for something → tell the rules → do what they say → let everyone see.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::event_log;
use super::fleet::{Action, Event, Fatal, Fleet, Level, LogEvent, Ticket};
use super::gateway;
use super::members::Members;
use super::upgrade::{self, InheritedLoop, Preflight};
use super::watch::NodeEvent;
use crate::command::{Command, CommandError, ReloadReport, Report};
use crate::control::ToNode;
use crate::error::describe;
use crate::exits::Exits;
use crate::family::Stop;
use crate::id::{Generation, NodeId};
use crate::leases::Claim;
use crate::log_buffer::LogBuffer;
use crate::mesh::Wish;
use crate::metrics_sink::MetricsSink;
use crate::process_links::{CommandRequest, End};
use crate::serve::Drain;
use crate::signals::MasterSignals;
use crate::systemd::{Notifier, Phase};

/// How long before the drain deadline a node cuts what is left.
const CUT: Duration = Duration::from_millis(500);

/// What the log calls the source of what happened to nodes.
pub const TARGET: &str = "multi_node";

/// At most this number of events is handled in a row; then everything else gets its turn.
const NEWS_IN_A_ROW: usize = 256;

/// The master: the rules, and those that stand for the nodes that the rules speak of.
pub(crate) struct Supervisor {
    pub(super) fleet: Fleet,
    pub(super) members: Members,
    pub(super) events: mpsc::Receiver<(NodeId, NodeEvent)>,
    asks: mpsc::Receiver<CommandRequest>,
    pub(super) config: LoopConfig,
    pub(super) signals: MasterSignals,
    /// This process's own, for what it serves itself.
    pub(super) own_drain: Drain,
    /// The trial of a new program, while there is one.
    preflight: Option<Preflight>,
    /// What another master has left, until it is taken over.
    inherited: Option<InheritedLoop>,
    /// The next program takes over now, since its nodes serve.
    departing: Option<ReloadReport>,
    notifier: Notifier,
    /// The log, for its followers.
    pub(super) log_buffer: LogBuffer,
    /// What nodes measure.
    pub(super) metrics_sink: MetricsSink,
    /// Where the exits of nodes are reported.
    pub(super) exits: Exits,
    replies: BTreeMap<Ticket, Reply>,
    tickets: u64,
    /// The successors that draining nodes know of; `None`: no successor will come any more.
    pub(super) candidates: Option<Vec<NodeId>>,
    /// The number of events handled since everything else had its turn.
    events_in_a_row: usize,
    /// The time of day at one moment, from which all others are counted, so that states keep their time.
    epoch: (Instant, SystemTime),
}

/// What of the options concerns the loop.
pub(crate) struct LoopConfig {
    pub(crate) commands_from_nodes: bool,
    /// How long a new program may take to reach `listen`.
    pub(crate) start_timeout: Duration,
    /// How long nodes wait for the next master.
    pub(crate) adopt_timeout: Duration,
    /// Whether the master serves too. Another program could not continue that.
    pub(crate) master_listen: bool,
}

/// Who waits for the answer to a command.
pub(super) enum Reply {
    Caller(oneshot::Sender<Result<Report, CommandError>>),
    Node {
        id: NodeId,
        ticket: u64,
    },
    /// A signal, whose sender reads the log.
    Log,
}

impl Supervisor {
    pub(crate) fn new(
        fleet: Fleet,
        members: Members,
        events: mpsc::Receiver<(NodeId, NodeEvent)>,
        (asks, config): (mpsc::Receiver<CommandRequest>, LoopConfig),
        (signals, own_drain): (MasterSignals, Drain),
        (log_buffer, metrics_sink, exits, inherited): (LogBuffer, MetricsSink, Exits, Option<InheritedLoop>),
    ) -> Supervisor {
        let epoch = (Instant::now(), SystemTime::now());
        let replies = BTreeMap::new();
        let notifier = Notifier::new(if inherited.is_some() { Phase::Reloading } else { Phase::Running });
        Supervisor {
            fleet,
            members,
            events,
            asks,
            config,
            signals,
            own_drain,
            preflight: None,
            inherited,
            departing: None,
            notifier,
            log_buffer,
            metrics_sink,
            exits,
            replies,
            tickets: 0,
            candidates: Some(Vec::new()),
            events_in_a_row: 0,
            epoch,
        }
    }

    /// Supervises until no node is left and none will be started.
    pub(crate) async fn run(mut self) -> End {
        let mut end = match self.inherited.take() {
            Some(inherited) => self.take_over(inherited).await,
            None => self.deal(Event::Start).await,
        };
        while end.is_none() {
            end = match self.next().await {
                Some(event) => self.deal(event).await,
                None => self.join().await,
            };
            // The next program does not learn which pairs wait.
            if let Some(reload) = self.departing.take_if(|_| self.members.pairs.is_empty()) {
                end = end.or(self.try_to_exec(reload).await);
            }
        }
        self.members.peers.close();
        self.members.template.workload.leave().await;
        self.members.stop_gateway().await;
        if let Some(guard) = self.members.guard.take() {
            guard.leave().await;
        }
        end.unwrap_or(End::Done)
    }

    /// Waits for what happens next; `None` where it was dealt with on the spot.
    async fn next(&mut self) -> Option<Event> {
        let deadline = self.fleet.next_deadline();
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What nodes have said comes before any judgement of their silence, but one that talks without end must not keep
            // everybody else waiting.
            biased;
            Some((id, event)) = self.events.recv(), if self.events_in_a_row < NEWS_IN_A_ROW => {
                self.events_in_a_row += 1;
                self.members.prepare(id, &event).await;
                self.hear(id, event)
            }
            Some(ask) = self.asks.recv() => Some(self.asked(ask.command, Reply::Caller(ask.reply))),
            signal = self.signals.next() => {
                crate::log::info!(target: TARGET, "received {signal}");
                Some(self.asked(signal.command(), Reply::Log))
            }
            (generation, result) = upgrade::preflighted(&mut self.preflight) => {
                self.preflight = None;
                Some(Event::Rehearsed { generation, result })
            }
            wish = self.members.peers.wish() => match wish {
                Wish::Leave => Some(self.asked(Command::Shutdown { now: false }, Reply::Log)),
                Wish::Peers => {
                    self.members.want_peers(NodeId::MASTER);
                    None
                }
                Wish::Rejoin(peer) => {
                    self.rejoin(NodeId::MASTER, peer);
                    None
                }
            },
            (peer, broken_epoch) = self.members.links.wanted() => {
                self.members.open_link(NodeId::MASTER, peer, broken_epoch);
                None
            }
            event = gateway::next(&mut self.members.gateway) => {
                self.members.gateway_did(event);
                self.publish();
                None
            }
            () = self.members.template.tls.changed() => {
                self.members.pass_tls();
                self.publish();
                None
            }
            () = self.notifier.due() => {
                self.notifier.is_alive();
                None
            }
            () = self.members.pairs.due() => None,
            () = due => deadline.map(|deadline| Event::overdue(deadline.elapsed())),
            () = std::future::ready(()), if self.events_in_a_row >= NEWS_IN_A_ROW => {
                self.events_in_a_row = 0;
                None
            }
        }
    }

    pub(super) fn asked(&mut self, command: Command, reply: Reply) -> Event {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.replies.insert(ticket, reply);
        Event::Asked { ticket, command }
    }

    /// Passes an event to the rules and carries out their actions, until there are no more. `Some`: the program ends.
    pub(super) fn handle(&mut self, event: Event) -> Option<End> {
        let mut end = None;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let ready = if let Event::Ready { id } = event { Some(id) } else { None };
            let actions = self.fleet.on(Instant::now(), event);
            if let Some(id) = ready.filter(|id| self.fleet.serves(*id)) {
                self.members.name_serving(id);
            }
            for action in actions {
                match action {
                    Action::Finish(result) => end = Some(result.map_or_else(End::NoNodes, |()| End::Done)),
                    other => events.extend(self.perform(other)),
                }
            }
        }
        self.renew_successors();
        self.publish();
        end
    }

    /// Lets everyone see how the fleet looks.
    fn publish(&mut self) {
        let now = Instant::now();
        let status = self.fleet.snapshot(now, self.epoch.1 + now.duration_since(self.epoch.0));
        self.notifier.tell(self.phase(), &status);
        let fleet = &self.fleet;
        self.members.publish(status, |generation| fleet.starts(generation));
    }

    fn phase(&self) -> Phase {
        match (self.fleet.is_stopping(), self.fleet.is_reloading()) {
            (true, _) => Phase::Stopping,
            (_, true) => Phase::Reloading,
            _ => Phase::Running,
        }
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Resolve { generation } => {
                let result = self.members.resolve(generation);
                self.warn_of_not_applied(generation);
                return Some(Event::Resolved { generation, result });
            }
            Action::Preflight { generation } => match self.preflight(generation) {
                Ok(preflight) => self.preflight = Some(preflight),
                Err(why) => return Some(Event::Rehearsed { generation, result: Err(why) }),
            },
            Action::Exec { reload } => self.departing = Some(reload),
            Action::Spawn { id, slot, generation } => {
                let result = self.members.spawn(id, slot, generation).map_err(|error| describe(&error));
                return Some(Event::Spawned { id, result });
            }
            Action::Join { id, with } => self.members.join(id, &with),
            Action::Pause { id } => self.members.tell_newer(id, ToNode::Pause),
            Action::Resume { id } => self.members.tell_newer(id, ToNode::Resume),
            Action::Settled { id } => self.members.settled(id),
            Action::Look { nodes, weigh } => {
                if weigh {
                    self.members.weigh(&nodes);
                }
                return Some(Event::Counted { tallies: self.members.count(&nodes) });
            }
            Action::Examine { id } => self.members.get(id)?.examine(),
            Action::Drain { id, within } => self.drain(id, cut_after(within)),
            Action::Signal { id, signal } => {
                let member = self.members.get(id)?;
                if signal == Fatal::Kill {
                    member.stop(Stop::Now);
                }
                let (pid, process) = member.main();
                if let Err(error) = self.members.launcher.launch.end(process, signal) {
                    crate::log::error!(%id, pid, %error, "cannot signal the node");
                }
            }
            Action::Forward { id, signal } => {
                let (pid, process) = self.members.get(id)?.main();
                if let Err(error) = self.members.launcher.launch.forward(process, signal) {
                    crate::log::error!(%id, pid, signal, %error, "cannot signal the node");
                }
            }
            Action::GrantLease(Claim { id, ticket }) => self.members.tell(id, ToNode::LeaseGranted { ticket }),
            Action::Forget { id } => self.members.forget(id),
            Action::Answer { ticket, result } => self.answer(ticket, result),
            Action::Tell(event) => self.log(&event),
            // The loop ends by it.
            Action::Finish(_) => {}
        }
        None
    }

    /// Names the settings that have changed, and stay as they are.
    fn warn_of_not_applied(&self, generation: Generation) {
        for setting in self.members.not_applied(generation) {
            let text = format!("a reload does not apply {setting}");
            self.log(&LogEvent { level: Level::Warn, slot: None, id: None, text });
        }
    }

    fn answer(&mut self, ticket: Ticket, mut result: Result<Report, CommandError>) {
        if let Ok(Report::Reload(report)) = &mut result {
            report.not_applied = self.members.not_applied(report.generation);
            report.certificate_errors = self.members.certificate_errors();
            self.members.run_beside(Some(report.generation));
        }
        match self.replies.remove(&ticket) {
            // The client may have stopped waiting.
            Some(Reply::Caller(caller)) => drop(caller.send(result)),
            Some(Reply::Node { id, ticket }) => self.members.tell(id, ToNode::Answer { ticket, result }),
            Some(Reply::Log) => {
                if let Err(error) = result {
                    crate::log::warn!(target: TARGET, "the command was not carried out: {error}");
                }
            }
            None => {}
        }
    }

    fn log(&self, event: &LogEvent) {
        let LogEvent { level, slot, id, text } = event;
        let pid = id.and_then(|id| self.members.get(id)).map(|member| member.info.pid());
        self.log_buffer.write(|| event_log::line(event, SystemTime::now()));
        let (slot, id) = (slot.map(tracing::field::display), id.map(tracing::field::display));
        match level {
            Level::Info => crate::log::info!(target: TARGET, slot, id, pid, "{text}"),
            Level::Warn => crate::log::warn!(target: TARGET, slot, id, pid, "{text}"),
            Level::Error => crate::log::error!(target: TARGET, slot, id, pid, "{text}"),
        }
    }
}

/// When a node cuts what is left, of the time after which it is killed.
pub(super) fn cut_after(drain_timeout: Duration) -> Duration {
    drain_timeout - CUT.min(drain_timeout / 4)
}
