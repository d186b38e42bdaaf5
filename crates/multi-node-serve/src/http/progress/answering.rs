//! A request that is being answered: its part in the progress of its connection.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;

use super::{Progress, lock};

/// A request that is being answered: from its head until its response's last byte has been given to hyper.
pub(in crate::http) struct Answering {
    progress: Arc<Progress>,
    /// Its number on the connection.
    request: u64,
    bodied: bool,
}

impl Answering {
    pub(super) fn new(progress: Arc<Progress>, request: u64, bodied: bool) -> Answering {
        Answering { progress, request, bodied }
    }

    /// Whether the response has to say that it is the connection's last.
    pub(in crate::http) fn is_last(&self) -> bool {
        self.progress.drains() && !self.progress.leaves()
    }

    /// The connection, and the request's number on it.
    pub(in crate::http) fn request(&self) -> (Arc<Progress>, u64) {
        (self.progress.clone(), self.request)
    }

    /// The service has answered: the head of the response is known.
    pub(in crate::http) fn head_is_out(&self) {
        if self.bodied {
            lock(&self.progress.unanswered).retain(|request| *request != self.request);
        }
    }

    pub(in crate::http) fn write_timeout(&self) -> Duration {
        self.progress.shared.settings.write_timeout
    }

    /// The service has failed, or says that the server has.
    pub(in crate::http) fn failed(&self) {
        self.progress.shared.line.request_failed();
    }

    /// The response accepts an upgrade.
    pub(in crate::http) fn upgrades(&self) {
        self.progress.upgraded.store(true, Relaxed);
    }

    /// The response is no upgrade, although one was offered.
    pub(in crate::http) fn keep_unused(&self, upgrade: OnUpgrade) {
        self.progress.keep_unused(upgrade);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed();
        }
        if self.progress.shared.drain.is_over() {
            self.progress.shared.line.request_cut();
        }
        self.head_is_out();
        self.progress.writes();
        self.progress.answered.fetch_add(1, Relaxed);
        self.progress.shared.line.request_ended();
    }
}
