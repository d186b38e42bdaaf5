//! Options that are one of some words.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The conventions by which the program learns of its sockets.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sockets {
    /// By all of these
    All,
    /// LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, and nothing else
    Systemd,
    /// SERVER_STARTER_PORT
    ServerStarter,
    /// By words in its arguments and variables alone
    Bare,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ready {
    /// One of its processes waits for connections; a Node.js program listens or sends "ready". A program without an address
    /// says READY=1, or reaches the age of --ready-after
    Auto,
    /// By READY=1, a newline on the descriptor of --ready-fd, or a Node.js program's message "ready" alone
    Notify,
    /// By the age of --ready-after alone
    Age,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Log {
    /// It is read line by line and written to this command's standard output and error
    Collect,
    /// Nodes write there themselves
    Inherit,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// As it is
    Plain,
    /// With slot and node in front
    Prefixed,
    /// An object for each line
    Json,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFull {
    /// The node waits
    Block,
    /// Lines are left out, and the gap is shown
    Drop,
}
