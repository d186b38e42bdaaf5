//! The other side: a client of a control socket.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::directory;
use super::lines::{self, Lines};
use super::protocol::{Answer, Greeting, Refusal, Request};

/// The longest answer, in bytes: the status of 4096 slots takes about 2 MiB.
const LONGEST_ANSWER: usize = 16 << 20;

/// How long a master may take to accept a connection and to read a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a place in a full queue is asked for.
const AGAIN: Duration = Duration::from_millis(10);

/// A connection to the control socket of a running program.
///
/// ```no_run
/// # async fn f() -> Result<(), multi_node::admin::ClientError> {
/// use multi_node::admin::{Client, Instance, Request};
///
/// let mut client = Client::connect("web").await?;
/// let instance: Instance = client.ask(&Request::Status).await?;
/// println!("{} of {} slots serve", instance.slots.len(), instance.wanted);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Client {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    path: PathBuf,
    /// Whether the client has sent the versions that it speaks, which it does before the first request.
    greeted: bool,
    /// The program's answer to that.
    greeting: Option<Greeting>,
}

impl Client {
    /// Connects to this user's program of that name.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] if there is none; [`ClientError::Io`], also if the runtime directory belongs to another
    /// user, who could pose as the program.
    pub async fn connect(name: &str) -> Result<Client, ClientError> {
        let path = directory::checked_socket_path(name).map_err(|(path, source)| ClientError::Io { path, source })?;
        Client::connect_to(&path).await
    }

    /// Connects to the control socket at this path.
    ///
    /// # Errors
    /// As [`connect`](Client::connect).
    pub async fn connect_to(path: &Path) -> Result<Client, ClientError> {
        let connected = tokio::time::timeout(PATIENCE, connect(path)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { path },
                _ => ClientError::Io { path, source },
            }
        })?;
        let (reader, writer) = stream.into_split();
        Ok(Client {
            lines: Lines::new(reader, LONGEST_ANSWER),
            writer,
            path: path.to_owned(),
            greeted: false,
            greeting: None,
        })
    }

    /// Sends a request and waits for its answer: for [`Watch`](Request::Watch) and followed [`Logs`](Request::Logs) the first
    /// event. It has no deadline, since a reload takes as long as its drains. It ends when the program does. Not cancel-safe:
    /// do not use the client again after a cancelled request.
    ///
    /// # Errors
    /// [`ClientError::Refused`] and [`ClientError::Failed`] if the program answers so, and errors of the connection.
    pub async fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, ClientError> {
        let greets = !std::mem::replace(&mut self.greeted, true);
        let written = tokio::time::timeout(PATIENCE, write(&mut self.writer, request, greets)).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let greeted = if greets { self.hear_greeting().await } else { Ok(()) };
        // A program that refuses all clients answers before it has read anything.
        let answer = match greeted {
            Ok(()) => self.answer().await,
            Err(error) => Err(error),
        };
        match (written, answer) {
            (Err(source), Err(ClientError::Ended { path })) => Err(ClientError::Io { path, source }),
            (_, answer) => self.read(answer?),
        }
    }

    /// The next event of a stream; `None` once the program has ended. Cancel-safe.
    ///
    /// # Errors
    /// As [`ask`](Client::ask).
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        match self.answer().await {
            Err(ClientError::Ended { .. }) => Ok(None),
            answer => self.read(answer?).map(Some),
        }
    }

    /// The versions that the program speaks, known after the first request. `None` if the program does not send them: then it
    /// speaks the first version.
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    async fn hear_greeting(&mut self) -> Result<(), ClientError> {
        match self.answer().await {
            Ok(greeting) => {
                self.greeting = Some(self.read(greeting)?);
                Ok(())
            }
            // A command that it does not know.
            Err(ClientError::Refused(refusal)) if refusal.code == "bad_request" => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn answer(&mut self) -> Result<Value, ClientError> {
        let path = || self.path.clone();
        let answer = loop {
            let line = self.lines.next().await.map_err(|source| ClientError::Io { path: path(), source })?;
            let line = line.ok_or_else(|| ClientError::Ended { path: path() })?;
            let answer = Answer::parse(&line).map_err(|cause| ClientError::Foreign { path: path(), cause })?;
            // A later release may say more.
            if let Some(answer) = answer {
                break answer;
            }
        };
        match answer {
            Answer::Ok(value) | Answer::Event(value) => Ok(value),
            Answer::Refused(refusal) => Err(ClientError::Refused(refusal)),
            Answer::Failed(refusal) => Err(ClientError::Failed(refusal)),
        }
    }

    fn read<T: DeserializeOwned>(&self, value: Value) -> Result<T, ClientError> {
        serde_json::from_value(value).map_err(|cause| ClientError::Foreign { path: self.path.clone(), cause })
    }
}

/// Writes a request, behind a hello where the program has not had one.
async fn write(writer: &mut OwnedWriteHalf, request: &Request, greets: bool) -> io::Result<()> {
    if greets {
        lines::write(writer, &Request::hello()).await?;
    }
    lines::write(writer, request).await
}

/// Where the socket's queue is full, a place in it is waited for, which connect(2) does not do for a runtime.
async fn connect(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(AGAIN).await,
            connected => return connected,
        }
    }
}

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No program listens at the control socket.
    #[error("no program has opened the control socket {}", .path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// Nothing was begun.
    #[error("{}", .0.why)]
    Refused(Refusal),
    /// It was begun, and did not succeed.
    #[error("{}", .0.why)]
    Failed(Refusal),
    /// The program ended before it had answered.
    #[error("the program at {} ended before it had answered", .path.display())]
    Ended {
        /// The socket.
        path: PathBuf,
    },
    /// What came is no answer: the program is no multi-node, or of another version.
    #[error("what listens at {} gave an answer that is none: {cause}", .path.display())]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// The system refused the connection, or it broke.
    #[error("cannot speak with the program at {}: {}", .path.display(), crate::error::describe(.source))]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}
