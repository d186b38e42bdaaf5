//! The command with real programs, seen from outside.

#![allow(missing_docs)]

mod broken;
mod certificates;
mod command;
mod control;
mod core_dumps;
mod deploy;
mod ending;
mod foreign_programs;
mod guard;
mod hidden;
mod hostile_server;
mod identity;
mod linked;
mod load;
mod lock;
mod main_process;
mod migrate;
mod misbehave;
mod mistakes;
mod never_ready;
mod node_js;
mod node_js_affinity;
mod node_js_parity;
mod node_js_preload;
mod node_js_primary;
mod node_js_tls;
mod node_js_upgrade;
mod open_files;
mod output;
mod paused;
mod probe;
mod ready;
mod run;
mod run_steered;
mod servers;
mod settings;
mod shells;
mod steer;
mod terminal;
mod unwritable;
mod upgrade;
mod waiting;
