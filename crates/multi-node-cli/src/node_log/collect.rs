//! Each node's pipes, read as long as there is room for what they carry.

use std::io::{self, PipeReader};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use multi_node::Handle;
use multi_node::admin::{LogLine, Source};
use multi_node::program::Output;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::lines::{Line, Lines};
use super::writer::{self, Written};
use super::{Format, Origin};

/// What of one node may wait to be written, in bytes.
const BUFFER: usize = 1024 * 1024;

/// Room for the line that tells of a gap, in bytes.
const GAP: usize = 256;

/// How many nodes may start before their output is taken up.
const QUEUE: usize = 256;

/// How long output is waited for after the last node has ended: another process may have its pipes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where nodes' output waits to be taken up. The sender is for [`Program::output`](multi_node::program::Program::output).
pub(crate) fn queue() -> (mpsc::Sender<Output>, mpsc::Receiver<Output>) {
    mpsc::channel(QUEUE)
}

/// Reads what nodes write and writes it where this command writes, and into the log that `multi-node logs` shows.
#[derive(Debug)]
pub(crate) struct Collector {
    task: tokio::task::JoinHandle<()>,
    writers: [oneshot::Receiver<()>; 2],
}

/// How lines are dealt with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) format: Format,
    /// Whether lines that find the buffer full are left out; otherwise the node waits.
    pub(crate) drop: bool,
}

type Queue = mpsc::UnboundedSender<Written>;

impl Collector {
    /// Starts it.
    pub(crate) fn start(manner: Manner, outputs: mpsc::Receiver<Output>, log: Handle) -> Collector {
        let (stdout, out) = writer::start(io::stdout());
        let (stderr, err) = writer::start(io::stderr());
        let task = tokio::spawn(collect(outputs, manner, log, [stdout, stderr]));
        Collector { task, writers: [out, err] }
    }

    /// Waits until all has been written that ended nodes wrote. All senders must be gone.
    pub(crate) async fn finish(self) {
        // An error would be a panic, which has been told.
        let _ = self.task.await;
        // A destination that takes nothing must not keep the command from ending.
        let _ = tokio::time::timeout(LAST_WORDS, async {
            for writer in self.writers {
                let _ = writer.await;
            }
        })
        .await;
    }
}

async fn collect(mut outputs: mpsc::Receiver<Output>, manner: Manner, log: Handle, [stdout, stderr]: [Queue; 2]) {
    let mut readers = JoinSet::new();
    while let Some(output) = outputs.recv().await {
        let room = Arc::new(Semaphore::new(BUFFER));
        let origin = |stream| Origin { id: output.id, slot: output.slot, pid: output.pid, stream };
        let reader = |stream, queue: &Queue| Reader {
            origin: origin(stream),
            manner,
            log: log.clone(),
            room: room.clone(),
            queue: queue.clone(),
            missed: 0,
        };
        readers.spawn(reader(Source::Stdout, &stdout).read(output.stdout));
        readers.spawn(reader(Source::Stderr, &stderr).read(output.stderr));
        while readers.try_join_next().is_some() {}
    }
    let rest = async { while readers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, rest).await;
}

/// Reads one pipe.
struct Reader {
    origin: Origin,
    manner: Manner,
    /// Its handle, whose log keeps the last lines of all nodes whether or not they can be written here.
    log: Handle,
    /// The node's buffer.
    room: Arc<Semaphore>,
    queue: Queue,
    /// Lines left out since the last that was kept.
    missed: u64,
}

impl Reader {
    async fn read(mut self, pipe: PipeReader) {
        if let Err(error) = self.read_to_end(pipe).await {
            tracing::error!(id = %self.origin.id, %error, "cannot read what the node writes");
        }
    }

    async fn read_to_end(&mut self, pipe: PipeReader) -> io::Result<()> {
        let mut pipe = pipe::Receiver::from_owned_fd(pipe.into())?;
        let mut lines = Lines::default();
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let count = pipe.read(&mut bytes).await?;
            for line in lines.take(&bytes[..count]) {
                self.pass_on(&line).await;
            }
            if count == 0 {
                break;
            }
        }
        if let Some(line) = lines.end() {
            self.pass_on(&line).await;
        }
        self.tell_gap().await;
        Ok(())
    }

    async fn pass_on(&mut self, line: &Line) {
        let Origin { id, slot, stream, .. } = self.origin;
        self.log.log(LogLine::of_node(SystemTime::now(), stream, slot, id, line.told()));
        let bytes = self.manner.format.show(self.origin, line);
        if self.manner.drop && self.room.available_permits() < bytes.len() + GAP {
            self.missed += 1;
            return;
        }
        self.tell_gap().await;
        self.write(bytes).await;
    }

    async fn tell_gap(&mut self) {
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            self.write(self.manner.format.show_gap(self.origin, missed)).await;
        }
    }

    /// Waits for room: until then the pipe is not read, and the node waits in its turn.
    async fn write(&self, bytes: Vec<u8>) {
        let needed = u32::try_from(bytes.len().min(BUFFER)).unwrap_or(u32::MAX);
        if let Ok(room) = self.room.clone().acquire_many_owned(needed).await {
            // An error means that the command ends.
            let _ = self.queue.send(Written { bytes, room });
        }
    }
}
