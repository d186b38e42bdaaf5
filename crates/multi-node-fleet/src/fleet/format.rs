//! How happenings are worded.

use std::fmt;
use std::time::Duration;

use crate::id::NodeId;
use crate::status::{Exit, State};

/// A duration as people read it: `60 s`, `1.5 s`, `103.5 ms`.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            1.0.. => write!(f, "{} s", (seconds * 10.0).round() / 10.0),
            _ => write!(f, "{} ms", (seconds * 10_000.0).round() / 10.0),
        }
    }
}

/// `node-1, node-2 and node-7`; no more than four are named.
pub(super) fn listed<T: fmt::Display>(all: &[T]) -> String {
    const NAMED: usize = 4;
    let names: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    match (all.len().saturating_sub(NAMED), names.split_last()) {
        (0, Some((last, []))) => last.clone(),
        (0, Some((last, rest))) => format!("{} and {last}", rest.join(", ")),
        (more, _) => format!("{} and {more} more", names.join(", ")),
    }
}

/// How a node came to its end.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Exit(Exit),
    NeverStarted(String),
}

impl Ending {
    pub(super) fn exit(&self) -> Option<Exit> {
        match self {
            Ending::Exit(exit) => Some(*exit),
            Ending::NeverStarted(_) => None,
        }
    }

    /// Whether it ended by a signal that does not ask a program to end, but ends it.
    pub(super) fn is_violent(&self) -> bool {
        // Those that `stop_signal` of a program may name: HUP, INT, QUIT, USR1, USR2, TERM, WINCH.
        const ASKS: [i32; 7] = [1, 2, 3, 10, 12, 15, 28];
        matches!(self, Ending::Exit(Exit::Signal(signal)) if !ASKS.contains(signal))
    }

    /// SIGHUP, SIGINT and SIGTERM often go to a whole group or container, with the master next in line.
    pub(super) fn may_concern_master(&self) -> bool {
        matches!(self, Ending::Exit(Exit::Signal(1 | 2 | 15)))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exit(exit @ (Exit::Code(_) | Exit::Unknown)) => write!(f, "ended with {exit}"),
            Ending::Exit(exit @ Exit::Signal(_)) => write!(f, "ended by {exit}"),
            Ending::NeverStarted(why) => write!(f, "could not be started: {why}"),
        }
    }
}

/// What a node that is not ready has got to.
pub(super) fn progress(state: State) -> &'static str {
    match state {
        State::Starting => "starting: never reached `listen`",
        State::Initializing => "initializing: reached `listen`, but its servers did not come up",
        other => other.as_str(),
    }
}

/// What follows when a slot's node has parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestartDecision {
    Again {
        after: Duration,
        loops: bool,
    },
    GivesUp {
        deaths: usize,
        hopeless: bool,
    },
    /// No slot's node ever reached `listen`.
    Hopeless,
    SucceededBy(NodeId),
    NotReplaced(&'static str),
}

impl fmt::Display for RestartDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RestartDecision::Again { after: Duration::ZERO, .. } => f.write_str("starting again at once"),
            RestartDecision::Again { after, .. } => write!(f, "starting again in {}", Span(after)),
            RestartDecision::GivesUp { hopeless: true, .. } => {
                f.write_str("giving up, since no node was ever ready and another start would end in the same way")
            }
            RestartDecision::GivesUp { deaths, hopeless: false } => {
                write!(f, "giving up, since no node was ever ready and this is death {deaths} in its slot")
            }
            RestartDecision::Hopeless => f.write_str("giving up, since no slot's node has reached `listen`"),
            RestartDecision::SucceededBy(id) => write!(f, "{id}, which is starting, takes its slot"),
            RestartDecision::NotReplaced(why) => write!(f, "not replaced, since {why}"),
        }
    }
}
