//! What is being answered here for other machines, until it is answered or they no longer await it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// By where the answers go. Their number is bounded by the [room](super::room) for them.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashMap<String, AbortHandle>>);

impl Running {
    /// Answers there.
    pub(super) fn begin(self: &Arc<Self>, reply: String, answering: impl Future<Output = ()> + Send + 'static) {
        let (running, ended) = (self.clone(), reply.clone());
        // Held until the task is known: it takes itself out when it ends.
        let mut all = self.lock();
        let task = tokio::spawn(async move {
            answering.await;
            running.lock().remove(&ended);
        });
        all.insert(reply, task.abort_handle());
    }

    /// Nobody awaits this answer any longer.
    pub(super) fn cancel(&self, reply: &str) {
        if let Some(task) = self.lock().remove(reply) {
            task.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_cancelled_ends_and_what_has_ended_is_forgotten() {
        let running = Arc::new(Running::default());
        let ((one, is_one), (two, is_two)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
        running.begin("one".to_owned(), async move {
            let _one = one;
            std::future::pending::<()>().await;
        });
        running.begin("two".to_owned(), async move { drop(two) });
        assert!(is_two.await.is_err(), "it has ended");
        running.cancel("none");
        running.cancel("one");
        assert!(is_one.await.is_err(), "it was dropped");
        tokio::task::yield_now().await;
        assert!(running.lock().is_empty());
    }
}
