//! The task that samples the program on request, and remembers samples and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::page::Page;
use super::slot_counters::SlotCounters;
use crate::admin::{Instance, Observer};
use crate::id::{NodeId, Slot};
use crate::metrics::{Aggregator, DeltaTracker, Exposition, GaugeAggregation, Refused, Series};
use crate::process_links::Totals;

/// How many may wait for a look.
const WAITING: usize = 16;

/// How often counts of ended nodes are collected if no request comes.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Asks for looks; clones ask the same task, which ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Collector(mpsc::Sender<oneshot::Sender<String>>);

impl Collector {
    pub(super) fn start(
        observer: Observer,
        metrics_sink: mpsc::Receiver<(NodeId, Vec<Series>)>,
        rules: Vec<(String, GaugeAggregation)>,
    ) -> Collector {
        let (asks, asked) = mpsc::channel(WAITING);
        let books = Books {
            observer,
            slot_counters: SlotCounters::default(),
            aggregator: Aggregator::new(rules),
            own: DeltaTracker::of_library(),
            refused: Refused::default(),
        };
        tokio::spawn(books.keep(asked, metrics_sink));
        Collector(asks)
    }

    /// The page `/metrics` as it is now; `None` where the program is ending. Cancel-safe.
    pub(super) async fn page(&self) -> Option<String> {
        let (reply, page) = oneshot::channel();
        self.0.send(reply).await.ok()?;
        page.await.ok()
    }
}

/// Everything that is remembered.
struct Books {
    observer: Observer,
    slot_counters: SlotCounters,
    aggregator: Aggregator,
    /// Of what the master counts of its own messages.
    own: DeltaTracker,
    refused: Refused,
}

impl Books {
    async fn keep(
        mut self,
        mut asked: mpsc::Receiver<oneshot::Sender<String>>,
        mut metrics_sink: mpsc::Receiver<(NodeId, Vec<Series>)>,
    ) {
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some((id, series)) = metrics_sink.recv() => self.absorb(id, series),
                reply = asked.recv() => match reply {
                    // The client may have stopped waiting.
                    Some(reply) => drop(reply.send(self.page().await)),
                    None => return,
                },
                _ = tidy.tick() => self.tidy(),
            }
        }
    }

    fn absorb(&mut self, id: NodeId, series: Vec<Series>) {
        for (name, why) in self.aggregator.absorb(id, series) {
            self.refused.note(&name, &why);
        }
        self.refused.take_lines().iter().for_each(|line| crate::log::warn!(target: "multi_node", "{line}"));
    }

    fn tidy(&mut self) {
        let alive: BTreeSet<NodeId> = self
            .observer
            .handle
            .status()
            .slots
            .iter()
            .filter(|slot| slot.pid.is_some())
            .filter_map(|slot| slot.id)
            .chain([NodeId::MASTER])
            .collect();
        self.aggregator.keep(&alive);
    }

    async fn page(&mut self) -> String {
        self.tidy();
        let own = self.own.news(self.observer.handle.own_metrics(), true);
        self.absorb(NodeId::MASTER, own);
        let instance = self.observer.now().await;
        self.slot_counters.see(&instance);
        let totals = known(self.observer.handle.totals(), &instance);
        let mut text = Exposition::default();
        let limit_overflows = self.observer.handle.limit_overflows();
        Page { instance: &instance, slot_counters: &self.slot_counters, totals: &totals, limit_overflows }
            .write(&mut text);
        self.aggregator.write(&mut text);
        text.into_text()
    }
}

/// The counts of those slots that do count. One that is there no more has counted if there is anything.
fn known(mut totals: BTreeMap<Slot, Totals>, instance: &Instance) -> BTreeMap<Slot, Totals> {
    totals.retain(|slot, totals| match instance.slots.iter().find(|info| info.slot == *slot) {
        Some(info) => info.requests.is_some(),
        None => *totals != Totals::default(),
    });
    totals
}
