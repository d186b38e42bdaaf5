//! What other machines ask the processes of this one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, Message, Subject, Subscriber};
use futures_util::StreamExt;
use multi_node_bus::{Bus, Failure, Relay};
use multi_node_fleet::id::NodeId;
use multi_node_sys::log;
use tokio::sync::oneshot;

use super::frame::{Answer, Question, encode_answer, is_cancel};
use super::room::Room;
use super::running::Running;
use crate::frame::Sender;
use crate::gateway::process;
use crate::machine::Machine;
use crate::subject;

/// The queue group of those who answer.
const GROUP: &str = "any";

/// How many handlers of this machine other machines may ask. Names beyond are those of this machine alone.
const MOST_HANDLERS: usize = 4000;

/// Answers other machines.
#[derive(Debug)]
pub(crate) struct Answers {
    cluster: String,
    client: Client,
    serving: Arc<Serving>,
    /// By handler: dropping it ends the subscription.
    listening: HashMap<String, oneshot::Sender<()>>,
    /// The subscriptions that last as long as this.
    lasting: Vec<oneshot::Sender<()>>,
}

/// What each subscription needs.
#[derive(Debug)]
struct Serving {
    client: Client,
    me: Sender,
    /// What the subjects of answers begin with. Nothing else is answered: a question may name any subject.
    answers: String,
    relay: Relay,
    room: Room,
    running: Arc<Running>,
    bad_frames: AtomicU64,
}

impl Answers {
    /// Answers questions to named processes of this machine.
    pub(crate) async fn begin(machine: &Machine, bus: &Bus, client: &Client) -> Answers {
        let Machine { cluster, name, epoch } = machine;
        let serving = Serving {
            client: client.clone(),
            me: Sender { machine: name.clone(), epoch: *epoch },
            answers: subject::answers(cluster),
            relay: bus.relay(),
            room: Room::new(),
            running: Arc::default(),
            bad_frames: AtomicU64::new(0),
        };
        let mut answers = Answers {
            cluster: cluster.clone(),
            client: client.clone(),
            serving: Arc::new(serving),
            listening: HashMap::new(),
            lasting: Vec::new(),
        };
        for subject in [subject::processes(cluster, name, *epoch), subject::cancelled(cluster)] {
            let subscribed = client.subscribe(subject).await;
            let listening = answers.serve(subscribed.map_err(|error| error.to_string()));
            answers.lasting.extend(listening);
        }
        answers
    }

    /// The processes of this machine have these handlers now.
    pub(crate) async fn listen(&mut self, handlers: BTreeSet<String>) {
        self.listening.retain(|name, _| handlers.contains(name));
        for name in handlers {
            if self.listening.contains_key(&name) || self.listening.len() >= MOST_HANDLERS {
                continue;
            }
            let subject = subject::handler(&self.cluster, &name);
            let subscribed = self.client.queue_subscribe(subject, GROUP.to_owned()).await;
            if let Some(listening) = self.serve(subscribed.map_err(|error| error.to_string())) {
                self.listening.insert(name, listening);
            }
        }
    }

    /// How many questions were none.
    pub(crate) fn bad_frames(&self) -> u64 {
        self.serving.bad_frames.load(Ordering::Relaxed)
    }

    fn serve(&self, subscribed: Result<Subscriber, String>) -> Option<oneshot::Sender<()>> {
        match subscribed {
            Ok(subscriber) => {
                let (listening, ended) = oneshot::channel();
                tokio::spawn(self.serving.clone().all(subscriber, ended));
                Some(listening)
            }
            Err(error) => {
                log::error!("cannot subscribe at NATS: {error}");
                None
            }
        }
    }
}

impl Serving {
    /// Answers until nobody listens any more; what has come by then is answered too.
    async fn all(self: Arc<Self>, mut questions: Subscriber, ended: oneshot::Receiver<()>) {
        let mut ended = std::pin::pin!(ended);
        let mut listens = true;
        loop {
            tokio::select! {
                question = questions.next() => match question {
                    Some(message) => self.question(message).await,
                    None => return,
                },
                _ = &mut ended, if listens => {
                    listens = false;
                    if questions.drain().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn question(self: &Arc<Self>, message: Message) {
        let reply = message.reply.filter(|reply| reply.starts_with(&self.answers));
        if is_cancel(&message.payload) {
            reply.iter().for_each(|reply| self.running.cancel(reply));
            return;
        }
        let (Some(reply), Ok(question)) = (reply, Question::decode(&message.payload)) else {
            self.bad_frames.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let Some(room) = self.room.take(message.payload.len()) else {
            return self.send(reply, &Err(Failure::Overloaded)).await;
        };
        let (serving, to) = (self.clone(), reply.clone());
        self.running.begin(reply.to_string(), async move {
            if let Some(answer) = serving.ask(question).await {
                serving.send(to, &answer).await;
            }
            drop(room);
        });
    }

    /// Asks the processes of this machine. `None` if the answer comes too late.
    async fn ask(&self, question: Question) -> Option<Answer> {
        let Question { machine, epoch, by, to, remaining, name, payload } = question;
        let to = to.map(NodeId::from_number);
        if to.is_some_and(|id| id.is_remote() || id == NodeId::GATEWAY) {
            return Some(Err(Failure::NoSuchNode));
        }
        let (by, longest) = (process(&machine, epoch, by), Duration::from_micros(remaining));
        match self.relay.request(by, &name, to, payload, longest).await {
            Ok(payload) => Some(Ok(payload)),
            Err(error) => Option::<Failure>::from(error).map(Err),
        }
    }

    async fn send(&self, reply: Subject, answer: &Answer) {
        let mut frame = encode_answer(&self.me, answer);
        let (length, most) = (frame.len(), self.client.max_payload());
        if length > most {
            let failure = Failure::Failed(format!("the answer has {length} bytes, and NATS takes {most}"));
            frame = encode_answer(&self.me, &Err(failure));
        }
        // The asker sees a lost answer by its deadline.
        let _ = self.client.publish(reply, frame).await;
    }
}
