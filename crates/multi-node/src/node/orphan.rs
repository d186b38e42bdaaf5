//! No node outlives its master for longer than its drain.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::sys;

/// What the program gets beyond the drain to return from `main`.
const GRACE: Duration = Duration::from_secs(1);

/// Starts a thread that ends this process when its master has been gone for `drain_timeout`, whatever the program's own
/// threads are doing by then: they may be in a loop, or wait for something that never comes.
pub(super) fn guard(control: UnixStream, drain_timeout: Duration) -> io::Result<()> {
    // Who is stopped could not leave, and the kernel continues only those whose new parent is of another session.
    sys::process::continue_without_parent()?;
    let watch = move || {
        if sys::socket::wait_for_hangup(control.as_fd()).is_err() {
            return;
        }
        std::thread::sleep(drain_timeout + GRACE);
        tracing::error!("the master is gone and the drain is over: this node ends");
        if sys::process::kill_self().is_err() {
            std::process::abort();
        }
    };
    std::thread::Builder::new().name("orphan-guard".to_owned()).stack_size(64 * 1024).spawn(watch).map(drop)
}
