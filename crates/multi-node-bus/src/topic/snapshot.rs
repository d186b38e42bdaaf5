//! How a newcomer gets the history from a process that has it.
//!
//! The newcomer has subscribed everywhere, and keeps what it receives. It asks the longest-living peer for the last messages,
//! but of each publisher only for those before its confirmation: the rest comes from the publisher itself, so nothing comes
//! twice. The peer answers when it has received everything before those confirmations, so nothing is lost between. A peer that is
//! just starting answers too; the newcomer then asks the next, and takes the best of all answers if nobody is ahead of it.

use std::collections::HashMap;
use std::sync::Arc;

use multi_node_fleet::id::NodeId;
use tokio::time::{Instant, timeout, timeout_at};

use super::history::Item;
use super::state::{Phase, SourceAnswer, State, Topic};
use super::{History, Topics};
use crate::frame::{Head, Kind, Needs, encode_item, encode_needs};
use crate::link::Outbox;
use crate::payload::Payload;

/// How an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Answer {
    /// By a process that has the history.
    Whole = 0,
    /// By a process that is just starting: it has what it received so far.
    Starting = 1,
    /// The process doesn't keep the history of this topic.
    NotKept = 2,
}

impl Answer {
    pub(crate) fn from_flags(flags: u8) -> Answer {
        match flags {
            0 => Answer::Whole,
            1 => Answer::Starting,
            _ => Answer::NotKept,
        }
    }
}

/// What this process has asked a peer for, and what it got so far.
#[derive(Debug)]
pub(super) struct Question {
    number: u64,
    items: Vec<Item>,
    bytes: usize,
    most: usize,
    answer: Option<Answer>,
}

impl Topics {
    /// The history from the first peer that has it.
    pub(super) async fn fetch(&self, topic: &Topic, most: usize, unsure: bool) -> (History, Vec<Item>) {
        let deadline = Instant::now() + self.limits.history_timeout;
        let mut late = unsure;
        let mut starting: Vec<(NodeId, Vec<Item>)> = Vec::new();
        for peer in topic.confirmed_peers() {
            // One that doesn't answer leaves time for the next.
            let until = deadline.min(Instant::now() + self.limits.history_timeout / 4);
            match timeout_at(until, self.question(topic, peer, most)).await {
                Ok(Some((Answer::Whole, items))) => return (History::From(vec![peer]), items),
                Ok(Some((Answer::Starting, items))) => starting.push((peer, items)),
                Ok(Some((Answer::NotKept, _)) | None) => {}
                Err(_) => late = true,
            }
        }
        match (starting.is_empty(), late) {
            (true, true) => (History::TimedOut, Vec::new()),
            (true, false) => (History::Nobody, Vec::new()),
            (false, _) => (History::From(starting.iter().map(|(peer, _)| *peer).collect()), best(starting)),
        }
    }

    async fn question(&self, topic: &Topic, peer: NodeId, most: usize) -> Option<(Answer, Vec<Item>)> {
        let number = self.next_question();
        topic.send_question(peer, number, most, self.limits.history_bytes)?;
        topic.until(|state| state.answer_of(peer, number)).await
    }

    /// Answers a peer's question as soon as this process has all that the peer needs, at the latest after a part of the timeout.
    pub(crate) async fn answer(self: Arc<Self>, topic: Arc<Topic>, link: Arc<Outbox>, number: u64, needs: Needs) {
        if topic.lock().history.is_some() {
            let wait = self.limits.history_timeout / 8;
            let _ = timeout(wait, topic.until(|state| state.has_all(topic.me, &needs).then_some(()))).await;
        }
        let (answer, items) = topic.lock().answer(&needs, self.limits.history_bytes);
        let _ = timeout(self.limits.history_timeout, send_items(&topic, &link, number, items)).await;
        topic.end_answer(&link, number, answer);
    }
}

async fn send_items(topic: &Topic, link: &Outbox, number: u64, items: Vec<Item>) {
    for Item { from, seq, payload } in items {
        link.room().await;
        let head = Head::new(Kind::HistoryItem).flags(payload.content.to_flags()).channel(topic.channel).seq(seq);
        link.control(head, &[&encode_item(number, from), &payload.bytes]);
    }
}

impl Topic {
    /// The peers that can be asked, the longest-living first.
    fn confirmed_peers(&self) -> Vec<NodeId> {
        let state = self.lock();
        let confirmed = state.sources.iter().filter(|(_, source)| source.answer == SourceAnswer::Confirmed);
        let mut peers: Vec<NodeId> = confirmed.map(|(peer, _)| *peer).collect();
        peers.sort_unstable();
        peers
    }

    fn send_question(&self, peer: NodeId, number: u64, most: usize, most_bytes: usize) -> Option<()> {
        let mut state = self.lock();
        let starts = state.sources.iter().filter_map(|(peer, source)| Some((*peer, source.start?)));
        let before = starts.chain([(self.me, state.own_start)]).collect();
        let bound = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let needs = Needs { most: bound(most), most_bytes: bound(most_bytes), before };
        let (link, _) = state.sources.get(&peer)?.asked.as_ref()?;
        link.control(Head::new(Kind::AskHistory).channel(self.channel).seq(number), &[&encode_needs(&needs)]);
        state.question = Some(Question { number, items: Vec::new(), bytes: 0, most: most_bytes, answer: None });
        Some(())
    }

    /// Ends the answer to a peer's question.
    pub(crate) fn end_answer(&self, link: &Outbox, number: u64, answer: Answer) {
        link.control(Head::new(Kind::HistoryEnd).flags(answer as u8).channel(self.channel).seq(number), &[]);
    }

    /// A message of the history that was asked for.
    pub(crate) fn history_item(&self, number: u64, from: NodeId, seq: u64, payload: Payload) {
        let mut state = self.lock();
        let Some(question) = state.question.as_mut().filter(|question| question.number == number) else { return };
        question.bytes = question.bytes.saturating_add(payload.bytes.len());
        if question.bytes <= question.most {
            question.items.push(Item { from, seq, payload });
        }
    }

    /// The end of the history that was asked for.
    pub(crate) fn history_end(&self, number: u64, answer: Answer) {
        let mut state = self.lock();
        if let Some(question) = state.question.as_mut().filter(|question| question.number == number) {
            question.answer = Some(answer);
        }
        self.tell_watchers(&state);
    }
}

impl State {
    /// The peer's answer, or `Some(None)` when it can no longer come.
    fn answer_of(&mut self, peer: NodeId, number: u64) -> Option<Option<(Answer, Vec<Item>)>> {
        let answer = match &self.question {
            Some(question) if question.number == number => question.answer,
            _ => return Some(None),
        };
        if let Some(answer) = answer {
            return Some(self.question.take().map(|question| (answer, question.items)));
        }
        let lost = self.sources.get(&peer).is_none_or(|source| source.asked.is_none());
        lost.then_some(None)
    }

    /// Whether everything before these numbers has been received, or can no longer come.
    fn has_all(&self, me: NodeId, needs: &Needs) -> bool {
        needs.before.iter().all(|(from, before)| {
            *from == me
                || self.sources.get(from).is_none_or(|source| match source.answer {
                    SourceAnswer::Awaited => false,
                    SourceAnswer::Confirmed => source.next.is_some_and(|next| next >= *before),
                    SourceAnswer::Refused => true,
                })
        })
    }

    fn answer(&self, needs: &Needs, most_bytes: usize) -> (Answer, Vec<Item>) {
        let Some(ring) = &self.history else { return (Answer::NotKept, Vec::new()) };
        let answer = if self.phase == Phase::Starting { Answer::Starting } else { Answer::Whole };
        (answer, ring.answer(needs, most_bytes))
    }
}

/// Of each publisher the messages of the answer that has most of them.
fn best(answers: Vec<(NodeId, Vec<Item>)>) -> Vec<Item> {
    let mut longest: HashMap<NodeId, (usize, NodeId)> = HashMap::new();
    for (peer, items) in &answers {
        let mut lengths: HashMap<NodeId, usize> = HashMap::new();
        items.iter().for_each(|item| *lengths.entry(item.from).or_default() += 1);
        for (from, length) in lengths {
            let best = longest.entry(from).or_insert((length, *peer));
            if length > best.0 {
                *best = (length, *peer);
            }
        }
    }
    let of = |peer: NodeId, items: Vec<Item>| {
        let longest = &longest;
        items.into_iter().filter(move |item| longest.get(&item.from).is_some_and(|(_, best)| *best == peer))
    };
    answers.into_iter().flat_map(|(peer, items)| of(peer, items)).collect()
}
