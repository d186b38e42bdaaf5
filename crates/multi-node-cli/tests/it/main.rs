//! The command with real programs, seen from outside.

#![allow(missing_docs)]

mod command;
mod linked;
mod load;
mod misbehave;
mod node_js;
mod output;
mod ready;
mod run;
mod servers;
mod steer;
mod terminal;
mod upgrade;
