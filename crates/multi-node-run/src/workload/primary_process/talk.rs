//! The conversation with the primary process, on its channel.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::sys;
use crate::workload::{FromProcess, LONGEST, OfProcess, Queue, Queued, ToPrimary, read_frame};

/// What is under way.
#[derive(Debug)]
pub(super) struct Talk {
    socket: UnixStream,
    /// The beginning of a message that has not arrived completely.
    read: BytesMut,
    step: Step,
}

/// How far it has come.
#[derive(Debug)]
enum Step {
    /// The process does not listen yet.
    Silent,
    /// It has sent hello.
    Greeted,
    /// The primary knows of it, and will answer with what to send to the process first.
    Connecting {
        first: oneshot::Receiver<Vec<Bytes>>,
        queued: mpsc::Receiver<Queued>,
    },
    Connected(ToProcess),
}

/// What to send to the process. A part of the first message may have been written.
#[derive(Debug)]
struct ToProcess {
    unwritten: VecDeque<Queued>,
    queued: mpsc::Receiver<Queued>,
}

impl Talk {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Talk> {
        let socket = UnixStream::from_std(StdUnixStream::from(socket))?;
        Ok(Talk { socket, read: BytesMut::new(), step: Step::Silent })
    }

    /// Relays between the process and the primary, until the process closes its channel. Cancel-safe: a later call continues.
    pub(super) async fn converse(&mut self, primary: &mpsc::Sender<ToPrimary>) -> io::Result<()> {
        let Talk { socket, read, step } = self;
        let to_process = loop {
            match step {
                Step::Silent => {
                    if hear(socket, read, primary).await? == Some(FromProcess::Hello) {
                        *step = Step::Greeted;
                    }
                }
                Step::Greeted => {
                    let room = primary.reserve().await.map_err(io::Error::other)?;
                    let ((queue, queued), (answer, first)) = (Queue::new(), oneshot::channel());
                    room.send(ToPrimary::OfProcess(OfProcess::Connected { queue, first: answer }));
                    *step = Step::Connecting { first, queued };
                }
                Step::Connecting { first, .. } => {
                    let first = first.await.map_err(io::Error::other)?;
                    if let Step::Connecting { queued, .. } = std::mem::replace(step, Step::Greeted) {
                        let unwritten = first.into_iter().map(Queued::unbounded).collect();
                        *step = Step::Connected(ToProcess { unwritten, queued });
                    }
                }
                Step::Connected(to_process) => break to_process,
            }
        };
        let hears = async {
            loop {
                hear(socket, read, primary).await?;
            }
        };
        tokio::select! {
            ended = hears => ended,
            said = say(socket, to_process) => said,
        }
    }
}

/// The next line for us. It has been passed to the primary. Cancel-safe.
async fn hear(
    socket: &UnixStream,
    buffer: &mut BytesMut,
    primary: &mpsc::Sender<ToPrimary>,
) -> io::Result<Option<FromProcess>> {
    let mut searched = 0;
    loop {
        if let Some(end) = buffer[searched..].iter().position(|&byte| byte == b'\n') {
            // Room first: what is taken out of the buffer must not be lost.
            let room = primary.reserve().await.map_err(io::Error::other)?;
            let line = buffer.split_to(searched + end + 1);
            return Ok(match read_frame(&line[..line.len() - 1]) {
                Some(FromProcess::Send { to, line }) => {
                    room.send(ToPrimary::OfProcess(OfProcess::Send { to, line }));
                    None
                }
                other => other,
            });
        }
        searched = buffer.len();
        if searched > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is longer than 16 MiB"));
        }
        let mut chunk = [0; 16 * 1024];
        let read = || sys::socket::receive(socket.as_fd(), &mut chunk);
        // Handles that come along are closed.
        match socket.async_io(Interest::READABLE, read).await?.bytes {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => buffer.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Returns for an error alone. Cancel-safe: what was not written stays in its place.
async fn say(socket: &UnixStream, to_process: &mut ToProcess) -> io::Result<()> {
    let ToProcess { unwritten, queued } = to_process;
    loop {
        while let Some(first) = unwritten.front_mut() {
            let send = || sys::socket::send(socket.as_fd(), &first.line, &[]);
            let written = socket.async_io(Interest::WRITABLE, send).await?;
            first.line.advance(written);
            if first.line.is_empty() {
                unwritten.pop_front();
            }
        }
        match queued.recv().await {
            Some(message) => unwritten.push_back(message),
            // The primary has another process, or is gone.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    use super::*;

    #[tokio::test]
    async fn a_conversation_goes_on_after_a_rest_without_a_byte_lost() {
        let (ours, theirs) = sys::socket::pair().expect("a pair");
        let mut talk = Talk::new(ours).expect("a stream");
        let theirs = UnixStream::from_std(StdUnixStream::from(theirs)).expect("a stream");
        let (theirs_reads, mut theirs_writes) = theirs.into_split();
        let (primary, mut told) = mpsc::channel(16);
        theirs_writes
            .write_all(b"{\"cmd\":\"NODE_MULTI_NODE\",\"act\":\"hello\"}\n{\"cmd\":\"NODE_")
            .await
            .expect("sent");
        let queue = tokio::select! {
            ended = talk.converse(&primary) => panic!("{ended:?}"),
            told = told.recv() => match told {
                Some(ToPrimary::OfProcess(OfProcess::Connected { queue, first })) => {
                    first.send(vec![Bytes::from_static(b"1\n")]).expect("it waits");
                    queue
                }
                other => panic!("{other:?}"),
            },
        };
        theirs_writes.write_all(b"MULTI_NODE\",\"act\":\"send\",\"id\":3,\"msg\":[1]}\n").await.expect("sent");
        drop(queue);
        let mut lines = BufReader::new(theirs_reads).lines();
        let talking = async {
            let ended = talk.converse(&primary).await;
            panic!("{ended:?}");
        };
        tokio::select! {
            () = talking => {}
            first = lines.next_line() => assert_eq!(first.expect("a line").as_deref(), Some("1")),
        }
        let sent = tokio::select! {
            ended = talk.converse(&primary) => panic!("{ended:?}"),
            sent = told.recv() => sent,
        };
        let Some(ToPrimary::OfProcess(OfProcess::Send { to, line })) = sent else { panic!("{sent:?}") };
        assert_eq!((to.number(), &line[..]), (3, &b"[1]\n"[..]));
    }
}
