//! One file for each command.

mod completions;
mod dispatch;
mod lock;
mod look;
mod man;
mod migrate;
mod probe;
mod run;
mod steer;
mod upgrade;

pub(crate) use dispatch::Command;
