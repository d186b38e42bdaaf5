//! The task that looks at the program when somebody asks, and remembers what it has seen.

use tokio::sync::{mpsc, oneshot};

use super::exposition::Exposition;
use super::ledger::Ledger;
use super::page::Page;
use crate::admin::Observer;

/// How many may wait for a look.
const WAITING: usize = 16;

/// Asks for looks; clones ask the same task, which ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Collector(mpsc::Sender<oneshot::Sender<String>>);

impl Collector {
    pub(super) fn start(observer: Observer) -> Collector {
        let (asks, asked) = mpsc::channel(WAITING);
        tokio::spawn(collect(observer, asked));
        Collector(asks)
    }

    /// The page `/metrics` as it is now; `None` where the program is ending. Cancel-safe.
    pub(super) async fn page(&self) -> Option<String> {
        let (reply, page) = oneshot::channel();
        self.0.send(reply).await.ok()?;
        page.await.ok()
    }
}

async fn collect(observer: Observer, mut asked: mpsc::Receiver<oneshot::Sender<String>>) {
    let mut ledger = Ledger::default();
    while let Some(reply) = asked.recv().await {
        let instance = observer.now().await;
        ledger.see(&instance);
        let totals = observer.counts().then(|| observer.handle.totals());
        let mut text = Exposition::default();
        Page { instance: &instance, ledger: &ledger, totals: totals.as_ref() }.write(&mut text);
        // Whoever asked may have stopped waiting.
        let _ = reply.send(text.into_text());
    }
}
