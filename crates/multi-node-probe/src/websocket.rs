//! One client of a WebSocket.

use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::{ClientRequestBuilder, IntoClientRequest},
        error::ProtocolError,
        http::Uri,
    },
};

use crate::{
    connection::Connection,
    failure::{Failure, How, words},
    kind::Kind,
    request::{Echoes, WebSocket},
    stream::Stream,
    target::Target,
    task::Task,
};

/// An open WebSocket, and what shows who holds its other end.
struct Socket {
    stream: WebSocketStream<Stream>,
    port: u16,
    opened: Instant,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// The server has sent a close frame. If no answer came, the message is sent again, as the protocol allows.
    CloseFrame,
}

/// A lost message or handshake, and the connection by which it was lost.
type Loss = (Failure, Option<(u16, Instant)>);

/// Sends messages until it is stopped. If the server closes a socket in good order, a new one is opened.
pub(crate) async fn run(mut task: Task, mut rng: Rng) {
    let websocket = task.requests.websocket();
    let mut socket = None;
    while !task.pause(&mut rng).await {
        socket = message(&task, &websocket, socket, &mut rng).await;
    }
    if let Some(Socket { mut stream, .. }) = socket {
        // The server may have gone first, and need not answer.
        let _ = timeout(task.patience, stream.close(None)).await;
    }
}

/// Opens a WebSocket, and tries it with one message.
pub(crate) async fn ask_once(target: &Target, websocket: &WebSocket, patience: Duration) -> Result<(), Failure> {
    let mut socket = open(target, websocket, patience).await.map_err(|(failure, _)| failure)?;
    exchange(&mut socket, websocket.echoes, &mut Rng::new(), patience).await.map(drop)
}

/// Sends one message and reads what it is answered by; gives the socket back if it stays open.
async fn message(task: &Task, websocket: &WebSocket, socket: Option<Socket>, rng: &mut Rng) -> Option<Socket> {
    let (attempt, start) = (task.tally.begin(Kind::WebSocket), Instant::now());
    let lose = |(failure, connection)| {
        task.tally.lose(attempt, failure, start.elapsed(), connection);
        None
    };
    let mut socket = match socket {
        Some(socket) => socket,
        None => match open(&task.target, websocket, task.patience).await {
            Ok(socket) => socket,
            Err(loss) => return lose(loss),
        },
    };
    match exchange(&mut socket, websocket.echoes, rng, task.patience).await {
        Ok(Outcome::Answered) => {
            task.tally.answered_after(attempt, start.elapsed());
            Some(socket)
        }
        Ok(Outcome::CloseFrame) => {
            task.tally.announced(Kind::WebSocket);
            None
        }
        Err(failure) => lose((failure, Some((socket.port, socket.opened)))),
    }
}

async fn open(target: &Target, websocket: &WebSocket, patience: Duration) -> Result<Socket, Loss> {
    let connection = Connection::open(target).await.map_err(|failure| (failure, None))?;
    let (port, opened) = (connection.port, connection.opened);
    let lost = |failure| (failure, Some((port, opened)));
    let request = handshake(target, websocket).map_err(|error| lost(broken(&error)))?;
    let late = |_| Failure::new(How::TimedOut, format_args!("no handshake within {patience:?}"));
    let shaken =
        timeout(patience, client_async(request, connection.into_stream())).await.map_err(late).map_err(lost)?;
    let (stream, _) = shaken.map_err(|error| lost(broken(&error)))?;
    Ok(Socket { stream, port, opened })
}

/// The bytes come by the target's own protocol, so that the scheme is always `ws`.
fn handshake(target: &Target, websocket: &WebSocket) -> Result<impl IntoClientRequest + Unpin + use<>, Error> {
    let uri: Uri = format!("ws://{}{}", target.authority, websocket.path).parse()?;
    let request = ClientRequestBuilder::new(uri);
    Ok(websocket.headers.iter().fold(request, |request, (name, value)| request.with_header(name, value)))
}

async fn exchange(socket: &mut Socket, echoes: Echoes, rng: &mut Rng, patience: Duration) -> Result<Outcome, Failure> {
    let text = format!("message {}", rng.u64(..));
    let (sent, wanted) = match echoes {
        Echoes::Texts => (Message::text(text.as_str()), Message::text(text.as_str())),
        Echoes::Pings => (Message::Ping(text.clone().into()), Message::Pong(text.into())),
    };
    let late = |_| Err(Failure::new(How::TimedOut, format_args!("no answer to a message within {patience:?}")));
    timeout(patience, send_and_receive(&mut socket.stream, sent, &wanted)).await.unwrap_or_else(late)
}

async fn send_and_receive(
    stream: &mut WebSocketStream<Stream>,
    sent: Message,
    wanted: &Message,
) -> Result<Outcome, Failure> {
    // What cannot be sent may still be explained by what can be read.
    let _ = stream.send(sent).await;
    loop {
        match stream.next().await {
            Some(Ok(message)) if message == *wanted => return Ok(Outcome::Answered),
            Some(Ok(Message::Close(_))) => {
                // Answers the close frame, which ends the connection.
                while let Some(Ok(_)) = stream.next().await {}
                return Ok(Outcome::CloseFrame);
            }
            // A message that the server sends unasked is no answer.
            Some(Ok(other)) if matches!(wanted, Message::Text(_)) && matches!(other, Message::Text(_)) => {
                return Err(Failure::new(How::Wrong, format_args!("{other:?} for an echo")));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(broken(&error)),
            None => return Err(Failure::ended(0)),
        }
    }
}

fn broken(error: &Error) -> Failure {
    let how = match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => How::Closed,
        Error::Io(_) => How::Reset,
        Error::ConnectionClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
            How::Closed
        }
        Error::Http(_) => How::WrongStatus,
        _ => How::Wrong,
    };
    match error {
        Error::Io(error) => Failure::new(how, words(error)),
        _ => Failure::new(how, error),
    }
}
