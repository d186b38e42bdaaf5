//! A node's part in leases: what it asks its master for, and who waits for the answer.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};

use crate::control::ToMaster;
use crate::process_links::LeaseRequest;

pub(super) struct Leases {
    requests: mpsc::Receiver<LeaseRequest>,
    /// What was asked for and not granted yet, by ticket.
    waiting: BTreeMap<u64, (String, oneshot::Sender<()>)>,
    /// Whether the master grants leases.
    master_grants: bool,
    /// What another master is asked again.
    again: Vec<u64>,
}

impl Leases {
    pub(super) fn new(requests: mpsc::Receiver<LeaseRequest>, master_grants: bool) -> Leases {
        Leases { requests, waiting: BTreeMap::new(), master_grants, again: Vec::new() }
    }

    /// What to tell the master next. Cancel-safe.
    pub(super) async fn next(&mut self) -> ToMaster {
        loop {
            if let Some(ticket) = self.again.pop()
                && let Some((name, _)) = self.waiting.get(&ticket)
            {
                return ToMaster::SeekLease { ticket, name: name.clone() };
            }
            match self.requests.recv().await {
                Some(request) => {
                    if let Some(message) = self.message(request) {
                        return message;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    fn message(&mut self, request: LeaseRequest) -> Option<ToMaster> {
        match request {
            LeaseRequest::Seek { ticket, name, granted } => {
                self.waiting.insert(ticket, (name.clone(), granted));
                if !self.master_grants {
                    crate::log::warn!(
                        lease = name,
                        "no process gets the lease: the master is of an earlier release; upgrade it"
                    );
                }
                self.master_grants.then_some(ToMaster::SeekLease { ticket, name })
            }
            LeaseRequest::Return { ticket } => {
                self.waiting.remove(&ticket);
                self.master_grants.then_some(ToMaster::ReturnLease { ticket })
            }
        }
    }

    /// The master has granted what was asked for.
    pub(super) fn granted(&mut self, ticket: u64) {
        if let Some((_, granted)) = self.waiting.remove(&ticket) {
            // It may have stopped waiting, and then returns the lease.
            let _ = granted.send(());
        }
    }

    /// There is another master. It knows what was asked of the one before, unless that was of an earlier release.
    pub(super) fn ask_again(&mut self) {
        self.master_grants = true;
        self.again = self.waiting.keys().rev().copied().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_master_is_asked_again_for_what_was_not_granted() {
        let (requests, receiver) = mpsc::channel(4);
        let mut leases = Leases::new(receiver, true);
        let seek = |ticket: u64| {
            let (granted, is_granted) = oneshot::channel();
            requests.try_send(LeaseRequest::Seek { ticket, name: format!("lease-{ticket}"), granted }).expect("room");
            is_granted
        };
        let (mut first, _second) = (seek(1), seek(2));
        for expected in [1, 2] {
            assert!(matches!(leases.next().await, ToMaster::SeekLease { ticket, .. } if ticket == expected));
        }
        leases.granted(1);
        leases.granted(7);
        assert_eq!(first.try_recv(), Ok(()));
        leases.ask_again();
        assert!(matches!(leases.next().await, ToMaster::SeekLease { ticket: 2, name } if name == "lease-2"));
    }

    #[tokio::test]
    async fn a_master_of_an_earlier_release_is_asked_for_nothing() {
        let (requests, receiver) = mpsc::channel(4);
        let mut leases = Leases::new(receiver, false);
        let (granted, _waits) = oneshot::channel();
        requests.try_send(LeaseRequest::Seek { ticket: 1, name: "cron".to_owned(), granted }).expect("room");
        let asked = tokio::time::timeout(std::time::Duration::from_millis(10), leases.next()).await;
        assert!(asked.is_err(), "{asked:?}");
        leases.ask_again();
        assert!(matches!(leases.next().await, ToMaster::SeekLease { ticket: 1, .. }));
    }
}
