//! The start of a topic: all peers confirm the subscription, then the history comes, each by a deadline.

use std::sync::Arc;

use multi_node_fleet::id::NodeId;
use tokio::time::{Instant, timeout_at};

use super::history::{Item, with_gaps};
use super::state::{Phase, Source, State, Topic};
use super::{Event, History, Settled, Topics};

impl Topics {
    /// Performs one round.
    pub(super) async fn settle(self: Arc<Self>, topic: Arc<Topic>, round: u64) {
        let deadline = Instant::now() + self.limits.subscribe_timeout;
        let _ = timeout_at(deadline, self.confirmed(&topic, round)).await;
        let unconfirmed = Topic::unconfirmed(&topic.lock());
        let wants = topic.lock().history.as_ref().map(|ring| ring.most);
        let (history, items) = match wants {
            Some(most) => {
                let (history, items) = self.fetch(&topic, most, !unconfirmed.is_empty()).await;
                (Some(history), items)
            }
            None => (None, Vec::new()),
        };
        if history == Some(History::TimedOut) {
            self.counts.histories_missed.one();
        }
        topic.settled(round, Settled { unconfirmed, history }, items);
    }

    async fn confirmed(&self, topic: &Topic, round: u64) {
        self.members.until_complete().await;
        let awaited = self.members.speaking();
        topic.expect(&awaited, round);
        // A peer that went meanwhile was not there to be forgotten.
        awaited.iter().filter(|peer| !self.members.is_member(**peer)).for_each(|peer| topic.forget(*peer));
        topic.until(|state| state.all_have_answered(&awaited, round).then_some(())).await;
    }
}

impl Topic {
    /// Ends a round. Subscriptions that wait for the history get it now.
    fn settled(&self, round: u64, settled: Settled, items: Vec<Item>) {
        let mut state = self.lock();
        if state.round != round {
            return;
        }
        state.phase = Phase::Settled(settled);
        let items = state.older_than_received(self.me, items);
        let mut events = with_gaps(items.iter());
        events.extend(state.gaps_after(self.me, &items));
        if let Some(ring) = &mut state.history {
            ring.put_before(&items);
        }
        for reader in &state.readers {
            reader.release(events.iter().cloned());
        }
        self.tell_watchers(&state);
    }

    /// How the topic's start ended, once it has.
    pub(super) async fn until_settled(&self) -> Settled {
        self.until(|state| match &state.phase {
            Phase::Settled(settled) => Some(settled.clone()),
            Phase::Idle => Some(Settled::default()),
            Phase::Starting => None,
        })
        .await
    }
}

impl State {
    fn all_have_answered(&self, awaited: &[NodeId], round: u64) -> bool {
        self.round != round || awaited.iter().all(|peer| self.sources.get(peer).is_none_or(Source::answered))
    }

    /// The first message of this publisher that comes, or came, over the link.
    fn start(&self, me: NodeId, from: NodeId) -> Option<u64> {
        match from {
            from if from == me => Some(self.own_start),
            from if from.is_remote() => self.remotes.start(from),
            from => self.sources.get(&from)?.start,
        }
    }

    /// The last `most` of the items, without those that publishers send by themselves.
    fn older_than_received(&self, me: NodeId, mut items: Vec<Item>) -> Vec<Item> {
        items.retain(|item| self.start(me, item.from).is_none_or(|start| item.seq < start));
        let most = self.history.as_ref().map_or(0, |ring| ring.most);
        items.split_off(items.len().saturating_sub(most))
    }

    /// What lies between the history and what publishers send by themselves. A publisher that has yet to confirm goes on after
    /// the history.
    fn gaps_after(&mut self, me: NodeId, items: &[Item]) -> Vec<Event> {
        let mut last: Vec<(NodeId, u64)> = Vec::new();
        for item in items.iter().rev() {
            if last.iter().all(|(from, _)| *from != item.from) {
                last.push((item.from, item.seq));
            }
        }
        let mut gaps = Vec::new();
        for (from, seq) in last {
            match self.start(me, from) {
                Some(start) if start > seq + 1 => gaps.push(Event::Lagged { from, missed: start - seq - 1 }),
                Some(_) => {}
                None if from.is_remote() => drop(self.remotes.next_is(from, seq.saturating_add(1))),
                None => {
                    if let Some(source) = self.sources.get_mut(&from) {
                        source.next = Some(seq.saturating_add(1));
                    }
                }
            }
        }
        gaps
    }
}
