//! What worker and primary say to each other: the messages of Node's own cluster module, of which the versions 18 to 26 have
//! the same. Pure.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::id::NodeId;

/// What a worker says, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::supervisor::foreign) enum FromWorker {
    /// A server wants to listen.
    Query { seq: u64, address: Address },
    /// A server has been told where it listens, and listens.
    Listening,
    /// A server listens no longer.
    Close { key: String },
    /// Whether a connection was taken.
    Answer { ack: u64, accepted: bool },
    /// The worker ends by itself, and waits for an answer.
    Leaves { seq: u64 },
    /// `process.send("ready")`
    Ready,
    /// `process.send("multi-node:peers")`: it wants a stream to each other worker that wants one.
    Peers,
    /// Anything else is not for us.
    Other,
}

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor::foreign) struct Address {
    /// A host, a path where `port` is negative, or none for all interfaces.
    pub(super) host: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) fd: Option<i64>,
    /// How many servers of the worker asked for the same before.
    pub(super) index: u64,
    /// Whether it is for datagrams.
    pub(super) udp: bool,
}

impl Address {
    /// What all nodes call the same server by. A free port is another one for each of a worker's servers.
    pub(super) fn key(&self) -> String {
        let Address { host, port, fd, index, .. } = self;
        let number = |number: &Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        let index = if *port == Some(0) { index.to_string() } else { String::new() };
        format!("{}:{}:{}:{index}", host.as_deref().unwrap_or_default(), number(port), number(fd))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    cmd: String,
    act: Option<String>,
    seq: Option<u64>,
    ack: Option<u64>,
    accepted: Option<bool>,
    key: Option<String>,
    address: Option<String>,
    port: Option<i64>,
    fd: Option<i64>,
    index: Option<u64>,
    address_type: Option<Value>,
}

/// Reads one line.
pub(super) fn read(line: &[u8]) -> FromWorker {
    match line {
        b"\"ready\"" => return FromWorker::Ready,
        b"\"multi-node:peers\"" => return FromWorker::Peers,
        _ => {}
    }
    let frame = serde_json::from_slice::<Frame>(line).ok().filter(|frame| frame.cmd == "NODE_CLUSTER");
    frame.and_then(understand).unwrap_or(FromWorker::Other)
}

fn understand(frame: Frame) -> Option<FromWorker> {
    if let Some(ack) = frame.ack {
        return Some(FromWorker::Answer { ack, accepted: frame.accepted.unwrap_or(false) });
    }
    Some(match frame.act?.as_str() {
        "queryServer" => {
            let udp = frame.address_type.as_ref().and_then(Value::as_str).is_some_and(|kind| kind.starts_with("udp"));
            let (host, port, fd, index) = (frame.address, frame.port, frame.fd, frame.index.unwrap_or_default());
            FromWorker::Query { seq: frame.seq?, address: Address { host, port, fd, index, udp } }
        }
        "listening" => FromWorker::Listening,
        "close" => FromWorker::Close { key: frame.key? },
        "exitedAfterDisconnect" => FromWorker::Leaves { seq: frame.seq? },
        _ => FromWorker::Other,
    })
}

/// The answer to a query: connections will come one by one.
pub(super) fn listens(seq: u64, key: &str, name: Option<Value>) -> Value {
    let mut answer = json!({ "cmd": "NODE_CLUSTER", "ack": seq, "errno": 0, "key": key, "data": null });
    if let Some(name) = name {
        answer["sockname"] = name;
    }
    answer
}

/// The answer to a query that cannot be fulfilled; `errno` is positive.
pub(super) fn cannot_listen(seq: u64, key: &str, errno: i32) -> Value {
    json!({ "cmd": "NODE_CLUSTER", "ack": seq, "errno": -errno, "key": key, "data": null })
}

/// A connection, whose descriptor comes along.
pub(super) fn connection(seq: u64, key: &str) -> Value {
    let inner = json!({ "cmd": "NODE_CLUSTER", "act": "newconn", "key": key, "seq": seq });
    json!({ "cmd": "NODE_HANDLE", "type": "net.Native", "msg": inner })
}

/// A stream to another worker, whose descriptor comes along: the program hears it by `process.on("message")`.
pub(super) fn peer(id: NodeId) -> Value {
    let inner = json!({ "multiNode": "peer", "id": id.to_string() });
    json!({ "cmd": "NODE_HANDLE", "type": "net.Socket", "msg": inner })
}

/// Finish and disconnect.
pub(super) fn disconnect(seq: u64) -> Value {
    json!({ "cmd": "NODE_CLUSTER", "act": "disconnect", "seq": seq })
}

/// The answer to a worker that leaves.
pub(super) fn farewell(seq: u64) -> Value {
    json!({ "cmd": "NODE_CLUSTER", "ack": seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_node_says_is_understood() {
        let query = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":3000,"addressType":4,"flags":0,"backlog":0,"seq":1}"#;
        let address = Address { host: None, port: Some(3000), fd: None, index: 0, udp: false };
        let cases: [(&str, FromWorker); 11] = [
            (query, FromWorker::Query { seq: 1, address }),
            (r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#, FromWorker::Other),
            (r#"{"cmd":"NODE_CLUSTER","act":"listening","port":3000,"seq":2}"#, FromWorker::Listening),
            (r#"{"cmd":"NODE_CLUSTER","ack":7,"accepted":true}"#, FromWorker::Answer { ack: 7, accepted: true }),
            (r#"{"cmd":"NODE_CLUSTER","act":"close","key":"k","seq":3}"#, FromWorker::Close { key: "k".into() }),
            (r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":4}"#, FromWorker::Leaves { seq: 4 }),
            (r#"{"cmd":"NODE_HANDLE_ACK"}"#, FromWorker::Other),
            (r#""ready""#, FromWorker::Ready),
            (r#""multi-node:peers""#, FromWorker::Peers),
            (r#"{"hello":[1,2]}"#, FromWorker::Other),
            ("{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\"", FromWorker::Other),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn the_same_address_is_the_same_server_for_all_nodes() {
        let address = |port, index| Address { host: None, port: Some(port), fd: None, index, udp: false };
        assert_eq!(address(3000, 0).key(), address(3000, 1).key());
        assert_ne!(address(3000, 0).key(), address(3001, 0).key());
        assert_ne!(address(0, 0).key(), address(0, 1).key(), "each free port is another");
    }
}
