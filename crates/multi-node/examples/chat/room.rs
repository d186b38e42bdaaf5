//! The conversation as one process knows it: what was said lately, and how many visitors there are.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, SinkExt, StreamExt};
use multi_node::{FrameError, NodeId, Peer};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// How many messages are kept, in every process.
const RECENT: usize = 50;
/// How many messages a visitor or a peer may be behind. One that falls further back gets the recent ones again.
const BEHIND: usize = 256;

/// A message of a visitor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Chosen by the page, which sends a message again when it does not know whether it arrived.
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) node: String,
    pub(crate) slot: Option<usize>,
    pub(crate) text: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
}

/// What processes tell each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Said {
    Message(Message),
    /// How many visitors the sender has.
    Visitors(usize),
}

/// A message that is new to this process, and whether it was said here.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) message: Arc<Message>,
    here: bool,
}

/// The recent messages, and those that follow them without a gap.
pub(crate) struct Recent {
    pub(crate) messages: Vec<Arc<Message>>,
    pub(crate) news: broadcast::Receiver<News>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Visitors {
    pub(crate) here: usize,
    pub(crate) everywhere: usize,
}

/// Counts as a visitor until it is dropped.
pub(crate) struct Visit(
    #[expect(dead_code, reason = "held for its drop, which the room sees")] oneshot::Sender<Infallible>,
);

enum Command {
    Say(Message),
    Hear(NodeId, Said),
    Part(NodeId),
    Enter(oneshot::Receiver<Infallible>),
    Recall(oneshot::Sender<Recent>),
}

/// This process's room: a handle to the task that owns it.
#[derive(Clone)]
pub(crate) struct Room {
    commands: mpsc::Sender<Command>,
    visitors: watch::Receiver<Visitors>,
}

impl Room {
    pub(crate) fn open() -> Room {
        let (commands, ordered) = mpsc::channel(64);
        let (counts, visitors) = watch::channel(Visitors::default());
        let (news, _) = broadcast::channel(BEHIND);
        let keeper = Keeper {
            recent: VecDeque::with_capacity(RECENT + 1),
            visits: FuturesUnordered::new(),
            elsewhere: HashMap::new(),
            news,
            counts,
        };
        tokio::spawn(keeper.keep(ordered));
        Room { commands, visitors }
    }

    /// Sends it to all visitors, here and in the other processes. A message that was sent before is not sent again.
    pub(crate) async fn say(&self, message: Message) {
        self.command(Command::Say(message)).await;
    }

    pub(crate) async fn enter(&self) -> Visit {
        let (visit, left) = oneshot::channel();
        self.command(Command::Enter(left)).await;
        Visit(visit)
    }

    /// `None` once the room is closed, which is when the process ends.
    pub(crate) async fn recall(&self) -> Option<Recent> {
        let (answer, recent) = oneshot::channel();
        self.command(Command::Recall(answer)).await;
        recent.await.ok()
    }

    pub(crate) fn visitors(&self) -> watch::Receiver<Visitors> {
        self.visitors.clone()
    }

    async fn command(&self, command: Command) {
        // The keeper ends with the process, and with it everybody who could miss it.
        let _ = self.commands.send(command).await;
    }
}

/// Owns the room.
struct Keeper {
    /// By the time they were said.
    recent: VecDeque<Arc<Message>>,
    visits: FuturesUnordered<oneshot::Receiver<Infallible>>,
    elsewhere: HashMap<NodeId, usize>,
    news: broadcast::Sender<News>,
    counts: watch::Sender<Visitors>,
}

impl Keeper {
    async fn keep(mut self, mut ordered: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = ordered.recv() => match command {
                    Some(command) => self.perform(command),
                    None => return,
                },
                Some(_) = self.visits.next() => {}
            }
            self.count();
        }
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Say(message) => self.take(message, true),
            Command::Hear(_, Said::Message(message)) => self.take(message, false),
            Command::Hear(peer, Said::Visitors(visitors)) => drop(self.elsewhere.insert(peer, visitors)),
            Command::Part(peer) => drop(self.elsewhere.remove(&peer)),
            Command::Enter(left) => self.visits.push(left),
            Command::Recall(answer) => {
                let messages = self.recent.iter().cloned().collect();
                // The visitor may have left in the meantime.
                let _ = answer.send(Recent { messages, news: self.news.subscribe() });
            }
        }
    }

    /// Keeps a message and passes it on, unless it is known, or older than all that a full room keeps.
    fn take(&mut self, message: Message, here: bool) {
        let place = self.recent.partition_point(|other| other.at <= message.at);
        let too_old = place == 0 && self.recent.len() >= RECENT;
        if too_old || self.recent.iter().any(|other| other.id == message.id) {
            return;
        }
        let message = Arc::new(message);
        self.recent.insert(place, message.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        // An error means that no visitor listens, as in the master.
        let _ = self.news.send(News { message, here });
    }

    fn count(&mut self) {
        let here = self.visits.len();
        let now = Visitors { here, everywhere: here + self.elsewhere.values().sum::<usize>() };
        self.counts.send_if_modified(|counts| std::mem::replace(counts, now) != now);
    }
}

/// Shares a room with a peer's, until the peer ends.
pub(crate) async fn share(room: Room, peer: Peer) {
    let id = peer.id();
    let (mut from, mut to) = peer.framed::<Said>().split();
    let hear = async {
        while let Ok(Some(said)) = from.recv().await {
            room.command(Command::Hear(id, said)).await;
        }
    };
    let tell = async {
        // A peer that cannot be written to is one that has ended, which the other half sees too.
        let _ = tell(&room, &mut to).await;
    };
    tokio::select! {
        () = hear => {}
        () = tell => {}
    }
    room.command(Command::Part(id)).await;
}

/// Sends a peer the recent messages, then new messages of this process, and the number of its visitors.
async fn tell(room: &Room, peer: &mut (impl Sink<Said, Error = FrameError> + Unpin)) -> Result<(), FrameError> {
    let mut visitors = room.visitors();
    visitors.mark_changed();
    while let Some(Recent { messages, mut news }) = room.recall().await {
        for message in messages {
            peer.feed(Said::Message(Message::clone(&message))).await?;
        }
        peer.flush().await?;
        loop {
            let said = tokio::select! {
                news = news.recv() => match news {
                    Ok(News { message, here: true }) => Said::Message(Message::clone(&message)),
                    Ok(News { here: false, .. }) => continue,
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return Ok(()),
                },
                Ok(()) = visitors.changed() => Said::Visitors(visitors.borrow_and_update().here),
            };
            peer.send(said).await?;
        }
    }
    Ok(())
}
