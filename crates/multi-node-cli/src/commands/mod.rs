//! One file for each command.

mod completions;
mod dispatch;
mod man;
mod run;

pub(crate) use dispatch::Command;
