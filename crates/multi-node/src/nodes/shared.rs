//! What the processes of a program have together: shares of a total, a secret, limits and counters.

use super::Handle;
use crate::id::Slot;
use crate::limits::{Counter, Gauge, Limit, Quota, TooManyCounters, TooManyGauges};
use crate::shared_secret::SharedSecret;

impl Handle {
    /// This node's share of something of which all nodes together may have `total`, such as connections to a database: the
    /// slots share it evenly, and the first ones have one more where it does not divide. At least 1, so that every node can work;
    /// with more slots than `total` the sum is above it. In the master, and where there are no nodes, it is the share of slot 0.
    ///
    /// What counts are slots, as many as there are now: after [`scale`](Handle::scale) the share is another. A reload is not
    /// counted: while old and new nodes live beside each other, and while old ones drain, they may have up to twice `total`
    /// together. So let `total` be half of what the database allows, or reload [slot by slot](crate::Options::rolling).
    pub fn share_of(&self, total: usize) -> usize {
        share(total, self.slot().map_or(0, Slot::index), self.0.snapshot.borrow().status.wanted)
    }

    /// Random bytes that the master and all nodes share, over reloads and upgrades. `None` in a process that serves alone, and in a
    /// node whose master is of a release that makes none.
    pub fn shared_secret(&self) -> Option<&SharedSecret> {
        self.0.secret.as_ref()
    }

    /// The limit with this name: how much each key may do, counted for all processes of the program together.
    ///
    /// A check computes for less than a microsecond; it sends no message and waits for nobody. What was counted outlives crashes of nodes,
    /// reloads and upgrades, and is gone when the master ends. Processes that give a limit of one name different quotas count in the same
    /// place, each by its own quota.
    ///
    /// ```no_run
    /// # use multi_node::Handle;
    /// # use multi_node::limits::Quota;
    /// # fn of(node: Handle, client: std::net::IpAddr) {
    /// let logins = node.limit("login", Quota::per_minute(100));
    /// match logins.check(client) {
    ///     Ok(allowed) => println!("{} more", allowed.remaining),
    ///     Err(denied) => println!("try again in {:?}", denied.retry_after),
    /// }
    /// # }
    /// ```
    pub fn limit(&self, name: &str, quota: Quota) -> Limit {
        Limit::new(self.0.limits.clone(), name, quota)
    }

    /// The counter with this name: a number that all processes add to. It outlives what [limits](Handle::limit) outlive.
    ///
    /// # Errors
    /// Where there are 256 counters already.
    pub fn counter(&self, name: &str) -> Result<Counter, TooManyCounters> {
        Counter::new(self.0.limits.clone(), name)
    }

    /// The gauge with this name: a number of which each process has a part, such as the sockets that are open. When a process has ended, its part no longer
    /// counts, however it ended.
    ///
    /// ```no_run
    /// # use multi_node::Handle;
    /// # fn of(node: Handle) -> Result<(), multi_node::limits::TooManyGauges> {
    /// let online = node.gauge("online")?;
    /// online.add(1); // a client has connected
    /// println!("{} clients in all processes", online.get());
    /// online.add(-1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Where there are 64 gauges already.
    pub fn gauge(&self, name: &str) -> Result<Gauge, TooManyGauges> {
        Gauge::new(self.0.limits.clone(), name)
    }

    /// How many checks of limits found no room for their key.
    pub(crate) fn limit_overflows(&self) -> u64 {
        self.0.limits.overflows()
    }
}

/// What this slot has of the total.
fn share(total: usize, slot: usize, slots: usize) -> usize {
    let slots = slots.max(1);
    (total / slots + usize::from(slot < total % slots)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_shared_evenly_and_nobody_goes_without() {
        let shares = |total, slots| (0..slots).map(|slot| share(total, slot, slots)).collect::<Vec<_>>();
        assert_eq!(shares(100, 4), [25, 25, 25, 25]);
        assert_eq!(shares(10, 4), [3, 3, 2, 2]);
        assert_eq!(shares(2, 4), [1, 1, 1, 1]);
        assert_eq!((share(10, 7, 4), share(10, 0, 0)), (2, 10), "a slot that is given up drains still");
    }
}
