//! A visitor: one WebSocket, and what page and server say to each other over it.

use std::time::SystemTime;

use axum::extract::State;
use axum::extract::ws::{self, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use multi_node::Handle;
use multi_node::bus::{TypedEvent, TypedSubscription};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::board::{Entry, millis};
use crate::room::{Message, Room};

const LONGEST_NAME: usize = 32;
const LONGEST_TEXT: usize = 2000;
const LONGEST_ID: usize = 64;
/// Room for the longest text with every character escaped, and for what is around it.
const LONGEST_FRAME: usize = 32 * 1024;

/// Where visitors come in.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) node: Handle,
    pub(crate) room: Room,
    pub(crate) board: watch::Receiver<Utf8Bytes>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToPage<'a> {
    Hello { node: String, slot: Option<usize>, pid: u32, master: u32 },
    History { messages: Vec<&'a Message> },
    Message(&'a Message),
    Status { now: u64, wanted: usize, slots: Vec<Entry>, visitors: usize },
    Draining,
}

impl ToPage<'_> {
    pub(crate) fn text(&self) -> Utf8Bytes {
        serde_json::to_string(self).expect("it has no maps, and no values that could fail").into()
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromPage {
    Say { id: String, from: String, text: String },
    Kill,
    Deploy,
}

pub(crate) async fn enter(upgrade: WebSocketUpgrade, State(place): State<Place>, headers: HeaderMap) -> Response {
    if !same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "this page belongs to another site\n").into_response();
    }
    upgrade.max_message_size(LONGEST_FRAME).on_upgrade(async |socket| {
        // If the connection breaks, the visitor notices that without a message.
        let _ = Visitor { socket, place }.stay().await;
    })
}

/// Any site may open a WebSocket to any other; only this one's own pages may kill and replace its nodes.
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, site)| site == host),
        (Some(_), None) => false,
    }
}

struct Visitor {
    socket: WebSocket,
    place: Place,
}

impl Visitor {
    /// Until the visitor leaves or the process ends.
    async fn stay(mut self) -> Result<(), axum::Error> {
        let _visit = self.place.room.enter();
        let drain_notice = self.place.node.drain_notice();
        let mut board = self.place.board.clone();
        board.mark_changed();
        self.greet().await?;

        let mut messages = self.catch_up().await?;
        let mut told_to_go = false;
        loop {
            tokio::select! {
                event = messages.recv() => match event {
                    TypedEvent::Message { value, .. } => self.tell(ToPage::Message(&value)).await?,
                    TypedEvent::Lagged { .. } => messages = self.catch_up().await?,
                    TypedEvent::Undecodable { .. } => {}
                },
                Ok(()) = board.changed() => {
                    let text = board.borrow_and_update().clone();
                    self.socket.send(ws::Message::Text(text)).await?;
                }
                () = drain_notice.draining(), if !told_to_go => {
                    told_to_go = true;
                    self.tell(ToPage::Draining).await?;
                }
                frame = self.socket.recv() => match frame {
                    Some(Ok(ws::Message::Text(text))) => self.answer(&text),
                    Some(Ok(ws::Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                },
            }
        }
    }

    async fn greet(&mut self) -> Result<(), axum::Error> {
        let node = &self.place.node;
        let pid = std::process::id();
        let master = if node.is_master() { pid } else { std::os::unix::process::parent_id() };
        self.tell(ToPage::Hello { node: node.id().to_string(), slot: slot(node), pid, master }).await
    }

    /// Sends the recent messages; the page knows which of them it has.
    async fn catch_up(&mut self) -> Result<TypedSubscription<Message>, axum::Error> {
        let (recent, messages) = self.place.room.listen();
        self.tell(ToPage::History { messages: recent.iter().collect() }).await?;
        Ok(messages)
    }

    async fn tell(&mut self, what: ToPage<'_>) -> Result<(), axum::Error> {
        self.socket.send(ws::Message::Text(what.text())).await
    }

    /// What is no message of this page's protocol is not answered.
    fn answer(&self, text: &str) {
        match serde_json::from_str(text) {
            Ok(FromPage::Say { id, from, text }) => self.place.say(id, &from, &text),
            // A single process has no master that would start it again.
            Ok(FromPage::Kill) if self.place.node.slot().is_some() => std::process::abort(),
            Ok(FromPage::Deploy) => self.place.deploy(),
            Ok(FromPage::Kill) | Err(_) => {}
        }
    }
}

impl Place {
    fn say(&self, id: String, from: &str, text: &str) {
        let (from, text) = (cut(from, LONGEST_NAME), cut(text, LONGEST_TEXT));
        if text.is_empty() || from.is_empty() || id.is_empty() || id.len() > LONGEST_ID {
            return;
        }
        let (node, slot) = (self.node.id().to_string(), slot(&self.node));
        let at = millis(SystemTime::now());
        self.room.say(&Message { id, from, node, slot, text, at });
    }

    /// Replaces every node by the program as it is on disk now. It goes on when the visitor leaves.
    fn deploy(&self) {
        let node = self.node.clone();
        tokio::spawn(async move {
            if let Err(error) = node.reload().await {
                tracing::warn!(%error, "not deployed");
            }
        });
    }
}

fn slot(node: &Handle) -> Option<usize> {
    node.slot().map(multi_node::status::Slot::index)
}

/// The text without surrounding white space, cut to this number of characters.
fn cut(text: &str, longest: usize) -> String {
    text.trim().chars().take(longest).collect()
}
