//! The command with real programs, seen from outside.

#![allow(missing_docs)]

mod command;
mod misbehave;
mod output;
mod ready;
mod run;
mod servers;
mod steer;
mod terminal;
mod upgrade;
