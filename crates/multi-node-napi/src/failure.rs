//! Errors in the form that JavaScript gets: a code for programs, and a message for people.

use std::io;

use multi_node::Error;
use multi_node::bus::{PublishError, RequestError, RespondError};
use multi_node::embed::NotDone;
use multi_node::lease::LeaseRefused;
use multi_node::limits::{QuotaError, TooManyCounters, TooManyGauges};
use multi_node::sessions::SessionError;
use napi_derive::napi;

/// What failed.
#[napi(object)]
#[derive(Debug)]
pub struct Failure {
    /// `ERR_MULTI_NODE_…`; for errors of the system `errno` has more.
    pub code: String,
    pub message: String,
    /// The system's number.
    pub errno: Option<i32>,
    /// The address that could not be bound.
    pub address: Option<String>,
    /// The option that has a wrong value, as the library calls it.
    pub option: Option<String>,
}

impl Failure {
    fn new(code: &str, message: String) -> Failure {
        Failure { code: format!("ERR_MULTI_NODE_{code}"), message, errno: None, address: None, option: None }
    }

    fn of_system(mut self, source: &io::Error) -> Failure {
        self.errno = source.raw_os_error();
        self
    }
}

impl Failure {
    /// A session that this package has not stored.
    pub(crate) fn no_session_text() -> Failure {
        Failure::new(
            "SESSIONS_UNUSABLE",
            "sessions: a stored session is no text; another program has written it".to_owned(),
        )
    }

    /// A request that cannot be read.
    pub(crate) fn request(error: &serde_json::Error) -> Failure {
        Failure::new("BAD_REQUEST", error.to_string())
    }

    /// A topic that cannot be had.
    pub(crate) fn topic(message: String) -> Failure {
        Failure::new("TOPIC", message)
    }

    /// A limit that allows nothing, or more than can be counted.
    pub(crate) fn quota(error: &QuotaError) -> Failure {
        Failure::new("OPTION", error.to_string())
    }

    /// A gauge too many.
    pub(crate) fn gauges(error: &TooManyGauges) -> Failure {
        Failure::new("GAUGES", error.to_string())
    }

    /// A lease that this process cannot wait for.
    pub(crate) fn lease(error: &LeaseRefused) -> Failure {
        Failure::new("LEASE", error.to_string())
    }

    /// A counter too many.
    pub(crate) fn counters(error: &TooManyCounters) -> Failure {
        Failure::new("COUNTERS", error.to_string())
    }

    /// A process that no id or slot names.
    pub(crate) fn no_such_node(name: &str) -> Failure {
        Failure::new("NO_SUCH_NODE", format!("{name} is not there"))
    }

    /// As an exception, for a constructor: JavaScript finds the fields in the message, one a line.
    pub(crate) fn into_error(self) -> napi::Error {
        let Failure { code, message, errno, address, option } = self;
        let errno = errno.map(|errno| errno.to_string()).unwrap_or_default();
        let lines = [code, errno, address.unwrap_or_default(), option.unwrap_or_default(), message];
        napi::Error::from_reason(lines.join("\n"))
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        let message = error.to_string();
        match error {
            Error::Option { option, .. } => {
                Failure { option: Some((*option).to_owned()), ..Failure::new("OPTION", message) }
            }
            Error::Bind { address, source, .. } => {
                Failure { address: Some(address.clone()), ..Failure::new("BIND", message).of_system(source) }
            }
            Error::SecondListen => Failure::new("SECOND_LISTEN", message),
            Error::MasterGone => Failure::new("MASTER_GONE", message),
            Error::Program { source, .. } => Failure::new("PROGRAM", message).of_system(source),
            Error::Start { .. } => Failure::new("START", message),
            Error::Control { .. } => Failure::new("CONTROL", message),
            Error::NameTaken { .. } => Failure::new("NAME_TAKEN", message),
            Error::ControlSocket { .. } => Failure::new("CONTROL_SOCKET", message),
            Error::Resume { .. } => Failure::new("RESUME", message),
            Error::Certificate { .. } => Failure::new("CERTIFICATE", message),
            Error::OpenFiles { .. } => Failure::new("OPEN_FILES", message),
            Error::NoNodes { .. } => Failure::new("NO_NODES", message),
            Error::Io { source, .. } => Failure::new("IO", message).of_system(source),
            _ => Failure::new("FAILED", message),
        }
    }
}

impl From<&NotDone> for Failure {
    fn from(error: &NotDone) -> Failure {
        let code = match error {
            NotDone::Request(refusal) => &refusal.code,
            NotDone::Command(error) => error.code(),
        };
        Failure::new(&code.to_ascii_uppercase(), error.to_string())
    }
}

impl From<&SessionError> for Failure {
    fn from(error: &SessionError) -> Failure {
        let code = match error {
            SessionError::Setting { .. } => "OPTION",
            SessionError::Busy { .. } | SessionError::Overloaded { .. } => "SESSIONS_BUSY",
            SessionError::Full { .. } | SessionError::DiskFull { .. } => "SESSIONS_FULL",
            SessionError::TooLarge { .. } | SessionError::Id { .. } => "SESSION_REFUSED",
            SessionError::Corrupt { .. }
            | SessionError::OtherSchema { .. }
            | SessionError::NotPrivate { .. }
            | SessionError::Replaced { .. }
            | SessionError::Files { .. } => "SESSIONS_UNUSABLE",
            _ => "SESSIONS_FAILED",
        };
        Failure::new(code, error.to_string())
    }
}

impl From<&PublishError> for Failure {
    fn from(error: &PublishError) -> Failure {
        Failure::new("TOO_LARGE", error.to_string())
    }
}

impl From<&RespondError> for Failure {
    fn from(error: &RespondError) -> Failure {
        Failure::new("HANDLER", error.to_string())
    }
}

impl From<&RequestError> for Failure {
    fn from(error: &RequestError) -> Failure {
        let code = match error {
            RequestError::NoSuchNode(_) => "NO_SUCH_NODE",
            RequestError::NoHandler { .. } => "NO_HANDLER",
            RequestError::Gone(_) => "GONE",
            RequestError::Unreachable => "UNREACHABLE",
            RequestError::TimedOut(_) => "TIMED_OUT",
            RequestError::Overloaded { .. } => "OVERLOADED",
            RequestError::TooLarge { .. } => "TOO_LARGE",
            RequestError::Failed(_) | RequestError::Panicked | RequestError::Encode(_) | RequestError::Decode(_) => {
                "HANDLER_FAILED"
            }
        };
        Failure::new(code, error.to_string())
    }
}
