//! Requests for JavaScript: those that it makes, and those that its handlers answer.

#![expect(clippy::needless_pass_by_value, reason = "Node-API makes owned values")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use multi_node::Handle;
use multi_node::bus::{Payload, Request, RequestError, Target};
use multi_node::status::{NodeId, Slot};
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::batch::{Batch, Content, Writer, payload};
use crate::failure::Failure;
use crate::options::milliseconds;
use crate::service::Service;
use crate::wake;

/// How many messages wait for JavaScript. Further ones wait for room, until their deadline.
const QUEUE: usize = 1024;

/// How many handlers may run before those whose answers nobody waits for are forgotten.
const SWEEP: usize = 2048;

/// What a message of a batch is.
const ASKED: u8 = 0;
const ANSWERED: u8 = 1;
const ANSWERED_BY_ONE: u8 = 2;
const ANSWERED_BY_ALL: u8 = 3;

/// The answer of a handler, or what it threw.
type Reply = oneshot::Sender<Result<Payload, String>>;
type Outcome = Result<Payload, Failure>;

enum Message {
    Asked { name: Arc<str>, request: Request, reply: Reply },
    Answered { ticket: u32, outcome: Outcome },
    AnsweredByAll { ticket: u32, outcomes: BTreeMap<NodeId, Result<Payload, RequestError>> },
}

#[napi]
impl Service {
    /// The requests of this process. `turn` is called, on this thread, when there may be something to take.
    ///
    /// # Errors
    /// Where the environment ends.
    #[napi]
    pub fn calls(&self, turn: Function<'_, (), ()>) -> napi::Result<Calls> {
        let waker = wake::waker(&turn)?;
        let (tell, messages) = mpsc::channel(QUEUE);
        let (runtime, handle) = (self.runtime.clone(), self.handle.clone());
        let (running, replies) = (HashMap::new(), HashMap::new());
        Ok(Calls { runtime, handle, waker, tell, messages, running, replies, last_reply: 0 })
    }
}

/// The requests of this process.
#[napi]
pub struct Calls {
    runtime: runtime::Handle,
    handle: Handle,
    waker: Waker,
    tell: mpsc::Sender<Message>,
    messages: mpsc::Receiver<Message>,
    /// Requests of ours, by their tickets.
    running: HashMap<u32, AbortHandle>,
    /// Requests that handlers of ours have.
    replies: HashMap<u32, Reply>,
    last_reply: u32,
}

/// Whom a request goes to. Without either: to any.
#[napi(object, object_to_js = false)]
pub struct To {
    pub id: Option<String>,
    pub slot: Option<u32>,
    /// In milliseconds.
    pub timeout: f64,
}

#[napi]
impl Calls {
    /// Asks one process. The answer is a message with this ticket.
    #[napi]
    pub fn request(&mut self, ticket: u32, name: String, content: Content, to: To) {
        let (handle, tell) = (self.handle.clone(), self.tell.clone());
        let (content, timeout) = (payload(content), milliseconds(to.timeout));
        self.run(ticket, async move {
            let outcome = match target(&to) {
                Ok(target) => ask(&handle, &name, content, target, timeout).await,
                Err(failure) => Err(failure),
            };
            // An error means that JavaScript has ended.
            let _ = tell.send(Message::Answered { ticket, outcome }).await;
        });
    }

    /// Asks every process that has the handler. Their answers are messages with this ticket.
    #[napi]
    pub fn request_all(&mut self, ticket: u32, name: String, content: Content, timeout: f64) {
        let (call, tell) = (self.handle.raw_request_all(&name, payload(content)), self.tell.clone());
        self.run(ticket, async move {
            let outcomes = call.timeout(milliseconds(timeout)).await;
            let _ = tell.send(Message::AnsweredByAll { ticket, outcomes }).await;
        });
    }

    fn run(&mut self, ticket: u32, task: impl Future<Output = ()> + Send + 'static) {
        self.running.insert(ticket, self.runtime.spawn(task).abort_handle());
    }

    /// Gives a request up.
    #[napi]
    pub fn cancel(&mut self, ticket: u32) {
        if let Some(running) = self.running.remove(&ticket) {
            running.abort();
        }
    }

    /// Has JavaScript answer requests of this name.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn respond(&self, name: String) -> napi::Result<()> {
        let (called, tell) = (Arc::<str>::from(name.as_str()), self.tell.clone());
        let handler = move |request: Request| {
            let (name, tell) = (called.clone(), tell.clone());
            async move {
                let (reply, replied) = oneshot::channel();
                // Errors mean that JavaScript has ended.
                let _ = tell.send(Message::Asked { name, request, reply }).await;
                replied.await.unwrap_or_else(|_| Err("the handler is gone".to_owned()))
            }
        };
        self.handle.respond_raw(&name, handler).map_err(|error| Failure::from(&error).into_error())
    }

    #[napi]
    pub fn stop_responding(&self, name: String) {
        self.handle.stop_responding(&name);
    }

    /// What a handler has answered.
    #[napi]
    pub fn reply(&mut self, number: u32, content: Content) {
        self.reply_with(number, Ok(payload(content)));
    }

    /// What a handler has thrown.
    #[napi]
    pub fn reply_failure(&mut self, number: u32, message: String) {
        self.reply_with(number, Err(message));
    }

    fn reply_with(&mut self, number: u32, answer: Result<Payload, String>) {
        if let Some(reply) = self.replies.remove(&number) {
            // An error means that nobody waits for it any longer.
            let _ = reply.send(answer);
        }
    }

    /// What has come. A message is four elements: what it is, a number and two strings; and its content.
    #[napi]
    pub fn take(&mut self) -> Batch {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        Batch::gather(|writer| {
            let Poll::Ready(Some(message)) = self.messages.poll_recv(&mut context) else { return false };
            self.write(writer, message);
            true
        })
    }

    fn write(&mut self, writer: &mut Writer, message: Message) {
        match message {
            Message::Asked { name, request, reply } => {
                if reply.is_closed() {
                    return;
                }
                head(writer, ASKED, self.keep(reply), &name, &request.from.to_string());
                writer.content(&request.payload);
            }
            Message::Answered { ticket, outcome } => {
                self.running.remove(&ticket);
                write_outcome(writer, ANSWERED, ticket, "", outcome);
            }
            Message::AnsweredByAll { ticket, outcomes } => {
                self.running.remove(&ticket);
                for (id, outcome) in outcomes {
                    let outcome = outcome.map_err(|error| Failure::from(&error));
                    write_outcome(writer, ANSWERED_BY_ONE, ticket, &id.to_string(), outcome);
                }
                head(writer, ANSWERED_BY_ALL, ticket, "", "");
                writer.text("");
            }
        }
    }

    fn keep(&mut self, reply: Reply) -> u32 {
        if self.replies.len() > SWEEP {
            self.replies.retain(|_, reply| !reply.is_closed());
        }
        self.last_reply = self.last_reply.wrapping_add(1);
        self.replies.insert(self.last_reply, reply);
        self.last_reply
    }
}

fn target(to: &To) -> Result<Target, Failure> {
    if let Some(id) = &to.id {
        return id.parse().map(Target::Id).map_err(|_| Failure::no_such_node(id));
    }
    let Some(slot) = to.slot else { return Ok(Target::Any) };
    let no_slot = |_| Failure::no_such_node(&format!("slot {slot}"));
    u16::try_from(slot).map(|slot| Target::Slot(Slot::from(slot))).map_err(no_slot)
}

async fn ask(handle: &Handle, name: &str, content: Payload, target: Target, timeout: Duration) -> Outcome {
    let call = handle.raw_request(name, content).to(target).timeout(timeout);
    call.await.map_err(|error| Failure::from(&error))
}

fn head(writer: &mut Writer, what: u8, number: u32, first: &str, second: &str) {
    writer.number(what);
    writer.number(number);
    writer.string(first);
    writer.string(second);
}

/// The first string is the code of what failed, or empty.
fn write_outcome(writer: &mut Writer, what: u8, ticket: u32, id: &str, outcome: Outcome) {
    match outcome {
        Ok(payload) => {
            head(writer, what, ticket, "", id);
            writer.content(&payload);
        }
        Err(Failure { code, message, .. }) => {
            head(writer, what, ticket, &code, id);
            writer.text(&message);
        }
    }
}
