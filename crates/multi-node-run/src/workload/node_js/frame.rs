//! What the command and its primary process (`--primary FILE`) say to each other: lines of JSON on that process's channel.
//! `program/primary.js` is the other side. Pure.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::message::{self, OURS};
use crate::id::NodeId;
use crate::status::Exit;

/// What the process says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::workload) enum FromProcess {
    /// It listens for what workers say.
    Hello,
    /// A message for a worker, as a line.
    Send { to: NodeId, line: Bytes },
}

#[derive(Deserialize)]
struct Frame<'a> {
    cmd: String,
    act: String,
    id: Option<u64>,
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
}

/// Reads one line. `None`: it is not for us.
pub(in crate::workload) fn read(line: &[u8]) -> Option<FromProcess> {
    let Frame { cmd, act, id, msg } = serde_json::from_slice(line).ok()?;
    match act.as_str() {
        _ if cmd != OURS => None,
        "hello" => Some(FromProcess::Hello),
        "send" => {
            let (number, message) = (id.filter(|id| *id > 0)?, msg?.get());
            // What is internal is between the command and the worker.
            let line = message::is_of_program(message.as_bytes()).then(|| format!("{message}\n").into())?;
            Some(FromProcess::Send { to: NodeId::node(number), line })
        }
        _ => None,
    }
}

/// A worker's process runs.
pub(super) fn fork(id: NodeId, pid: u32) -> Bytes {
    line(&json!({ "cmd": OURS, "act": "fork", "id": id.number(), "pid": pid }))
}

/// A worker has begun.
pub(super) fn online(id: NodeId) -> Bytes {
    line(&json!({ "cmd": OURS, "act": "online", "id": id.number() }))
}

/// One of a worker's servers listens; what it has said of that.
pub(super) fn listening(id: NodeId, said: &[u8]) -> Bytes {
    with_message("listening", id, said)
}

/// What a worker has sent.
pub(super) fn message(id: NodeId, sent: &[u8]) -> Bytes {
    with_message("message", id, sent)
}

/// A worker's channel is closed. `asked`: it was asked to disconnect, or announced it.
pub(super) fn disconnect(id: NodeId, asked: bool) -> Bytes {
    line(&json!({ "cmd": OURS, "act": "disconnect", "id": id.number(), "asked": asked }))
}

/// A worker's process has ended.
pub(super) fn exit(id: NodeId, exit: Exit) -> Bytes {
    let (code, signal) = match exit {
        Exit::Code(code) => (code.into(), Value::Null),
        Exit::Signal(_) => (Value::Null, exit.to_string().into()),
        Exit::Unknown => (Value::Null, Value::Null),
    };
    line(&json!({ "cmd": OURS, "act": "exit", "id": id.number(), "code": code, "signal": signal }))
}

fn line(frame: &Value) -> Bytes {
    format!("{frame}\n").into()
}

/// The message is JSON already, and is passed on unchanged: no number loses a digit, and objects keep the order of their
/// keys.
fn with_message(act: &str, id: NodeId, message: &[u8]) -> Bytes {
    let head = format!(r#"{{"cmd":"{OURS}","act":"{act}","id":{},"msg":"#, id.number());
    [head.as_bytes(), message, b"}\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &Bytes) -> Value {
        assert_eq!(line.last(), Some(&b'\n'));
        serde_json::from_slice(line).expect("JSON")
    }

    #[test]
    fn messages_pass_as_they_came() {
        let sent = r#"{"z":1.0000000000000002,"a":[12345678901234567890,"\u00e9"]}"#;
        let node = NodeId::node(7);
        let frame = message(node, sent.as_bytes());
        assert!(String::from_utf8_lossy(&frame).contains(sent), "{frame:?}");
        let back = format!(r#"{{"cmd":"NODE_MULTI_NODE","act":"send","id":7,"msg":{sent}}}"#);
        assert_eq!(read(back.as_bytes()), Some(FromProcess::Send { to: node, line: format!("{sent}\n").into() }));
    }

    #[test]
    fn what_is_not_for_workers_is_passed_over() {
        assert_eq!(read(br#"{"cmd":"NODE_MULTI_NODE","act":"hello"}"#), Some(FromProcess::Hello));
        let others = [
            r#"{"cmd":"NODE_CLUSTER","act":"hello"}"#,
            r#"{"cmd":"NODE_MULTI_NODE","act":"later"}"#,
            r#"{"cmd":"NODE_MULTI_NODE","act":"send","id":0,"msg":1}"#,
            r#"{"cmd":"NODE_MULTI_NODE","act":"send","id":1}"#,
            r#"{"cmd":"NODE_MULTI_NODE","act":"send","id":1,"msg":{"cmd":"NODE_CLUSTER","act":"disconnect"}}"#,
            r#""hello""#,
            "{",
        ];
        others.iter().for_each(|line| assert_eq!(read(line.as_bytes()), None, "{line}"));
    }

    #[test]
    fn ends_are_told_as_node_tells_them() {
        let node = NodeId::node(1);
        let told = |how| value(&exit(node, how));
        assert_eq!((&told(Exit::Code(3))["code"], &told(Exit::Code(3))["signal"]), (&json!(3), &Value::Null));
        assert_eq!(
            (&told(Exit::Signal(9))["code"], &told(Exit::Signal(9))["signal"]),
            (&Value::Null, &json!("SIGKILL"))
        );
        assert_eq!(value(&disconnect(node, true))["asked"], true);
        assert_eq!(value(&listening(node, br#"{"port":80}"#))["msg"]["port"], 80);
    }
}
