//! The DevTools protocol: calls, answers and events as JSON over one WebSocket.
//!
//! One task owns the socket and everything that waits for it; the rest sends it commands.

use std::collections::HashMap;

use anyhow::{Context, anyhow};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const ERRORS_KEPT: usize = 100;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

enum Command {
    Call { request: Value, answer: oneshot::Sender<Value> },
    Errors { session: String, answer: oneshot::Sender<Vec<String>> },
}

/// A handle to the browser's end of the protocol.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    commands: mpsc::Sender<Command>,
}

impl Wire {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Wire> {
        let (socket, _) = connect_async(address).await.with_context(|| format!("cannot reach {address}"))?;
        let (commands, ordered) = mpsc::channel(16);
        tokio::spawn(Owner { socket, next: 1, waiting: HashMap::new(), errors: HashMap::new() }.run(ordered));
        Ok(Wire { commands })
    }

    /// Calls a method of a page, or of the browser itself where `session` is empty.
    pub(super) async fn call(&self, session: &str, method: &'static str, params: Value) -> anyhow::Result<Value> {
        let mut request = json!({ "method": method, "params": params });
        if !session.is_empty() {
            request["sessionId"] = session.into();
        }
        let mut answer = self.ask(|answer| Command::Call { request, answer }).await.context(method)?;
        match answer.get("error") {
            Some(error) => Err(anyhow!("{method}: {}", error["message"].as_str().unwrap_or("refused"))),
            None => Ok(answer["result"].take()),
        }
    }

    /// The uncaught exceptions of a page.
    pub(super) async fn errors(&self, session: &str) -> anyhow::Result<Vec<String>> {
        let session = session.to_owned();
        self.ask(|answer| Command::Errors { session, answer }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> anyhow::Result<T> {
        let (answer, answered) = oneshot::channel();
        let gone = || anyhow!("the browser is gone");
        self.commands.send(command(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

struct Owner {
    socket: Socket,
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    errors: HashMap<String, Vec<String>>,
}

impl Owner {
    /// Runs until either side is gone. Then callers that still wait see their answer's sender dropped.
    async fn run(mut self, mut ordered: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = ordered.recv() => match command {
                    Some(command) => self.perform(command).await,
                    None => return,
                },
                message = self.socket.next() => match message {
                    Some(Ok(message)) => self.received(&message),
                    _ => return,
                },
            }
        }
    }

    async fn perform(&mut self, command: Command) {
        match command {
            Command::Errors { session, answer } => {
                // A caller that went away wants no answer.
                let _ = answer.send(self.errors.get(&session).cloned().unwrap_or_default());
            }
            Command::Call { mut request, answer } => {
                request["id"] = self.next.into();
                // A failed send drops the answer's sender, so the caller notices.
                if self.socket.send(Message::text(request.to_string())).await.is_ok() {
                    self.waiting.insert(self.next, answer);
                }
                self.next += 1;
            }
        }
    }

    fn received(&mut self, message: &Message) {
        let Some(value) = message.to_text().ok().and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            return;
        };
        if let Some(answer) = value["id"].as_u64().and_then(|id| self.waiting.remove(&id)) {
            let _ = answer.send(value);
        } else if value["method"] == "Runtime.exceptionThrown" {
            let session = value["sessionId"].as_str().unwrap_or_default().to_owned();
            let kept = self.errors.entry(session).or_default();
            if kept.len() < ERRORS_KEPT {
                kept.push(exception_text(&value["params"]["exceptionDetails"]));
            }
        }
    }
}

/// What an exception says, with its stack where it has one.
pub(super) fn exception_text(details: &Value) -> String {
    let described = details["exception"]["description"].as_str().or(details["text"].as_str());
    described.unwrap_or("an exception without a text").to_owned()
}

/// Standard base64; the protocol's only binary values are pictures.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(sextet).collect::<Option<Vec<u32>>>()?;
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::decode_base64;

    #[test]
    fn base64_is_decoded_with_every_kind_of_end() {
        for (text, bytes) in [("", ""), ("TQ==", "M"), ("TWE=", "Ma"), ("TWFu", "Man"), ("TWFuTQ==", "ManM")] {
            assert_eq!(decode_base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(decode_base64("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decode_base64("T*=="), None);
    }
}
