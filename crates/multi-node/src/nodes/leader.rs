//! Jobs that one process of the program does.

use std::path::PathBuf;

use super::Handle;
use crate::lease::{Leadership, Lease, LeaseRefused};

impl Handle {
    /// Does a job in exactly one process of the machine. Every node calls this; the one that gets the lease of this name runs the closure in a
    /// task. When the closure has returned, this process takes no further part, and another one that has called this gets the lease.
    ///
    /// A node that drains has to end its job: [`Lease::lost`] resolves, also when the master has gone. The closure is not dropped then. The node waits for it until the
    /// end of its drain, and no other process gets the lease before. In a reload the next holder is a node of the new program.
    ///
    /// If the closure panics, the lease is returned, and this process waits for it again, a second later at the earliest. What the closure
    /// starts and does not wait for, such as tasks and threads, is not part of the job.
    ///
    /// In the master the closure never runs while there are nodes: after a reload the master's program is an old one. A process that serves
    /// alone runs it.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use multi_node::Handle;
    /// # use multi_node::lease::LeaseRefused;
    /// # async fn send_mails() {}
    /// # fn of(node: Handle) -> Result<(), LeaseRefused> {
    /// node.leader("mails", async |lease| {
    ///     let mut minutes = tokio::time::interval(Duration::from_secs(60));
    ///     loop {
    ///         tokio::select! {
    ///             _ = minutes.tick() => send_mails().await,
    ///             () = lease.lost() => return,
    ///         }
    ///     }
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the name is empty or longer than 255 bytes, or this process takes part in 64 leases already.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn leader<F, R>(&self, name: &str, job: F) -> Result<Leadership, LeaseRefused>
    where
        F: Fn(Lease) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.0.leader.take_part(name, job)
    }

    /// As [`leader`](Handle::leader), but does the job in one process of all [joined](crate::Options::join) machines. Beside the lease of this machine the process
    /// holds one that NATS's JetStream keeps, and renews it every 2 s.
    ///
    /// It promises less than [`leader`](Handle::leader). A holder that cannot renew it for 6 s loses it: [`Lease::lost`] resolves, but nothing stops a job that
    /// goes on, or a process that was stopped in between. 9 s after the last renewal another machine may take it. So give [`Lease::fencing_token`] to whatever the job
    /// changes, and let that refuse lower tokens than it has seen. While NATS is not there, nobody gets the lease. If its holder's machine ends without a word, or its
    /// job panics, others wait for the 9 s.
    ///
    /// ```no_run
    /// # use multi_node::Handle;
    /// # use multi_node::lease::LeaseRefused;
    /// # async fn send_mails(_: u64) {}
    /// # fn of(node: Handle) -> Result<(), LeaseRefused> {
    /// node.joined_leader("mails", async |lease| {
    ///     while !lease.is_lost() {
    ///         send_mails(lease.fencing_token().unwrap_or(0)).await;
    ///         # break;
    ///     }
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// # Panics
    /// As [`leader`](Handle::leader).
    #[cfg(all(multi_process, feature = "join"))]
    pub fn joined_leader<F, R>(&self, name: &str, job: F) -> Result<Leadership, LeaseRefused>
    where
        F: Fn(Lease) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let (bus, job) = (self.bus().clone(), std::sync::Arc::new(job));
        self.leader(name, move |local| {
            let (bus, job) = (bus.clone(), job.clone());
            async move { crate::lease::lead(bus, local, &*job).await }
        })
    }

    /// Where the files of this program's leases are, if this process has them.
    pub(crate) fn lease_directory(&self) -> Option<PathBuf> {
        self.0.leader.directory()
    }

    /// Resolves when the jobs of this process have ended, or the drain's time is over.
    pub(crate) async fn jobs_ended(&self) {
        self.0.leader.all_returned().await;
    }
}
