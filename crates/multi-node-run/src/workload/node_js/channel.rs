//! One worker's channel.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::message::{self, FromWorker, PreloadSays};
use super::outbox::{Line, Messages, Outbox};
use super::primary::ToPrimary;
use crate::control;
use crate::id::{NodeId, Slot};
use crate::shared_secret::Hidden;
use crate::status::ReadyBy;
use crate::supervisor::told_to_rest;
use crate::sys;
use crate::workload::ProcessEvent;
use crate::workload::process_monitor::ProcessEvents;

/// The longest message of a worker, in bytes. Its own are short, and those of the program go to the primary process.
pub(in crate::workload) const LONGEST: usize = 16 * 1024 * 1024;

/// How long a program may take to end after it has disconnected.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// How many descriptors may come before their messages: Node.js sends one, and waits until it is acknowledged.
const HANDLES: usize = 64;

/// The master's end of a worker's channel, while nothing reads it.
#[derive(Debug)]
pub(in crate::workload) struct Channel {
    pub(super) socket: OwnedFd,
    primary: mpsc::Sender<ToPrimary>,
    outbox: Outbox,
    messages: Messages,
    pub(super) talk: Talk,
}

/// What is under way on a channel.
#[derive(Default)]
pub(super) struct Talk {
    /// The beginning of a message that has not arrived completely.
    pub(super) read: BytesMut,
    /// Descriptors that have come before their message was read.
    pub(super) handles: VecDeque<OwnedFd>,
    /// Messages for the worker; of the first a part may have been written.
    pub(super) unwritten: VecDeque<Line>,
}

/// Its bytes may hold ticket keys.
impl fmt::Debug for Talk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, handles, unwritten } = self;
        let mut shown = formatter.debug_struct("Talk");
        shown.field("read", &Hidden(read)).field("handles", handles).field("unwritten", unwritten).finish()
    }
}

impl Channel {
    pub(in crate::workload) fn new(socket: OwnedFd, primary: mpsc::Sender<ToPrimary>) -> Channel {
        Channel::resume(socket, primary, Talk::default())
    }

    /// Continues where another master left off.
    pub(super) fn resume(socket: OwnedFd, primary: mpsc::Sender<ToPrimary>, talk: Talk) -> Channel {
        let (outbox, messages) = Outbox::new();
        Channel { socket, primary, outbox, messages, talk }
    }

    /// The way to the primary.
    pub(in crate::workload) fn primary(&self) -> mpsc::Sender<ToPrimary> {
        self.primary.clone()
    }

    /// The primary's way to the worker.
    pub(in crate::workload) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Passes messages between the primary and one worker until the worker disconnects. Returns the channel if it was
    /// suspended before. `strict`: a listening server does not make the worker ready.
    pub(in crate::workload) async fn serve(
        self,
        (id, pid, slot): (NodeId, u32, Option<Slot>),
        notes: ProcessEvents,
        strict: bool,
    ) -> Option<Channel> {
        let Channel { socket, primary, outbox, mut messages, mut talk } = self;
        primary.send(ToPrimary::Joined { id, pid, slot, outbox: outbox.clone() }).await.ok()?;
        let worker = Worker::new(id, (&primary, &outbox), &notes, strict);
        match worker.converse(socket, &mut talk, &mut messages).await {
            Ok(Some(socket)) => return Some(Channel { socket, primary, outbox, messages, talk }),
            Ok(None) => {}
            // Its process was killed.
            Err(error) if control::is_end(&error) => {}
            Err(error) => crate::log::warn!(%id, %error, "the channel to a Node.js program broke"),
        }
        let _ = primary.send(ToPrimary::Left { id }).await;
        // Most processes end now, on their own or because something killed them.
        let mut rest = notes.rest.clone();
        let _ = tokio::time::timeout(LAST_BREATH, told_to_rest(&mut rest)).await;
        notes.tell(ProcessEvent::Disconnected).await;
        None
    }

    /// Takes the last messages of the primary, which is suspended too by now.
    pub(in crate::workload) fn gather(&mut self) {
        while let Some(line) = self.messages.waiting() {
            self.talk.unwritten.push_back(line);
        }
    }
}

/// The worker at the other end, and the receivers of its news.
struct Worker<'a> {
    id: NodeId,
    primary: &'a mpsc::Sender<ToPrimary>,
    outbox: &'a Outbox,
    notes: &'a ProcessEvents,
    strict: bool,
    /// How many of its servers listen.
    servers: AtomicUsize,
    /// Whether the log says that its handles are closed.
    warned: Once,
}

impl<'a> Worker<'a> {
    fn new(
        id: NodeId,
        (primary, outbox): (&'a mpsc::Sender<ToPrimary>, &'a Outbox),
        notes: &'a ProcessEvents,
        strict: bool,
    ) -> Worker<'a> {
        Worker { id, primary, outbox, notes, strict, servers: AtomicUsize::new(0), warned: Once::new() }
    }

    /// `Some`: it was suspended.
    async fn converse(&self, socket: OwnedFd, talk: &mut Talk, messages: &mut Messages) -> io::Result<Option<OwnedFd>> {
        let socket = UnixStream::from_std(StdUnixStream::from(socket))?;
        let rests = tokio::select! {
            rests = self.hear(&socket, &mut talk.read, &mut talk.handles) => rests?,
            said = say(&socket, &mut talk.unwritten, messages) => said?,
        };
        if rests { Ok(Some(socket.into_std()?.into())) } else { Ok(None) }
    }

    /// True: it was suspended.
    async fn hear(
        &self,
        socket: &UnixStream,
        buffer: &mut BytesMut,
        handles: &mut VecDeque<OwnedFd>,
    ) -> io::Result<bool> {
        let (mut searched, mut rest) = (0, self.notes.rest.clone());
        loop {
            while let Some(end) = buffer[searched..].iter().position(|&byte| byte == b'\n') {
                let line = buffer.split_to(searched + end + 1);
                searched = 0;
                let said = message::read(&line[..line.len() - 1]);
                let handle = self.acknowledge(&said, handles);
                self.said(said, handle).await;
            }
            searched = buffer.len();
            if buffer.len() > LONGEST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message without an end"));
            }
            let mut chunk = [0; 16 * 1024];
            let read = || sys::socket::receive(socket.as_fd(), &mut chunk);
            let received = tokio::select! {
                received = socket.async_io(Interest::READABLE, read) => received?,
                () = told_to_rest(&mut rest) => return Ok(true),
            };
            match received.bytes {
                0 => return Ok(false),
                count => buffer.extend_from_slice(&chunk[..count]),
            }
            handles.extend(received.fds);
            if handles.len() > HANDLES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors without their messages"));
            }
        }
    }

    /// Answers what is about handles that the program has sent to its primary, and returns the handle.
    fn acknowledge(&self, said: &FromWorker, handles: &mut VecDeque<OwnedFd>) -> Option<OwnedFd> {
        let (answer, handle) = match said {
            FromWorker::Handle(back) => {
                let handle = handles.pop_front();
                if back.is_none() {
                    self.warn_of_handles();
                }
                (message::handle_answer(handle.is_some()), handle)
            }
            FromWorker::Closing { key } => (message::all_closed(key), None),
            FromWorker::Counting { key } => (message::none_open(key), None),
            _ => return None,
        };
        if self.outbox.try_send((answer, None)).is_err() {
            crate::log::warn!(id = %self.id, "a Node.js program does not read its channel");
        }
        handle
    }

    fn warn_of_handles(&self) {
        self.warned.call_once(|| {
            crate::log::warn!(
                id = %self.id,
                "a Node.js program sends handles by process.send; the command has no use for them and closes them"
            );
        });
    }

    /// A handle is closed here, unless it is a connection for the primary: no other part of the command would use it.
    async fn said(&self, said: FromWorker, handle: Option<OwnedFd>) {
        let listens = matches!(said, FromWorker::Listening(_));
        if listens {
            self.servers.fetch_add(1, Ordering::Relaxed);
            self.notes.tell(ProcessEvent::Listens).await;
        }
        if matches!(said, FromWorker::Close { .. }) && self.closes_last() {
            self.notes.tell(ProcessEvent::Unready("none of its servers listens any more".to_owned())).await;
        }
        if said == FromWorker::Ready || (listens && !self.strict) {
            self.notes.tell(ProcessEvent::Ready(ReadyBy::Message)).await;
        }
        if matches!(said, FromWorker::Leaves { .. }) {
            self.notes.tell(ProcessEvent::Stopping).await;
        }
        match &said {
            FromWorker::Preload(PreloadSays::Hello) => self.notes.tell(ProcessEvent::Preload(Ok(()))).await,
            FromWorker::Preload(PreloadSays::Inert { why }) => {
                self.notes.tell(ProcessEvent::Preload(Err(why.clone()))).await;
            }
            _ => {}
        }
        let id = self.id;
        let told = match (said, handle) {
            (FromWorker::Handle(Some(back)), Some(stream)) => ToPrimary::HandedBack { id, back, stream },
            (said, _) => ToPrimary::Said { id, said },
        };
        // An error means that the master ends.
        let _ = self.primary.send(told).await;
    }

    /// One of its servers closes. Those that listened before a rest are not counted.
    fn closes_last(&self) -> bool {
        let one_less = |servers: usize| servers.checked_sub(1);
        self.servers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(1)
    }
}

/// Returns for an error alone. Cancel-safe: what was not written stays in its place.
async fn say(socket: &UnixStream, unwritten: &mut VecDeque<Line>, messages: &mut Messages) -> io::Result<bool> {
    loop {
        while let Some(line) = unwritten.front_mut() {
            let fds: Vec<_> = line.fd.iter().map(|fd| fd.as_fd()).collect();
            let send = || sys::socket::send(socket.as_fd(), &line.bytes, &fds);
            let written = socket.async_io(Interest::WRITABLE, send).await?;
            line.bytes.advance(written);
            line.fd = None;
            if line.bytes.is_empty() {
                unwritten.pop_front();
            }
        }
        match messages.next().await {
            Some(line) => unwritten.push_back(line),
            // The primary is gone, and with it the master.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::watch;

    use serde_json::Value;

    use super::*;
    use crate::supervisor::Observer;

    /// A channel that is served, the events it reports, and the worker's end.
    struct Served {
        serving: tokio::task::JoinHandle<Option<Channel>>,
        told: mpsc::Receiver<ToPrimary>,
        rest: watch::Sender<bool>,
    }

    impl Served {
        fn start(channel: Channel, told: mpsc::Receiver<ToPrimary>) -> Served {
            let (rest, rests) = watch::channel(false);
            let id = NodeId::node(1);
            let notes = ProcessEvents::new(Observer::unheard(id, rests));
            let serving = tokio::spawn(channel.serve((id, 1, None), notes, false));
            Served { serving, told, rest }
        }

        async fn rest(self) -> (Channel, mpsc::Receiver<ToPrimary>) {
            self.rest.send_replace(true);
            let mut channel = self.serving.await.expect("no panic").expect("it rests");
            channel.gather();
            (channel, self.told)
        }
    }

    fn worker() -> (Channel, mpsc::Receiver<ToPrimary>, UnixStream) {
        let (ours, theirs) = sys::socket::pair().expect("a pair");
        let (primary, told) = mpsc::channel(16);
        let theirs = UnixStream::from_std(StdUnixStream::from(theirs)).expect("a stream");
        (Channel::new(ours, primary), told, theirs)
    }

    #[tokio::test]
    async fn half_a_message_is_read_to_its_end_after_a_rest() {
        let (channel, told, mut worker) = worker();
        let mut served = Served::start(channel, told);
        worker
            .write_all(b"{\"cmd\":\"NODE_CLUSTER\",\"ack\":7,\"accepted\":true}\n{\"cmd\":\"NODE_CL")
            .await
            .expect("written");
        assert!(matches!(served.told.recv().await, Some(ToPrimary::Joined { .. })));
        assert!(matches!(served.told.recv().await, Some(ToPrimary::Said { .. })), "all of it was read");
        let (channel, told) = served.rest().await;
        worker.write_all(b"USTER\",\"ack\":8,\"accepted\":true}\n").await.expect("written");
        let mut served = Served::start(channel, told);
        assert!(matches!(served.told.recv().await, Some(ToPrimary::Joined { .. })));
        let told = served.told.recv().await;
        let expected = FromWorker::Answer { ack: 8, accepted: true };
        assert!(matches!(&told, Some(ToPrimary::Said { said, .. }) if *said == expected), "{told:?}");
    }

    #[tokio::test]
    async fn a_handle_is_acknowledged_when_its_descriptor_has_come_and_asked_for_again_otherwise() {
        let (channel, told, mut worker) = worker();
        let served = Served::start(channel, told);
        let (handle, _other) = sys::socket::pair().expect("a pair");
        let line = b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":1}\n";
        let sent = sys::socket::send(worker.as_fd(), &line[..9], &[handle.as_fd()]).expect("sent");
        assert_eq!(sent, 9);
        // The descriptor counts over a rest, too.
        let (channel, told) = served.rest().await;
        let _served = Served::start(channel, told);
        worker.write_all(&line[9..]).await.expect("written");
        worker.write_all(line).await.expect("written");
        worker.write_all(b"{\"cmd\":\"NODE_SOCKET_NOTIFY_CLOSE\",\"key\":\"k\"}\n").await.expect("written");
        let mut answers = Vec::new();
        while answers.iter().filter(|byte| **byte == b'\n').count() < 3 {
            assert_ne!(worker.read_buf(&mut answers).await.expect("readable"), 0);
        }
        let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["cmd"].clone();
        let answers: Vec<_> = String::from_utf8(answers).expect("UTF-8").lines().map(read).collect();
        assert_eq!(answers, ["NODE_HANDLE_ACK", "NODE_HANDLE_NACK", "NODE_SOCKET_ALL_CLOSED"]);
    }

    #[tokio::test]
    async fn what_a_worker_does_not_read_is_written_to_its_end_after_a_rest() {
        let (channel, told, mut worker) = worker();
        let outbox = channel.outbox();
        // More than a socket holds, so that one message is written in part.
        let text = "x".repeat(100_000);
        for number in 0..20 {
            outbox.try_send((serde_json::json!([number, text]), None)).expect("room");
        }
        let served = Served::start(channel, told);
        worker.readable().await.expect("something was written");
        let (channel, told) = served.rest().await;
        let _served = Served::start(channel, told);
        let mut all = Vec::new();
        while all.iter().filter(|byte| **byte == b'\n').count() < 20 {
            assert_ne!(worker.read_buf(&mut all).await.expect("readable"), 0);
        }
        let numbers: Vec<_> = String::from_utf8(all).expect("UTF-8").lines().map(str::len).collect();
        assert_eq!(numbers.len(), 20);
        assert!(numbers.iter().all(|length| (100_006..=100_007).contains(length)), "{numbers:?}");
    }
}
