//! Tells other machines that an answer is no longer awaited, so that their processes need not go on.

use async_nats::Client;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::frame::encode_cancel;
use crate::frame::Sender;
use crate::machine::Machine;
use crate::subject;

/// How many may wait for NATS. What does not fit goes on to its deadline.
const WAITING: usize = 256;

/// The client, the subject in which others listen, and that of the answer.
type Cancelled = (Client, String, String);

#[derive(Debug)]
pub(super) struct Cancels {
    /// The subject in which all machines listen.
    all: String,
    cancelled: mpsc::Sender<Cancelled>,
}

impl Cancels {
    pub(super) fn begin(machine: &Machine) -> Cancels {
        let me = Sender { machine: machine.name.clone(), epoch: machine.epoch };
        let (cancelled, waiting) = mpsc::channel(WAITING);
        tokio::spawn(tell(waiting, me));
        Cancels { all: subject::cancelled(&machine.cluster), cancelled }
    }

    /// Tells the machine that answers there, or all, if this is dropped before the deadline.
    pub(super) fn unless_answered(
        &self,
        client: &Client,
        reply: String,
        subject: Option<String>,
        deadline: Instant,
    ) -> Abandoned {
        let cancelled = (client.clone(), subject.unwrap_or_else(|| self.all.clone()), reply);
        Abandoned { to: self.cancelled.clone(), cancelled: Some(cancelled), deadline }
    }
}

async fn tell(mut waiting: mpsc::Receiver<Cancelled>, me: Sender) {
    let frame = encode_cancel(&me);
    while let Some((client, subject, reply)) = waiting.recv().await {
        // What is lost goes on to its deadline.
        let _ = client.publish_with_reply(subject, reply, frame.clone()).await;
    }
}

/// A question that is abandoned, if this is dropped.
#[derive(Debug)]
pub(super) struct Abandoned {
    to: mpsc::Sender<Cancelled>,
    cancelled: Option<Cancelled>,
    deadline: Instant,
}

impl Abandoned {
    pub(super) fn answered(mut self) {
        self.cancelled = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(cancelled) = self.cancelled.take()
            && Instant::now() < self.deadline
        {
            let _ = self.to.try_send(cancelled);
        }
    }
}
