//! The command with real programs, seen from outside.

#![allow(missing_docs)]

mod command;
mod installed;
mod linked;
mod load;
mod main_process;
mod misbehave;
mod node_js;
mod node_js_upgrade;
mod output;
mod ready;
mod run;
mod run_steered;
mod servers;
mod shells;
mod steer;
mod terminal;
mod upgrade;
