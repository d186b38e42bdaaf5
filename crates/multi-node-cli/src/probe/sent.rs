//! What the clients send. Pure.

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;
use multi_node_probe::{Echoes, Expected, Kind, Request, Requests, Url, WebSocket};

/// One request for all kinds of clients, and a WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// With `connection: close`, for clients that have a connection for each request.
    closing: Request,
    keeping: Request,
    websocket: WebSocket,
}

impl Sent {
    pub(crate) fn new(
        url: &Url,
        method: &str,
        headers: Vec<(String, String)>,
        body: Option<&str>,
        status: &RangeInclusive<u16>,
        websocket: Option<String>,
    ) -> Sent {
        let request = |connection: &str| Request {
            bytes: message(url, method, &headers, body, connection),
            is_head: method == "HEAD",
            expected: Expected::Status(status.clone()),
            pause: Duration::ZERO,
        };
        let (closing, keeping) = (request("connection: close\r\n"), request(""));
        let path = websocket.unwrap_or_default();
        Sent { closing, keeping, websocket: WebSocket { path, headers, echoes: Echoes::Pings } }
    }
}

impl Requests for Sent {
    fn next(&self, kind: Kind, _: &mut Rng) -> Request {
        if kind.keeps_connections() { self.keeping.clone() } else { self.closing.clone() }
    }

    fn websocket(&self) -> WebSocket {
        self.websocket.clone()
    }
}

fn message(url: &Url, method: &str, headers: &[(String, String)], body: Option<&str>, connection: &str) -> Vec<u8> {
    let named = |name: &str| headers.iter().any(|(given, _)| given == name);
    let mut text = format!("{method} {} HTTP/1.1\r\n", url.path);
    for (name, value) in [("host", url.authority().as_str()), ("accept", "*/*"), ("user-agent", "multi-node-probe")] {
        if !named(name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body {
        text += &format!("content-length: {}\r\n", body.len());
    }
    text += &format!("{connection}\r\n{}", body.unwrap_or_default());
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(headers: &[(&str, &str)], body: Option<&str>, kind: Kind) -> String {
        let url: Url = "http://localhost:8080/a?b".parse().expect("a URL");
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sent = Sent::new(&url, "POST", headers, body, &(200..=200), None);
        String::from_utf8(sent.next(kind, &mut Rng::new()).bytes).expect("text")
    }

    #[test]
    fn a_request_says_what_was_asked_for() {
        assert_eq!(
            text(&[], None, Kind::Kept),
            "POST /a?b HTTP/1.1\r\nhost: localhost:8080\r\naccept: */*\r\nuser-agent: multi-node-probe\r\n\r\n"
        );
        assert_eq!(
            text(&[("host", "example.org"), ("cookie", "a=b")], Some("é"), Kind::HalfClosing),
            "POST /a?b HTTP/1.1\r\naccept: */*\r\nuser-agent: multi-node-probe\r\nhost: example.org\r\ncookie: a=b\r\n\
             content-length: 2\r\nconnection: close\r\n\r\né"
        );
    }
}
