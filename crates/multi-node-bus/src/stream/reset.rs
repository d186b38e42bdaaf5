//! Why a stream has ended before its time.

use std::io;

use thiserror::Error;

use crate::request::RequestError;

/// Why a stream was not opened, or has ended before its time. As an [`io::Error`] its kind is `ConnectionReset`, and
/// [`StreamReset::of`] finds it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum StreamReset {
    /// The process accepts no streams: see `Handle::incoming_streams`.
    #[error("the process accepts no streams")]
    NobodyAccepts,
    /// Too many streams are open or wait to be accepted, here or there.
    #[error("too many streams are open or wait to be accepted")]
    TooMany,
    /// The other side has dropped its end.
    #[error("the other side has dropped the stream")]
    Dropped,
    /// The process has ended. It never comes back.
    #[error("the process has ended")]
    Ended,
    /// Its machine has taken leave. The process never comes back.
    #[error("its machine has left")]
    MachineLeft,
    /// Its machine, the network or NATS is silent. The process may live.
    #[error("its machine is silent")]
    MachineSilent,
    /// The gateway of one of the two machines was replaced. The process lives, and another stream may be opened.
    #[error("the gateway of one of the machines was replaced")]
    GatewayReplaced,
    /// NATS is not there.
    #[error("NATS is not there")]
    Unreachable,
    /// A part, or the confirmation of one, was lost on its way.
    #[error("a part of the stream, or its confirmation, was lost")]
    Lost,
    /// Too many requests are in flight, for seconds.
    #[error("too many requests are in flight")]
    Overloaded,
    /// No such process is there, or the gateway of its machine is not.
    #[error("no such process is there, or the gateway of its machine is not")]
    NotThere,
    /// The other side has broken the protocol, or speaks another version of it.
    #[error("the other side has broken the protocol, or speaks another version of it")]
    Protocol,
}

use StreamReset::{
    Dropped, Ended, GatewayReplaced, Lost, MachineLeft, MachineSilent, NobodyAccepts, NotThere, Overloaded, Protocol,
    TooMany, Unreachable,
};

/// In the order of their codes, from 1 on. New ones come last.
const CODES: [StreamReset; 12] = [
    NobodyAccepts,
    TooMany,
    Dropped,
    Ended,
    MachineLeft,
    MachineSilent,
    GatewayReplaced,
    Unreachable,
    Lost,
    Overloaded,
    NotThere,
    Protocol,
];

impl StreamReset {
    /// Why the stream has ended, if that is what this error says.
    pub fn of(error: &io::Error) -> Option<StreamReset> {
        error.get_ref()?.downcast_ref().copied()
    }

    pub(super) fn code(self) -> u8 {
        let at = CODES.iter().position(|reset| *reset == self);
        at.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or_default()
    }

    /// What a later version says counts as a loss.
    pub(super) fn from_code(code: u8) -> StreamReset {
        usize::from(code).checked_sub(1).and_then(|at| CODES.get(at).copied()).unwrap_or(Lost)
    }
}

impl From<StreamReset> for io::Error {
    fn from(reset: StreamReset) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionReset, reset)
    }
}

impl From<RequestError> for StreamReset {
    fn from(error: RequestError) -> StreamReset {
        match error {
            RequestError::NoSuchNode(_) => NotThere,
            RequestError::NoHandler { .. } => NobodyAccepts,
            RequestError::Gone(id) if id.is_remote() => Lost,
            RequestError::Gone(multi_node_fleet::id::NodeId::GATEWAY) => GatewayReplaced,
            RequestError::Gone(_) => Ended,
            RequestError::Unreachable => Unreachable,
            RequestError::TimedOut(_) => Lost,
            RequestError::Overloaded { .. } => Overloaded,
            _ => Protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_code_and_is_found_in_an_error() {
        for (at, reset) in (1..).zip(CODES) {
            assert_eq!((reset.code(), StreamReset::from_code(at)), (at, reset));
            assert_eq!(StreamReset::of(&reset.into()), Some(reset));
        }
        assert_eq!((StreamReset::from_code(0), StreamReset::from_code(99)), (Lost, Lost));
        assert_eq!(StreamReset::of(&io::ErrorKind::BrokenPipe.into()), None);
    }
}
