//! A limit of connections that new ones always pass: the connection that has been idle for the longest makes room.
//!
//! For addresses that have to answer even if a client holds all their connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// The connections of one server.
#[derive(Debug)]
pub(crate) struct Crowd {
    most: usize,
    members: Mutex<Vec<Arc<Member>>>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Member {
    moved: Mutex<Instant>,
    leave: Notify,
}

/// A connection's membership, until it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    crowd: Arc<Crowd>,
    pub(crate) member: Arc<Member>,
}

impl Crowd {
    pub(crate) fn new(most: usize) -> Arc<Crowd> {
        Arc::new(Crowd { most, members: Mutex::default() })
    }

    /// Takes a connection in. Where there are too many then, the one that has been idle for the longest has to leave.
    pub(crate) fn join(self: &Arc<Self>) -> Membership {
        let member = Arc::new(Member { moved: Mutex::new(Instant::now()), leave: Notify::new() });
        let mut members = self.members();
        if members.len() >= self.most
            && let Some(idlest) = (0..members.len()).min_by_key(|index| *lock(&members[*index].moved))
        {
            members.swap_remove(idlest).leave.notify_one();
        }
        members.push(member.clone());
        Membership { crowd: self.clone(), member }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        lock(&self.members)
    }
}

impl Member {
    /// Bytes have been read or written.
    pub(crate) fn moved(&self) {
        *lock(&self.moved) = Instant::now();
    }
}

impl Membership {
    /// Resolves when the connection has to leave.
    pub(crate) async fn over(&self) {
        self.member.leave.notified().await;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.crowd.members().retain(|member| !Arc::ptr_eq(member, &self.member));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn left(membership: &Membership) -> bool {
        let mut over = std::pin::pin!(membership.over());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(over.as_mut(), &mut cx).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn the_idlest_makes_room() {
        let crowd = Crowd::new(3);
        let mut members = Vec::new();
        for _ in 0..3 {
            members.push(crowd.join());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        members[0].member.moved();
        tokio::time::advance(Duration::from_secs(1)).await;
        let fourth = crowd.join();
        assert_eq!(members.iter().map(left).collect::<Vec<_>>(), [false, true, false]);
        drop(fourth);
        let _fifth = crowd.join();
        assert_eq!(members.iter().map(left).collect::<Vec<_>>(), [false, false, false], "there was room");
        members.clear();
        assert_eq!(crowd.members().len(), 1);
    }
}
