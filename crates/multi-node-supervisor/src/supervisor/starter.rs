//! The thread that starts nodes which the kernel ends with their master.
//!
//! The signal that they have asked for (PR_SET_PDEATHSIG(2const)) comes when the *thread* that started them ends, and
//! execve(2) ends all threads but the calling one. So one thread starts them all, and also executes the master's successor.
//! It becomes that program's main thread, and the nodes notice nothing.

use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

type Work = Box<dyn FnOnce() + Send>;

/// The way to the thread, which ends with it.
#[derive(Debug)]
pub(super) struct Starter(SyncSender<Work>);

impl Starter {
    pub(super) fn start() -> io::Result<Starter> {
        let (sender, work) = mpsc::sync_channel::<Work>(1);
        thread::Builder::new()
            .name("multi-node-start".to_owned())
            .spawn(move || work.iter().for_each(|work| work()))?;
        Ok(Starter(sender))
    }

    /// Has the thread do this, and waits for it.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        let work = Box::new(move || {
            // The caller waits.
            let _ = answer.send(work());
        });
        let gone = || io::Error::other("the thread that starts nodes is gone");
        self.0.send(work).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())
    }
}
