//! Which answer is awaited by whom. What nobody awaits any longer is forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::subject;

/// What NATS brings for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Frame(Bytes),
    /// No machine has subscribed.
    Nobody,
}

/// The questions of this gateway.
#[derive(Debug)]
pub(super) struct Replies {
    /// What the subjects of answers to this gateway begin with.
    begin: String,
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
}

/// A question that awaits its answer, until this is dropped.
#[derive(Debug)]
pub(super) struct Awaited {
    replies: Arc<Replies>,
    number: u64,
    reply: oneshot::Receiver<Reply>,
}

impl Replies {
    /// `gateway`: another number for each gateway.
    pub(super) fn new(cluster: &str, gateway: u64) -> Replies {
        let begin = format!("{}{gateway:x}.", subject::answers(cluster));
        Replies { begin, last: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// Where all its answers come.
    pub(super) fn subject(&self) -> String {
        format!("{}*", self.begin)
    }

    pub(super) fn expect(self: &Arc<Self>) -> Awaited {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        self.waiting().insert(number, sender);
        Awaited { replies: self.clone(), number, reply }
    }

    /// Something came in this subject. False if nobody awaits it.
    pub(super) fn came(&self, subject: &str, reply: Reply) -> bool {
        let number = subject.strip_prefix(&self.begin).and_then(|number| u64::from_str_radix(number, 16).ok());
        let sender = number.and_then(|number| self.waiting().remove(&number));
        sender.is_some_and(|sender| sender.send(reply).is_ok())
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Awaited {
    /// Where the answer is to go.
    pub(super) fn subject(&self) -> String {
        format!("{}{:x}", self.replies.begin, self.number)
    }

    /// The answer; `None` if none can come any more.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.replies.waiting().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_answer_comes_once_to_who_awaits_it() {
        let replies = Arc::new(Replies::new("shop", 0x5f));
        assert_eq!(replies.subject(), "mn.shop.r.5f.*");
        let (mut one, two) = (replies.expect(), replies.expect());
        assert_eq!((one.subject(), two.subject()), ("mn.shop.r.5f.0".to_owned(), "mn.shop.r.5f.1".to_owned()));
        assert!(replies.came(&one.subject(), Reply::Nobody));
        assert!(!replies.came(&one.subject(), Reply::Frame(Bytes::new())), "twice");
        assert_eq!(one.reply().await, Some(Reply::Nobody));
        let subject = two.subject();
        drop(two);
        assert!(!replies.came(&subject, Reply::Nobody), "nobody awaits it");
        for other in ["", "mn.shop.r.5f.", "mn.shop.r.5f.x", "mn.shop.r.60.0"] {
            assert!(!replies.came(other, Reply::Nobody), "{other}");
        }
        drop(one);
        assert!(replies.waiting().is_empty());
    }
}
