//! What the primary process (`--primary FILE`) is sent about the workers, and what is kept while it is absent. Pure.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame;
use super::queue::{Dropped, Queue};
use crate::id::NodeId;
use crate::status::Exit;

/// How many messages may wait for a process that is not there, and how large they may be together.
const MOST_WAITING: usize = 65_536;
const WAITING_BYTES: usize = 32 * 1024 * 1024;

/// A worker that has sent more before it listens has no opening.
const LONGEST_OPENING: usize = 64;
const OPENING_BYTES: usize = 256 * 1024;

/// The workers as the process knows them, and the way to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::workload) struct Relay {
    /// Whether the program has such a process.
    expected: bool,
    workers: BTreeMap<NodeId, Known>,
    /// What workers have sent since the process has gone.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    #[serde(skip)]
    process: Option<Queue>,
    #[serde(skip)]
    dropped: Dropped,
    /// Whether the log already has the warning that nothing takes the messages.
    warned: bool,
}

/// A message for a process that is not there.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    from: NodeId,
    sent: Bytes,
    /// Whether it was sent before the worker listened.
    opens: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    pid: u32,
    online: bool,
    /// What it has said of its servers.
    listening: Vec<Bytes>,
    /// What the worker sent before it listened, and the process has received; `None`: that was too much. A restarted process
    /// receives it again, since limiters introduce themselves by it.
    opening: Option<Vec<Bytes>>,
    /// Whether it was asked to disconnect, or announced it.
    asked: bool,
    left: bool,
    exit: Option<Exit>,
}

impl Known {
    fn new(pid: u32) -> Known {
        let (online, asked, left) = (false, false, false);
        Known { pid, online, listening: Vec::new(), opening: Some(Vec::new()), asked, left, exit: None }
    }

    fn opens(&mut self, sent: &Bytes) {
        let Some(opening) = &mut self.opening else { return };
        opening.push(sent.clone());
        if opening.len() > LONGEST_OPENING || opening.iter().map(Bytes::len).sum::<usize>() > OPENING_BYTES {
            // It sends for another reason.
            self.opening = None;
        }
    }
}

/// What the log has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Warning {
    /// There is no process for the messages of workers.
    NoProcess,
    /// The total number of dropped messages.
    Dropped(u64),
}

impl Relay {
    /// The program has a primary process, or none any more.
    pub(super) fn expect(&mut self, expected: bool) {
        self.expected = expected;
        if !expected {
            (self.waiting, self.waiting_bytes) = (VecDeque::new(), 0);
        }
    }

    /// The process listens. Returns what it has to receive first: the workers, their first messages, and what has waited.
    pub(super) fn connect(&mut self, process: Queue) -> Vec<Bytes> {
        self.process = Some(process);
        let mut first = Vec::new();
        for (id, worker) in self.workers.iter().filter(|(_, worker)| !worker.left) {
            first.push(frame::fork(*id, worker.pid));
            first.extend(worker.online.then(|| frame::online(*id)));
            first.extend(worker.listening.iter().map(|said| frame::listening(*id, said)));
            first.extend(worker.opening.iter().flatten().map(|sent| frame::message(*id, sent)));
        }
        self.waiting_bytes = 0;
        for Waiting { from, sent, opens } in self.waiting.drain(..) {
            let Some(worker) = self.workers.get_mut(&from).filter(|worker| !worker.left) else { continue };
            if opens {
                worker.opens(&sent);
            }
            first.push(frame::message(from, &sent));
        }
        self.workers.retain(|_, worker| !worker.left);
        first
    }

    /// The process has gone.
    pub(super) fn disconnect(&mut self) {
        self.process = None;
    }

    pub(super) fn joined(&mut self, id: NodeId, pid: u32) -> Option<Warning> {
        // It is known after a rest.
        if self.workers.contains_key(&id) {
            return None;
        }
        self.workers.insert(id, Known::new(pid));
        self.tell(frame::fork(id, pid))
    }

    pub(super) fn online(&mut self, id: NodeId) -> Option<Warning> {
        self.workers.get_mut(&id)?.online = true;
        self.tell(frame::online(id))
    }

    pub(super) fn listening(&mut self, id: NodeId, said: Bytes) -> Option<Warning> {
        let worker = self.workers.get_mut(&id)?;
        let frame = frame::listening(id, &said);
        worker.listening.push(said);
        self.tell(frame)
    }

    /// A worker has sent a message.
    pub(super) fn message(&mut self, id: NodeId, sent: &Bytes) -> Option<Warning> {
        if !self.expected {
            return (!std::mem::replace(&mut self.warned, true)).then_some(Warning::NoProcess);
        }
        let worker = self.workers.get_mut(&id)?;
        let opens = worker.listening.is_empty();
        if self.process.is_some() {
            if opens {
                worker.opens(sent);
            }
            return self.tell(frame::message(id, sent));
        }
        if self.waiting.len() >= MOST_WAITING || self.waiting_bytes + sent.len() > WAITING_BYTES {
            return self.drop_one();
        }
        self.waiting_bytes += sent.len();
        self.waiting.push_back(Waiting { from: id, sent: sent.clone(), opens });
        None
    }

    /// `process.send("ready")`, which is for the command too: it needs no primary process.
    pub(super) fn ready(&mut self, id: NodeId) -> Option<Warning> {
        if self.expected { self.message(id, &Bytes::from_static(b"\"ready\"")) } else { None }
    }

    /// It was asked to disconnect, or announces it.
    pub(super) fn asked(&mut self, id: NodeId) {
        self.workers.get_mut(&id).into_iter().for_each(|worker| worker.asked = true);
    }

    /// A worker's channel is closed.
    pub(super) fn left(&mut self, id: NodeId) -> Option<Warning> {
        let worker = self.workers.get_mut(&id).filter(|worker| !worker.left)?;
        worker.left = true;
        let (asked, exit) = (worker.asked, worker.exit);
        let warning = self.tell(frame::disconnect(id, asked));
        warning.or(exit.and_then(|exit| self.exited(id, exit)))
    }

    /// A worker's process has ended. The exit is sent after the last message of its channel.
    pub(super) fn exited(&mut self, id: NodeId, exit: Exit) -> Option<Warning> {
        let worker = self.workers.get_mut(&id)?;
        worker.exit = Some(exit);
        if !worker.left {
            return None;
        }
        self.workers.remove(&id);
        self.tell(frame::exit(id, exit))
    }

    /// An absent process will receive the state of all workers later.
    fn tell(&mut self, frame: Bytes) -> Option<Warning> {
        let taken = self.process.as_ref().is_none_or(|process| process.put(frame));
        if taken { None } else { self.drop_one() }
    }

    fn drop_one(&mut self) -> Option<Warning> {
        self.dropped.one_more().map(Warning::Dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const ONE: NodeId = NodeId::MASTER;

    /// A worker, and a relay that expects a process.
    fn relay() -> (Relay, NodeId) {
        let mut relay = Relay::default();
        relay.expect(true);
        let id = NodeId::node(1);
        relay.joined(id, 4711);
        (relay, id)
    }

    fn acts(frames: &[Bytes]) -> Vec<String> {
        let shown = |frame: &Bytes| {
            let frame: Value = serde_json::from_slice(frame).expect("JSON");
            let message = if frame["msg"].is_null() { String::new() } else { format!(" {}", frame["msg"]) };
            format!("{} {}{message}", frame["act"].as_str().expect("an act"), frame["id"])
        };
        frames.iter().map(shown).collect()
    }

    fn told(queued: &mut tokio::sync::mpsc::Receiver<super::super::queue::Queued>) -> Vec<String> {
        let mut frames = Vec::new();
        while let Ok(queued) = queued.try_recv() {
            frames.push(queued.line);
        }
        acts(&frames)
    }

    #[test]
    fn a_process_that_comes_late_is_told_of_what_was_before() {
        let (mut relay, one) = relay();
        relay.online(one);
        relay.message(one, &Bytes::from_static(b"1"));
        let (queue, mut queued) = Queue::new();
        let first = acts(&relay.connect(queue));
        assert_eq!(first, ["fork 1", "online 1", "message 1 1"], "once, though it is the worker's opening and waits");
        relay.listening(one, Bytes::from_static(b"{}"));
        relay.message(one, &Bytes::from_static(b"2"));
        assert_eq!(told(&mut queued), ["listening 1 {}", "message 1 2"]);
    }

    #[test]
    fn a_process_that_comes_again_hears_what_workers_said_before_they_listened() {
        let (mut relay, one) = relay();
        let _ = relay.connect(Queue::new().0);
        relay.message(one, &Bytes::from_static(br#"{"init":1}"#));
        relay.listening(one, Bytes::from_static(b"{}"));
        relay.message(one, &Bytes::from_static(b"2"));
        relay.disconnect();
        relay.message(one, &Bytes::from_static(b"3"));
        let told = ["fork 1", "listening 1 {}", r#"message 1 {"init":1}"#, "message 1 3"];
        assert_eq!(acts(&relay.connect(Queue::new().0)), told);
        assert_eq!(acts(&relay.connect(Queue::new().0)), told[..3], "what has waited is told once");
    }

    #[test]
    fn a_worker_that_sends_much_before_it_listens_has_no_opening() {
        let (mut relay, one) = relay();
        let _ = relay.connect(Queue::new().0);
        for _ in 0..=LONGEST_OPENING {
            relay.message(one, &Bytes::from_static(b"1"));
        }
        relay.disconnect();
        assert_eq!(acts(&relay.connect(Queue::new().0)), ["fork 1"]);
    }

    #[test]
    fn an_end_is_told_after_the_channel_s_end_whichever_is_heard_first() {
        for exit_first in [false, true] {
            let (mut relay, one) = relay();
            let (queue, mut queued) = Queue::new();
            let _ = relay.connect(queue);
            if exit_first {
                relay.exited(one, Exit::Code(0));
                assert_eq!(told(&mut queued), [""; 0]);
            }
            relay.left(one);
            relay.left(one);
            if !exit_first {
                relay.exited(one, Exit::Code(0));
            }
            assert_eq!(told(&mut queued), ["disconnect 1", "exit 1"], "exit first: {exit_first}");
            assert_eq!(acts(&relay.connect(Queue::new().0)), [""; 0]);
        }
    }

    #[test]
    fn messages_that_nobody_takes_are_told_once_and_none_of_them_waits() {
        let mut relay = Relay::default();
        assert_eq!(relay.message(ONE, &Bytes::from_static(b"1")), Some(Warning::NoProcess));
        assert_eq!(relay.message(ONE, &Bytes::from_static(b"1")), None);
        assert!(relay.waiting.is_empty());
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_dropped_is_counted() {
        let (mut relay, one) = relay();
        let megabyte = Bytes::from(vec![b'1'; 1024 * 1024]);
        let warnings: Vec<_> = (0..42).filter_map(|_| relay.message(one, &megabyte)).collect();
        assert_eq!(warnings, [Warning::Dropped(1), Warning::Dropped(10)]);
        assert_eq!(relay.waiting.len(), 32);
        relay.expect(false);
        assert!(relay.waiting.is_empty());
    }
}
