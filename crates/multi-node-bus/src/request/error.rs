//! Why a request has no answer.

use std::time::Duration;

use multi_node_fleet::id::NodeId;
use thiserror::Error;

use super::Target;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// No process has this id or slot.
    #[error("{}", not_there(.0))]
    NoSuchNode(Target),
    /// The process has no such handler, or no process has it that takes new requests.
    #[error("there is no handler `{name}` at {target}")]
    NoHandler {
        /// The handler's name.
        name: String,
        /// Where it was looked for.
        target: Target,
    },
    /// The process ended, or its link broke, before it answered. Whether it did what was asked is unknown.
    #[error("{} is gone, and may or may not have done what was asked", gone(*.0))]
    Gone(NodeId),
    /// Only a process of another machine could answer, and NATS is not there. The request was not sent.
    #[error("no process of this machine answers, and others cannot be reached: NATS is not there")]
    Unreachable,
    /// No answer came by the deadline. Whether the handler did what was asked is unknown.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Too many requests are in flight: the request was not sent, or the other process refused it.
    #[error("too many requests are in flight{}", if *.remote { " at the other process" } else { "" })]
    Overloaded {
        /// Whether the other process refused it.
        remote: bool,
    },
    /// The request is too large.
    #[error("the request has {length} bytes, which is more than allowed: raise `Options::max_message`, or send less")]
    TooLarge {
        /// Its length.
        length: usize,
    },
    /// The handler returned this error.
    #[error("the handler failed: {0}")]
    Failed(String),
    /// The handler panicked.
    #[error("the handler panicked")]
    Panicked,
    /// The value cannot be encoded.
    #[error("cannot encode the request: {0}")]
    Encode(String),
    /// The answer is not of the expected type.
    #[error("cannot decode the answer: {0}")]
    Decode(String),
}

fn not_there(target: &Target) -> String {
    let what_to_do = match target {
        Target::Id(_) => ": an id ends with its process; name a slot to reach the node that is in it now",
        _ => "",
    };
    format!("{target} is not there{what_to_do}")
}

/// What an error calls the process that did not answer.
fn gone(id: NodeId) -> String {
    match id {
        NodeId::GATEWAY => "the process of another machine, or the gateway to it,".to_owned(),
        id => id.to_string(),
    }
}

/// The codes of failures between processes.
const NO_HANDLER: u8 = 1;
const OVERLOADED: u8 = 2;
const FAILED: u8 = 3;
const PANICKED: u8 = 4;
const NO_SUCH_NODE: u8 = 5;
const GONE: u8 = 6;
const UNREACHABLE: u8 = 7;

/// What the process that was asked says instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It has no such handler.
    NoHandler,
    /// Too many requests are in flight there.
    Overloaded,
    /// The handler returned an error.
    Failed(String),
    /// The handler panicked.
    Panicked,
    /// The gateway says: no such process is at the other machine.
    NoSuchNode,
    /// The gateway says: the other process ended, or NATS did, before an answer came.
    Gone,
    /// The gateway says: NATS is not there, so nothing was sent.
    Unreachable,
}

impl Failure {
    /// Its code and its text.
    pub fn encode(&self) -> Vec<u8> {
        let (code, text) = match self {
            Failure::NoHandler => (NO_HANDLER, ""),
            Failure::Overloaded => (OVERLOADED, ""),
            Failure::Failed(text) => (FAILED, text.as_str()),
            Failure::Panicked => (PANICKED, ""),
            Failure::NoSuchNode => (NO_SUCH_NODE, ""),
            Failure::Gone => (GONE, ""),
            Failure::Unreachable => (UNREACHABLE, ""),
        };
        crate::frame::encode_failure(code, text)
    }

    /// A code of a later version counts as the handler's error.
    pub fn decode(code: u8, text: String) -> Failure {
        match code {
            NO_HANDLER => Failure::NoHandler,
            OVERLOADED => Failure::Overloaded,
            PANICKED => Failure::Panicked,
            NO_SUCH_NODE => Failure::NoSuchNode,
            GONE => Failure::Gone,
            UNREACHABLE => Failure::Unreachable,
            _ => Failure::Failed(text),
        }
    }

    pub(super) fn into_error(self, name: &str, target: Target, peer: NodeId) -> RequestError {
        match self {
            Failure::NoHandler => RequestError::NoHandler { name: name.to_owned(), target },
            Failure::Overloaded => RequestError::Overloaded { remote: true },
            Failure::Failed(text) => RequestError::Failed(text),
            Failure::Panicked => RequestError::Panicked,
            Failure::NoSuchNode => RequestError::NoSuchNode(target),
            Failure::Gone => RequestError::Gone(peer),
            Failure::Unreachable => RequestError::Unreachable,
        }
    }
}

/// What a gateway says to the machine that has asked; `None` where nobody awaits an answer any longer.
impl From<RequestError> for Option<Failure> {
    fn from(error: RequestError) -> Self {
        Some(match error {
            RequestError::NoSuchNode(_) => Failure::NoSuchNode,
            RequestError::NoHandler { .. } => Failure::NoHandler,
            RequestError::Gone(_) => Failure::Gone,
            RequestError::TimedOut(_) => return None,
            RequestError::Overloaded { .. } => Failure::Overloaded,
            RequestError::Failed(text) => Failure::Failed(text),
            RequestError::Panicked => Failure::Panicked,
            RequestError::Unreachable => Failure::Unreachable,
            other => Failure::Failed(other.to_string()),
        })
    }
}

/// Why a handler was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RespondError {
    /// Its name is too long, or empty.
    #[error("a handler's name has 1 to 255 bytes, this one has {0}")]
    Name(usize),
    /// There is one of this name.
    #[error("this process already has a handler `{0}`")]
    Exists(String),
    /// There are too many.
    #[error("this process already has {0} handlers: raise `handlers`")]
    TooMany(usize),
}
