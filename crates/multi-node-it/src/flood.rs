//! Clients that mean harm, in numbers, for as long as a test lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use crate::Program;

/// Clients that do the same again and again.
#[derive(Default)]
pub struct Flood {
    is_over: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Flood {
    /// Adds a client that does this. That it is refused or cut is what it deserves.
    pub fn add<F, T>(&mut self, once: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = T> + Send,
    {
        let is_over = self.is_over.clone();
        self.clients.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                once().await;
            }
        });
    }

    /// Ends it. The program has lost no node, and has no connection left.
    pub async fn end(self, program: &mut Program) {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        let status = program.status_where(|s| s.is_ready() && s.slots.iter().all(|slot| slot.connections == 0)).await;
        assert!(status.slots.iter().all(|slot| slot.restarts == 0), "{status:?}");
    }
}
