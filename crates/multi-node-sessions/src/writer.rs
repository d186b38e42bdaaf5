//! The thread that writes. What waits in its queue is gathered into one transaction.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::batch::{Outcome, WriteConnection};
use crate::error::SessionError;
use crate::settings::Settings;
use crate::statements::Change;

/// As many changes are one transaction, at most: other processes wait for it.
const BATCH: usize = 64;

/// As many bytes are one transaction, unless the first change has more.
const BATCH_BYTES: usize = 1 << 20;

/// As many changes fill some megabytes of the log, which housekeeping then writes back.
const CHANGES_PER_CHECKPOINT: usize = 500;

struct Job {
    change: Change,
    deadline: Instant,
    bytes: usize,
    reply: oneshot::Sender<Outcome>,
}

/// The queue of the thread, which ends when the last of these has been dropped.
pub(crate) struct Writer {
    queue: SyncSender<Job>,
    waiting: Arc<Waiting>,
    limits: Limits,
    path: PathBuf,
}

struct Limits {
    bytes: usize,
    busy_deadline: Duration,
}

#[derive(Default)]
struct Waiting {
    jobs: AtomicUsize,
    bytes: AtomicUsize,
}

impl Writer {
    /// `written` gets a message now and then, so that somebody writes the log back.
    pub(crate) fn start(
        connection: WriteConnection,
        path: PathBuf,
        settings: &Settings,
        written: SyncSender<()>,
    ) -> Result<Writer, SessionError> {
        let (queue, jobs) = sync_channel(settings.max_queued_writes);
        let waiting = Arc::new(Waiting::default());
        let thread = WriterThread { connection, jobs, waiting: waiting.clone(), written, changes: 0 };
        let started = std::thread::Builder::new().name("sessions-write".to_owned()).spawn(move || thread.run());
        started.map_err(SessionError::files("start the thread that writes", &path))?;
        let limits = Limits { bytes: settings.max_queued_bytes(), busy_deadline: settings.busy_deadline };
        Ok(Writer { queue, waiting, limits, path })
    }

    /// Never waits: a queue that is full is an error.
    pub(crate) fn enqueue(&self, change: Change) -> Result<oneshot::Receiver<Outcome>, SessionError> {
        let bytes = change.bytes();
        if self.waiting.bytes.load(Ordering::Relaxed) + bytes > self.limits.bytes {
            return Err(self.overloaded());
        }
        let (reply, outcome) = oneshot::channel();
        let job = Job { change, deadline: Instant::now() + self.limits.busy_deadline, bytes, reply };
        self.waiting.add(bytes);
        self.queue.try_send(job).map(|()| outcome).map_err(|error| {
            self.waiting.remove(bytes);
            match error {
                TrySendError::Full(_) => self.overloaded(),
                TrySendError::Disconnected(_) => SessionError::Closed { path: self.path.clone() },
            }
        })
    }

    fn overloaded(&self) -> SessionError {
        let read = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        SessionError::Overloaded { queued: read(&self.waiting.jobs), bytes: read(&self.waiting.bytes) }
    }
}

impl Waiting {
    fn add(&self, bytes: usize) {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.jobs.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

struct WriterThread {
    connection: WriteConnection,
    jobs: Receiver<Job>,
    waiting: Arc<Waiting>,
    written: SyncSender<()>,
    changes: usize,
}

impl WriterThread {
    fn run(mut self) {
        while let Ok(first) = self.jobs.recv() {
            let batch = self.gather(first);
            self.write(batch);
        }
    }

    fn gather(&self, first: Job) -> Vec<Job> {
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += job.bytes;
            batch.push(job);
        }
        batch
    }

    fn write(&mut self, mut batch: Vec<Job>) {
        while let Some(first) = batch.first() {
            match self.connection.begin(first.deadline) {
                Ok(()) => {
                    let outcomes = self.connection.execute(batch.iter().map(|job| &job.change));
                    self.remind(batch.len());
                    return self.answer(batch, outcomes);
                }
                Err(error) => batch = self.give_up(batch, &error),
            }
        }
    }

    /// Those whose deadline is over get the error, and the others wait on; any other failure is all of theirs.
    fn give_up(&self, batch: Vec<Job>, error: &SessionError) -> Vec<Job> {
        let now = Instant::now();
        let is_busy = matches!(error, SessionError::Busy { .. });
        let (rest, over): (Vec<Job>, Vec<Job>) = batch.into_iter().partition(|job| is_busy && job.deadline > now);
        self.answer(over, Err(error.clone()));
        rest
    }

    fn answer(&self, batch: Vec<Job>, outcomes: Result<Vec<Outcome>, SessionError>) {
        let outcomes = outcomes.unwrap_or_else(|error| vec![Err(error); batch.len()]);
        for (job, outcome) in batch.into_iter().zip(outcomes) {
            self.waiting.remove(job.bytes);
            // The caller may have stopped waiting.
            let _ = job.reply.send(outcome);
        }
    }

    fn remind(&mut self, changes: usize) {
        self.changes += changes;
        if self.changes >= CHANGES_PER_CHECKPOINT {
            self.changes = 0;
            // A message that waits already is as good.
            let _ = self.written.try_send(());
        }
    }
}
