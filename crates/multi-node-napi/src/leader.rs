//! Jobs that one process of the machine does, or of all machines, for JavaScript.

#![expect(clippy::needless_pass_by_value, reason = "Node-API makes owned values")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use multi_node::lease::Lease;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use tokio::sync::{Notify, mpsc};

use crate::failure::Failure;
use crate::service::Service;
use crate::wake;

/// What JavaScript learns; 0 is nothing.
const BEGUN: u8 = 1;
const LOST: u8 = 2;
const OVER: u8 = 3;

/// There are no more of them.
const EVENTS: usize = 3;

#[napi]
impl Service {
    /// Takes part in the lease of this name; `joined`: in that of all machines. `turn` is called, on this thread, when there may be
    /// something to take.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn leader(&self, name: String, joined: bool, turn: Function<'_, (), ()>) -> napi::Result<LeaderHandle> {
        let waker = wake::waker(&turn)?;
        let (tell, events) = mpsc::channel(EVENTS);
        let ended = Arc::new(Notify::new());
        let token = Arc::new(AtomicU64::new(0));
        let (told, ends, found) = (tell.clone(), ended.clone(), token.clone());
        let job = move |lease: Lease| {
            found.store(lease.fencing_token().unwrap_or(0), Relaxed);
            job(lease, told.clone(), ends.clone())
        };
        let _runtime = self.runtime.enter();
        let leadership = match joined {
            true => self.handle.joined_leader(&name, job),
            false => self.handle.leader(&name, job),
        };
        let leadership = leadership.map_err(|error| Failure::lease(&error).into_error())?;
        self.runtime.spawn(async move {
            leadership.await;
            // An error means that JavaScript has ended.
            let _ = tell.send(OVER).await;
        });
        Ok(LeaderHandle { waker, events, ended, token })
    }
}

/// The job is JavaScript's: it learns of the begin and of the loss, and says when it has ended.
async fn job(lease: Lease, tell: mpsc::Sender<u8>, ended: Arc<Notify>) {
    // Errors mean that JavaScript has ended.
    let _ = tell.send(BEGUN).await;
    let mut ends = std::pin::pin!(ended.notified());
    tokio::select! {
        () = &mut ends => return,
        () = lease.lost() => {}
    }
    let _ = tell.send(LOST).await;
    ends.await;
}

/// This process's part in a lease.
#[napi]
pub struct LeaderHandle {
    waker: Waker,
    events: mpsc::Receiver<u8>,
    ended: Arc<Notify>,
    token: Arc<AtomicU64>,
}

#[napi]
impl LeaderHandle {
    /// What has happened: 1, the job is to begin; 2, it is to end; 3, this process takes no further part; 0, nothing.
    #[napi]
    pub fn take(&mut self) -> u8 {
        let waker = self.waker.clone();
        match self.events.poll_recv(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(event)) => event,
            _ => 0,
        }
    }

    /// Of a lease of all machines: the number that is higher for each holder than for all before it; else 0.
    #[napi]
    pub fn token(&self) -> f64 {
        self.token.load(Relaxed) as f64
    }

    /// The job has ended.
    #[napi]
    pub fn end(&self) {
        self.ended.notify_one();
    }
}
