//! The messages between worker and primary: those of Node.js's own cluster module, the same in its versions 18 to 26. Pure.

use std::fmt;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::owned::Head;
use crate::id::NodeId;

/// What a worker says, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::workload) enum FromWorker {
    /// A server wants to listen.
    Query { seq: u64, address: Address, data: Option<ServerData> },
    /// Its program begins.
    Online,
    /// A server got its address and listens; the whole line.
    Listening(Bytes),
    /// A server listens no longer.
    Close { key: String },
    /// Whether a connection was taken.
    Answer { ack: u64, accepted: bool },
    /// The worker ends on its own initiative, and waits for an answer.
    Leaves { seq: u64 },
    /// A message of the program for its primary: JSON.
    Message(Bytes),
    /// `process.send("ready")`
    Ready,
    /// `process.send("multi-node:peers")`: it wants a stream to each other worker that wants one.
    Peers,
    /// It sent a handle, and sends nothing more until that is acknowledged; of a connection that its preload passes back, which.
    Handle(Option<HandedBack>),
    /// Its preload has something to say.
    Preload(PreloadSays),
    /// A server closes, and asks whether the connections that it has sent as handles are closed.
    Closing { key: String },
    /// A server asks how many of the connections that it has sent are open.
    Counting { key: String },
    /// Anything else is not for us.
    Other,
}

/// A connection that a worker passes back: an idle one in a drain, or one whose next request another may own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::workload) struct HandedBack {
    /// What the worker calls it by.
    pub(super) seq: u64,
    /// The server that it belongs to.
    pub(super) key: String,
    /// What was read of the request that another may own.
    pub(super) head: Option<Head>,
}

/// What the preload reports about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::workload) enum PreloadSays {
    /// It works.
    Hello,
    /// It does nothing; why.
    Inert { why: String },
    /// All connections have moved, and the worker may disconnect.
    Drained,
    /// It has met an error, and continues.
    Failed { why: String },
}

/// The `cmd` of all messages between our own JavaScript and us. Node.js shows programs none whose `cmd` begins with `NODE_`.
pub(super) const OURS: &str = "NODE_MULTI_NODE";

/// What a worker's server shares with the servers of other workers at its address: for TLS the keys of its session
/// tickets. They are secret, so `Debug` does not show them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::workload) struct ServerData(Value);

impl fmt::Debug for ServerData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerData(secret)")
    }
}

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::workload) struct Address {
    /// A host, a path where `port` is negative, or none for all interfaces.
    pub(super) host: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) fd: Option<i64>,
    /// How many servers of the worker asked for the same before.
    pub(super) index: u64,
    /// Whether it is for datagrams.
    pub(super) udp: bool,
    /// Whether it takes no IPv4 clients.
    pub(super) only_v6: bool,
    /// What is added to the mode of a Unix socket's file (`readableAll`, `writableAll`).
    pub(super) mode: u32,
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
    flags: Option<u64>,
    readable_all: Option<bool>,
    writable_all: Option<bool>,
    data: Option<ServerData>,
    why: Option<String>,
    /// What goes with a handle; of anything but our own messages it is the program's.
    msg: Option<Value>,
}

impl Frame {
    /// The server that is asked for.
    fn address(self) -> Address {
        /// `UV_TCP_IPV6ONLY` of libuv.
        const ONLY_V6: u64 = 1;
        let mode = |asked: Option<bool>, bits| if asked == Some(true) { bits } else { 0 };
        Address {
            udp: self.address_type.as_ref().and_then(Value::as_str).is_some_and(|kind| kind.starts_with("udp")),
            only_v6: self.flags.is_some_and(|flags| flags & ONLY_V6 != 0),
            mode: mode(self.readable_all, 0o444) | mode(self.writable_all, 0o222),
            host: self.address,
            port: self.port,
            fd: self.fd,
            index: self.index.unwrap_or_default(),
        }
    }
}

/// Reads one line.
pub(super) fn read(line: &[u8]) -> FromWorker {
    match line {
        b"\"ready\"" => return FromWorker::Ready,
        b"\"multi-node:peers\"" => return FromWorker::Peers,
        _ => {}
    }
    if is_of_program(line) {
        return FromWorker::Message(Bytes::copy_from_slice(line));
    }
    serde_json::from_slice(line).ok().and_then(|frame| understand(frame, line)).unwrap_or(FromWorker::Other)
}

/// Whether this is JSON that Node.js shows programs: all but objects whose `cmd` begins with `NODE_`.
pub(super) fn is_of_program(line: &[u8]) -> bool {
    const INTERNAL: &str = "NODE_";
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        cmd: Value,
    }
    let is_internal = |cmd: &str| cmd.len() > INTERNAL.len() && cmd.starts_with(INTERNAL);
    match serde_json::from_slice::<Head>(line) {
        // A list would be read as a head, too.
        Ok(Head { cmd }) if line.first() == Some(&b'{') => !cmd.as_str().is_some_and(is_internal),
        _ => serde_json::from_slice::<IgnoredAny>(line).is_ok(),
    }
}

fn understand(frame: Frame, line: &[u8]) -> Option<FromWorker> {
    Some(match frame.cmd.as_str() {
        "NODE_CLUSTER" => return understand_cluster(frame, line),
        "NODE_HANDLE" => FromWorker::Handle(frame.msg.and_then(handed_back)),
        OURS => FromWorker::Preload(understand_preload(frame)?),
        "NODE_SOCKET_NOTIFY_CLOSE" => FromWorker::Closing { key: frame.key? },
        "NODE_SOCKET_GET_COUNT" => FromWorker::Counting { key: frame.key? },
        _ => FromWorker::Other,
    })
}

fn handed_back(message: Value) -> Option<HandedBack> {
    let is = |field: &str, value: &str| message.get(field).and_then(Value::as_str) == Some(value);
    (is("cmd", OURS) && is("act", "handoff")).then(|| serde_json::from_value(message).ok())?
}

fn understand_preload(frame: Frame) -> Option<PreloadSays> {
    let why = frame.why.unwrap_or_default();
    Some(match frame.act?.as_str() {
        "hello" => PreloadSays::Hello,
        "inert" => PreloadSays::Inert { why },
        "drained" => PreloadSays::Drained,
        "failed" => PreloadSays::Failed { why },
        _ => return None,
    })
}

fn understand_cluster(mut frame: Frame, line: &[u8]) -> Option<FromWorker> {
    if let Some(ack) = frame.ack {
        return Some(FromWorker::Answer { ack, accepted: frame.accepted.unwrap_or(false) });
    }
    Some(match frame.act.take()?.as_str() {
        "queryServer" => {
            let (seq, data) = (frame.seq?, frame.data.take());
            FromWorker::Query { seq, address: frame.address(), data }
        }
        "online" => FromWorker::Online,
        "listening" => FromWorker::Listening(Bytes::copy_from_slice(line)),
        "close" => FromWorker::Close { key: frame.key? },
        "exitedAfterDisconnect" => FromWorker::Leaves { seq: frame.seq? },
        _ => FromWorker::Other,
    })
}

/// The answer to a query: connections will come one by one.
pub(super) fn listens(seq: u64, key: &str, name: Option<Value>, data: Option<&ServerData>) -> Value {
    let mut answer = json!({ "cmd": "NODE_CLUSTER", "ack": seq, "errno": 0, "key": key, "data": data });
    if let Some(name) = name {
        answer["sockname"] = name;
    }
    answer
}

/// The answer to a query that cannot be fulfilled; `errno` is positive. A TLS server reads `data` before the error.
pub(super) fn cannot_listen(seq: u64, key: &str, errno: i32, data: Option<&ServerData>) -> Value {
    json!({ "cmd": "NODE_CLUSTER", "ack": seq, "errno": -errno, "key": key, "data": data })
}

/// What the preload heeds of a connection.
#[derive(Debug)]
pub(super) struct Brings<'a> {
    /// Whether another worker had it before.
    pub(super) moved: bool,
    /// Whether the worker owns the next request, of which nothing was read.
    pub(super) unread_is_owned: bool,
    /// What was read of the next request, which the worker owns then.
    pub(super) head: Option<&'a Head>,
}

/// A connection, whose descriptor comes along.
pub(super) fn connection(seq: u64, key: &str, brings: &Brings<'_>) -> Value {
    let mut inner = json!({ "cmd": "NODE_CLUSTER", "act": "newconn", "key": key, "seq": seq });
    for (field, is) in [("moved", brings.moved), ("owned", brings.unread_is_owned)] {
        if is {
            inner[field] = true.into();
        }
    }
    if let Some(head) = brings.head {
        inner["head"] = json!(head);
    }
    json!({ "cmd": "NODE_HANDLE", "type": "net.Native", "msg": inner })
}

/// A stream to another worker, whose descriptor comes along. The program gets it by `process.on("message")`.
pub(super) fn peer(id: NodeId) -> Value {
    let inner = json!({ "multiNode": "peer", "id": id.to_string() });
    json!({ "cmd": "NODE_HANDLE", "type": "net.Socket", "msg": inner })
}

/// The answer to a handle. One whose descriptor did not arrive is sent again.
pub(super) fn handle_answer(arrived: bool) -> Value {
    json!({ "cmd": if arrived { "NODE_HANDLE_ACK" } else { "NODE_HANDLE_NACK" } })
}

/// The answer to a server that closes: connections that it has sent are closed.
pub(super) fn all_closed(key: &str) -> Value {
    json!({ "cmd": "NODE_SOCKET_ALL_CLOSED", "key": key })
}

/// The answer to a server that counts: no connection that it has sent is open.
pub(super) fn none_open(key: &str) -> Value {
    json!({ "cmd": "NODE_SOCKET_COUNT", "key": key, "count": 0 })
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
        let address = Address { host: None, port: Some(3000), fd: None, index: 0, udp: false, only_v6: false, mode: 0 };
        let says = FromWorker::Preload;
        let listening = r#"{"cmd":"NODE_CLUSTER","act":"listening","port":3000,"seq":2}"#;
        let cases: [(&str, FromWorker); 19] = [
            (query, FromWorker::Query { seq: 1, address, data: None }),
            (r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#, FromWorker::Online),
            (listening, FromWorker::Listening(listening.into())),
            (r#"{"cmd":"NODE_CLUSTER","ack":7,"accepted":true}"#, FromWorker::Answer { ack: 7, accepted: true }),
            (r#"{"cmd":"NODE_CLUSTER","act":"close","key":"k","seq":3}"#, FromWorker::Close { key: "k".into() }),
            (r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":4}"#, FromWorker::Leaves { seq: 4 }),
            (r#"{"cmd":"NODE_HANDLE_ACK"}"#, FromWorker::Other),
            (r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"a":1},"key":"4:::3000"}"#, FromWorker::Handle(None)),
            (
                r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_MULTI_NODE","act":"handoff","seq":3,"key":"k"}}"#,
                FromWorker::Handle(Some(HandedBack { seq: 3, key: "k".into(), head: None })),
            ),
            (
                r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_MULTI_NODE","act":"handoff","seq":-3}}"#,
                FromWorker::Handle(None),
            ),
            (r#"{"cmd":"NODE_MULTI_NODE","act":"hello","version":"24.1.0"}"#, says(PreloadSays::Hello)),
            (r#"{"cmd":"NODE_MULTI_NODE","act":"inert","why":"w"}"#, says(PreloadSays::Inert { why: "w".into() })),
            (r#"{"cmd":"NODE_MULTI_NODE","act":"drained"}"#, says(PreloadSays::Drained)),
            (r#"{"cmd":"NODE_SOCKET_NOTIFY_CLOSE","key":"k"}"#, FromWorker::Closing { key: "k".into() }),
            (r#"{"cmd":"NODE_SOCKET_GET_COUNT","key":"k"}"#, FromWorker::Counting { key: "k".into() }),
            (r#""ready""#, FromWorker::Ready),
            (r#""multi-node:peers""#, FromWorker::Peers),
            (r#"{"hello":[1,2]}"#, FromWorker::Message(r#"{"hello":[1,2]}"#.into())),
            ("{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\"", FromWorker::Other),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn what_is_of_the_program_is_told_from_what_is_internal() {
        let of_program = [
            "1",
            "null",
            r#""text""#,
            r#"["NODE_CLUSTER"]"#,
            r#"{"cmd":"NODE_"}"#,
            r#"{"cmd":"node_x"}"#,
            r#"{"cmd":5,"port":"x"}"#,
            r#"{"cmd":"init","cmd2":"NODE_X"}"#,
        ];
        of_program.iter().for_each(|line| assert!(is_of_program(line.as_bytes()), "{line}"));
        let others = [r#"{"cmd":"NODE_X"}"#, r#"{"a":1,"cmd":"NODE_CLUSTER"}"#, r#"{"cmd":"#, "", "x"];
        others.iter().for_each(|line| assert!(!is_of_program(line.as_bytes()), "{line}"));
    }

    #[test]
    fn the_keys_of_a_tls_server_are_echoed_and_never_shown() {
        let query = br#"{"cmd":"NODE_CLUSTER","act":"queryServer","data":{"ticketKeys":"c0ffee"},"port":443,"seq":1}"#;
        let said = read(query);
        assert!(!format!("{said:?}").contains("c0ffee"), "{said:?}");
        let FromWorker::Query { data, .. } = said else { panic!("{said:?}") };
        assert_eq!(listens(1, "k", None, data.as_ref())["data"]["ticketKeys"], "c0ffee");
        assert_eq!(cannot_listen(1, "k", 98, data.as_ref())["data"]["ticketKeys"], "c0ffee");
    }

    #[test]
    fn the_same_address_is_the_same_server_for_all_nodes() {
        let address = |port, index| Address {
            host: None,
            port: Some(port),
            fd: None,
            index,
            udp: false,
            only_v6: false,
            mode: 0,
        };
        assert_eq!(address(3000, 0).key(), address(3000, 1).key());
        assert_ne!(address(3000, 0).key(), address(3001, 0).key());
        assert_ne!(address(0, 0).key(), address(0, 1).key(), "each free port is another");
    }
}
