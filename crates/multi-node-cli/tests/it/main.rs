//! The command with real programs, seen from outside.

#![allow(missing_docs)]

mod command;
mod ready;
mod run;
mod steer;
mod terminal;
