//! All topics of this process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use multi_node_fleet::id::NodeId;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::queue::Queue;
use super::state::{Phase, State, Topic};
use super::{Settled, TopicError};
use crate::counts::Counts;
use crate::limits::BusLimits;
use crate::link::Outbox;
use crate::members::Members;
use crate::name::is_name;

/// The topics by name and by number.
#[derive(Debug)]
pub(crate) struct Topics {
    me: NodeId,
    pub(super) limits: BusLimits,
    pub(super) counts: Arc<Counts>,
    pub(super) members: Arc<Members>,
    runtime: Handle,
    table: Mutex<Table>,
    /// How many topics this process subscribes to.
    interested: AtomicUsize,
    questions: AtomicU64,
    /// Changes with the topics to which peers subscribe.
    pub(super) subscribed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    by_channel: HashMap<u32, Arc<Topic>>,
    /// How many have handles or subscriptions here.
    used: usize,
    last_channel: u32,
}

impl Topics {
    pub(crate) fn new(
        me: NodeId,
        limits: BusLimits,
        counts: Arc<Counts>,
        members: Arc<Members>,
        runtime: Handle,
    ) -> Topics {
        let (table, interested, questions) = (Mutex::default(), AtomicUsize::new(0), AtomicU64::new(0));
        let subscribed = watch::Sender::new(());
        Topics { me, limits, counts, members, runtime, table, interested, questions, subscribed }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process subscribes to any topic, and so wants links to all peers.
    pub(crate) fn are_interesting(&self) -> bool {
        self.interested.load(Ordering::Relaxed) > 0
    }

    pub(super) fn next_question(&self) -> u64 {
        self.questions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The topic of this name for a handle of this process.
    pub(super) fn for_handle(&self, name: &str) -> Result<Arc<Topic>, TopicError> {
        if !is_name(name) {
            return Err(TopicError::Name(name.len()));
        }
        let mut table = self.lock();
        let used = table.by_name.get(name).is_some_and(|topic| topic.lock().users > 0);
        if !used && table.used >= self.limits.topics {
            return Err(TopicError::TooMany(self.limits.topics));
        }
        let topic = self.get(&mut table, name);
        topic.lock().users += 1;
        table.used += usize::from(!used);
        Ok(topic)
    }

    /// The topic to which a peer subscribes. Each link bounds how many it subscribes to.
    pub(crate) fn add_subscriber(&self, name: &str, link: &Arc<Outbox>, channel: u32, question: u64) -> Arc<Topic> {
        let mut table = self.lock();
        let topic = self.get(&mut table, name);
        topic.add_subscriber(link, channel, question);
        self.subscribed.send_replace(());
        topic
    }

    fn get(&self, table: &mut Table, name: &str) -> Arc<Topic> {
        if let Some(topic) = table.by_name.get(name) {
            return topic.clone();
        }
        table.last_channel = table.last_channel.wrapping_add(1);
        let name: Arc<str> = name.into();
        let topic = Arc::new(Topic::new(name.clone(), table.last_channel, self.me, self.counts.clone()));
        table.by_name.insert(name, topic.clone());
        table.by_channel.insert(topic.channel, topic.clone());
        topic
    }

    pub(super) fn by_name(&self, name: &str) -> Option<Arc<Topic>> {
        self.lock().by_name.get(name).cloned()
    }

    /// Sees each later change of [`Topics::subscribed`].
    pub(crate) fn watch_subscribed(&self) -> watch::Receiver<()> {
        self.subscribed.subscribe()
    }

    /// The topics to which peers subscribe.
    pub(crate) fn subscribed(&self) -> Vec<Arc<str>> {
        let all = self.all().into_iter();
        all.filter(|topic| !topic.subscribers().is_empty()).map(|topic| topic.name.clone()).collect()
    }

    pub(crate) fn by_channel(&self, channel: u32) -> Option<Arc<Topic>> {
        self.lock().by_channel.get(&channel).cloned()
    }

    fn all(&self) -> Vec<Arc<Topic>> {
        self.lock().by_name.values().cloned().collect()
    }

    /// A subscription of this process, which begins with the history if there is one.
    pub(super) fn add_reader(self: &Arc<Self>, topic: &Arc<Topic>) -> Arc<Queue> {
        let mut state = topic.lock();
        let round = topic.begin(&mut state);
        let queue = Arc::new(Queue::new(&self.limits, state.history.is_some()));
        if let Some(ring) = &state.history {
            match state.phase {
                Phase::Starting if ring.needs_older() => queue.begin(ring.events()),
                _ => queue.release(ring.events()),
            }
        }
        state.readers.push(queue.clone());
        state.users += 1;
        drop(state);
        if round.is_some() {
            self.interested.fetch_add(1, Ordering::Relaxed);
        }
        self.start(topic, round);
        queue
    }

    pub(super) fn keep_history(self: &Arc<Self>, topic: &Arc<Topic>, most: usize) {
        let mut state = topic.lock();
        let was_idle = state.phase == Phase::Idle;
        let round = topic.begin_history(&mut state, most.max(1));
        drop(state);
        if was_idle && round.is_some() {
            self.interested.fetch_add(1, Ordering::Relaxed);
        }
        self.start(topic, round);
    }

    fn start(self: &Arc<Self>, topic: &Arc<Topic>, round: Option<u64>) {
        let Some(round) = round else { return };
        self.members.want_all();
        for link in self.members.links() {
            topic.ask(&link, self.next_question());
        }
        self.runtime.spawn(self.clone().settle(topic.clone(), round));
    }

    /// A handle of this process is dropped, or a subscription with its queue.
    pub(super) fn release(&self, topic: &Arc<Topic>, queue: Option<&Arc<Queue>>) {
        let mut table = self.lock();
        let mut state = topic.lock();
        if let Some(queue) = queue {
            state.readers.retain(|reader| !Arc::ptr_eq(reader, queue));
        }
        state.users -= 1;
        table.used -= usize::from(state.users == 0);
        if topic.end_if_unwanted(&mut state) {
            self.interested.fetch_sub(1, Ordering::Relaxed);
        }
        table.remove_if_unused(topic, &state);
    }

    /// A peer no longer subscribes.
    pub(crate) fn remove_subscriber(&self, topic: &Arc<Topic>, link: &Outbox) {
        topic.remove_subscriber(link);
        self.sweep(topic);
    }

    fn sweep(&self, topic: &Arc<Topic>) {
        let mut table = self.lock();
        let state = topic.lock();
        table.remove_if_unused(topic, &state);
        drop(state);
        drop(table);
        self.subscribed.send_replace(());
    }

    /// A link is open.
    pub(crate) fn opened(&self, link: &Arc<Outbox>) {
        for topic in self.all() {
            topic.ask(link, self.next_question());
        }
    }

    /// The peer has named all its subscriptions on the new link.
    pub(crate) fn synced(&self, peer: NodeId) {
        for topic in self.all() {
            topic.drop_lost_subscriber(peer);
            self.sweep(&topic);
        }
    }

    /// The link has ended.
    pub(crate) fn link_ended(&self, link: &Outbox) {
        for topic in self.all() {
            topic.subscriber_lost(link);
            topic.source_lost(link);
        }
    }

    /// The peer begins its sequences anew.
    pub(crate) fn began_anew(&self, peer: NodeId) {
        for topic in self.all() {
            topic.source_began_anew(peer);
        }
        self.synced(peer);
    }

    /// The peer has ended, and all it had sent has been read.
    pub(crate) fn forget(&self, peer: NodeId) {
        for topic in self.all() {
            topic.forget(peer);
            self.sweep(&topic);
        }
    }

    /// How the starts of all topics that have begun so far ended, by name.
    pub(crate) async fn settled(&self) -> Vec<(String, Settled)> {
        let mut all = Vec::new();
        for topic in self.all() {
            let begun = topic.lock().phase != Phase::Idle;
            if begun {
                all.push((topic.name.to_string(), topic.until_settled().await));
            }
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

impl Table {
    fn remove_if_unused(&mut self, topic: &Arc<Topic>, state: &State) {
        if !state.is_unused() {
            return;
        }
        self.by_channel.remove(&topic.channel);
        if let Entry::Occupied(entry) = self.by_name.entry(topic.name.clone())
            && Arc::ptr_eq(entry.get(), topic)
        {
            entry.remove();
        }
    }
}
