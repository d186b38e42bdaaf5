//! One client of a WebSocket that echoes.

use std::time::Instant;

use fastrand::Rng;
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, error::ProtocolError},
};

use super::{
    client::Task,
    connection::Connection,
    failure::{Failure, How},
    kind::Kind,
};

/// An open WebSocket, and what tells who holds its other end.
struct Socket {
    stream: WebSocketStream<TcpStream>,
    port: u16,
    opened: Instant,
}

/// What became of a message.
enum Outcome {
    Echoed,
    /// The server said goodbye. Where no echo came, the message is to be sent again, as the protocol has it.
    Goodbye,
}

/// Sends messages until it is told to stop. A socket that the server closes in good order is opened anew.
pub(super) async fn run(mut task: Task, mut rng: Rng) {
    let mut socket = None;
    while !task.pause(&mut rng).await {
        socket = message(&task, socket, &mut rng).await;
    }
    if let Some(Socket { mut stream, .. }) = socket {
        // The server may have gone first.
        let _ = stream.close(None).await;
    }
}

/// Sends one message and reads its echo; gives the socket back if it stays open.
async fn message(task: &Task, socket: Option<Socket>, rng: &mut Rng) -> Option<Socket> {
    let begun = task.tally.phase();
    let lose = |failure, connection| task.tally.lose(Kind::WebSocket, begun, failure, connection);
    let mut socket = match socket {
        Some(socket) => socket,
        None => match open(task).await {
            Ok(socket) => socket,
            Err((failure, connection)) => {
                lose(failure, connection);
                return None;
            }
        },
    };
    let (text, start) = (format!("message {}", rng.u64(..)), Instant::now());
    let late = |_| Err(Failure::new(How::TimedOut, format_args!("no echo within {:?}", task.patience)));
    match timeout(task.patience, echo(&mut socket.stream, &text)).await.unwrap_or_else(late) {
        Ok(Outcome::Echoed) => {
            task.tally.answered_after(Kind::WebSocket, begun, start.elapsed());
            Some(socket)
        }
        Ok(Outcome::Goodbye) => {
            task.tally.announced(Kind::WebSocket);
            None
        }
        Err(failure) => {
            lose(failure, Some((socket.port, socket.opened)));
            None
        }
    }
}

async fn open(task: &Task) -> Result<Socket, (Failure, Option<(u16, Instant)>)> {
    let connection = Connection::open(task.address).await.map_err(|failure| (failure, None))?;
    let (port, opened) = (connection.port, connection.opened);
    let url = format!("ws://{}/ws", task.address);
    let late = |_| Failure::new(How::TimedOut, "no handshake");
    let handshake = timeout(task.patience, client_async(url, connection.into_stream())).await.map_err(late);
    let lost = |failure| (failure, Some((port, opened)));
    let (stream, _) = handshake.map_err(lost)?.map_err(|error| lost(broken(&error)))?;
    Ok(Socket { stream, port, opened })
}

async fn echo(stream: &mut WebSocketStream<TcpStream>, text: &str) -> Result<Outcome, Failure> {
    // What cannot be sent may still be explained by what can be read.
    let _ = stream.send(Message::text(text)).await;
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(echo))) if echo.as_str() == text => return Ok(Outcome::Echoed),
            Some(Ok(Message::Close(_))) => {
                // Answers the goodbye, which ends the connection.
                while let Some(Ok(_)) = stream.next().await {}
                return Ok(Outcome::Goodbye);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(other)) => return Err(Failure::new(How::Wrong, format_args!("{other:?} for an echo"))),
            Some(Err(error)) => return Err(broken(&error)),
            None => return Err(Failure::ended(0)),
        }
    }
}

fn broken(error: &Error) -> Failure {
    let how = match error {
        Error::Io(_) => How::Reset,
        Error::ConnectionClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
            How::Closed
        }
        _ => How::Wrong,
    };
    Failure::new(how, error)
}
