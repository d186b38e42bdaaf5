//! Each node's pipes, read as long as there is room for what they carry.

use std::collections::BTreeMap;
use std::io::{self, PipeReader};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use multi_node::Handle;
use multi_node::admin::{LogLine, Source};
use multi_node_run::{Collect, Output};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::lines::{Line, Lines};
use super::writer::Writer;
use super::{Format, Origin};

/// What of one node may wait to be written, in bytes.
const BUFFER: usize = 1024 * 1024;

/// Room for the line that reports a gap, in bytes.
const GAP: usize = 256;

/// How many nodes may start before their output is taken up.
const QUEUE: usize = 256;

/// How long output is waited for after the last node has ended: another process may have its pipes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What there is to collect waits here. The sender is for [`Program::output`](multi_node_run::Program::output).
pub(crate) fn queue() -> (mpsc::Sender<Collect>, mpsc::Receiver<Collect>) {
    mpsc::channel(QUEUE)
}

/// Reads what nodes write and writes it where this command writes, and into the log that `multi-node logs` shows.
#[derive(Debug)]
pub(crate) struct Collector {
    task: tokio::task::JoinHandle<()>,
    stdout: Writer,
}

/// How lines are dealt with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) format: Format,
    /// Whether lines that find the buffer full are left out; otherwise the node waits.
    pub(crate) drop: bool,
}

impl Collector {
    /// Starts it. `stderr` writes what nodes write to their standard error.
    pub(crate) fn start(
        manner: Manner,
        asked: mpsc::Receiver<Collect>,
        log: Handle,
        stderr: Writer,
    ) -> io::Result<Collector> {
        let stdout = Writer::start(io::stdout())?;
        let rest = watch::Sender::new(false);
        let task = Readers { manner, log, stdout: stdout.clone(), stderr, rest, readers: JoinSet::new() };
        Ok(Collector { task: tokio::spawn(task.collect(asked)), stdout })
    }

    /// Waits until all has been written that ended nodes wrote. All senders must be gone.
    pub(crate) async fn finish(self) {
        // An error would be a panic, which has been logged.
        let _ = self.task.await;
        finish(&self.stdout).await;
    }
}

/// Waits until all has been written. A destination that takes nothing does not keep the command from ending.
pub(crate) async fn finish(writer: &Writer) {
    let _ = tokio::time::timeout(LAST_WORDS, writer.flushed()).await;
}

/// The collector's task: it has a reader for each stream.
struct Readers {
    manner: Manner,
    /// The handle whose log keeps the last lines of all nodes whether or not they can be written here.
    log: Handle,
    stdout: Writer,
    stderr: Writer,
    /// Turns true to stop reading.
    rest: watch::Sender<bool>,
    readers: JoinSet<Option<Output>>,
}

impl Readers {
    async fn collect(mut self, mut asked: mpsc::Receiver<Collect>) {
        while let Some(asked) = asked.recv().await {
            match asked {
                Collect::Read(streams) => self.read(streams),
                Collect::Rest(back) => {
                    // If no receiver takes them, all continues.
                    if let Err(streams) = back.send(self.rest().await) {
                        self.read(streams);
                    }
                }
                _ => tracing::error!("asked to collect in a way that is not known here"),
            }
            while self.readers.try_join_next().is_some() {}
        }
        let rest = async { while self.readers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    }

    fn read(&mut self, streams: Vec<Output>) {
        let mut rooms = BTreeMap::new();
        for output in streams {
            let room: &mut Arc<Semaphore> = rooms.entry(output.id).or_insert_with(|| Arc::new(Semaphore::new(BUFFER)));
            let writer = if output.stream == Source::Stderr { &self.stderr } else { &self.stdout };
            let reader = Reader {
                origin: Origin { id: output.id, slot: output.slot, pid: output.pid, stream: output.stream },
                manner: self.manner,
                log: self.log.clone(),
                room: room.clone(),
                writer: writer.clone(),
                missed: 0,
                rest: self.rest.subscribe(),
            };
            self.readers.spawn(reader.read(output));
        }
    }

    /// Stops reading, and returns what is left to be read when all that was read has been written, and this command's own log.
    async fn rest(&mut self) -> Vec<Output> {
        self.rest.send_replace(true);
        let mut left = Vec::new();
        while let Some(read) = self.readers.join_next().await {
            // An error would be a panic, which has been logged.
            left.extend(read.ok().flatten());
        }
        self.rest.send_replace(false);
        self.stderr.flushed().await;
        left
    }
}

/// Reads one stream.
struct Reader {
    origin: Origin,
    manner: Manner,
    log: Handle,
    /// The node's buffer.
    room: Arc<Semaphore>,
    writer: Writer,
    /// Lines left out since the last that was kept.
    missed: u64,
    rest: watch::Receiver<bool>,
}

impl Reader {
    /// To its end, which is nothing, or until it is to rest: then what is left.
    async fn read(mut self, mut output: Output) -> Option<Output> {
        match self.read_to_end(output.pipe, output.begun).await {
            Ok((pipe, begun)) => {
                (output.pipe, output.begun) = (pipe?, begun);
                Some(output)
            }
            Err(error) => {
                tracing::error!(id = %self.origin.id, %error, "cannot read what the node writes");
                None
            }
        }
    }

    async fn read_to_end(&mut self, pipe: PipeReader, begun: Vec<u8>) -> io::Result<(Option<PipeReader>, Vec<u8>)> {
        let mut pipe = pipe::Receiver::from_owned_fd(pipe.into())?;
        let mut lines = Lines::begun(begun);
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = tokio::select! {
                read = pipe.read(&mut bytes) => Some(read?),
                () = told(&mut self.rest) => None,
            };
            let Some(count) = read else {
                self.tell_gap().await;
                self.all_written().await;
                return Ok((Some(pipe.into_nonblocking_fd()?.into()), lines.unfinished()));
            };
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
        Ok((None, Vec::new()))
    }

    async fn all_written(&self) {
        let whole = u32::try_from(BUFFER).unwrap_or(u32::MAX);
        // An error means that the command ends.
        let _ = self.room.acquire_many(whole).await;
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
        if let Ok(room) = self.make_room(needed).await {
            self.writer.write(bytes, room);
        }
    }

    async fn make_room(&self, needed: u32) -> Result<OwnedSemaphorePermit, AcquireError> {
        if let Ok(room) = self.room.clone().try_acquire_many_owned(needed) {
            return Ok(room);
        }
        let _held = self.log.hold_output(self.origin.id);
        self.room.clone().acquire_many_owned(needed).await
    }
}

async fn told(rest: &mut watch::Receiver<bool>) {
    // An error means that the command ends.
    let _ = rest.wait_for(|rest| *rest).await;
}
