//! The commands: `steer` has those that ask a program for one thing, `look` those that show one, each other one a file.

mod all_machines;
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
