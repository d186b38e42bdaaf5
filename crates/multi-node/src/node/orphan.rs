//! No node outlives its master for longer than its drain.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys;

/// What the program gets beyond the drain to return from `main`.
const GRACE: Duration = Duration::from_secs(1);

/// The thread that ends this process.
#[derive(Debug)]
pub(super) struct Guard {
    /// Until when the end of the channel says nothing, on the clock of [`sys::epoll::monotonic_ms`].
    patient_until: Arc<AtomicU64>,
}

impl Guard {
    /// For so long a master may be without this process, and this process without a master.
    pub(super) fn be_patient(&self, within: Duration) {
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.patient_until.store(sys::epoll::monotonic_ms().saturating_add(within), Ordering::Relaxed);
    }

    pub(super) fn end_patience(&self) {
        self.patient_until.store(0, Ordering::Relaxed);
    }
}

/// Starts a thread that ends this process when its master has been gone for `drain_timeout`, whatever the program's own
/// threads are doing by then: they may be in a loop, or wait for something that never comes. `master`: its process, whose end
/// ends all patience.
pub(super) fn guard(control: UnixStream, master: Option<OwnedFd>, drain_timeout: Duration) -> io::Result<Guard> {
    // Who is stopped could not leave, and the kernel continues only those whose new parent is of another session.
    sys::process::continue_without_parent()?;
    let patient_until = Arc::new(AtomicU64::new(0));
    let until = patient_until.clone();
    let watch = move || {
        if sys::socket::wait_for_hangup(control.as_fd()).is_err() {
            return;
        }
        let patience = until.load(Ordering::Relaxed).saturating_sub(sys::epoll::monotonic_ms());
        be_without_master(master.as_ref(), Duration::from_millis(patience));
        std::thread::sleep(drain_timeout + GRACE);
        crate::log::error!("the master is gone and the drain is over: this node ends");
        if sys::process::kill_self().is_err() {
            std::process::abort();
        }
    };
    std::thread::Builder::new().name("orphan-guard".to_owned()).stack_size(64 * 1024).spawn(watch)?;
    Ok(Guard { patient_until })
}

/// Waits for another master until `patience` is over, or until the process has ended in which it would start.
fn be_without_master(master: Option<&OwnedFd>, patience: Duration) {
    let ended = master.is_some_and(|master| sys::process::ends_within(master.as_fd(), patience).is_ok());
    if !ended {
        std::thread::sleep(patience);
    }
}
