//! The master: it starts the nodes, joins them with each other, and replaces those that end.
//!
//! The rules ([`fleet`], [`restart`]) decide and do nothing else: an event and the time go in, actions come out. What
//! performs the actions knows no rules.
//!
//! # The states of a node, and of the slot that it fills
//!
//! ```text
//!               spawn             hello             ready
//!      Empty ──────────> Starting ─────> Initializing ────> Serving
//!        ^                   │              │               │     │
//!        │                   │ start_timeout, shutdown,     │     │ reload, scale, shutdown,
//!        │                   │ it failed and did not end    │     │ or it leaves unasked
//!        │                   │              │               │     v
//!        │                   │              │       silence │  Draining
//!        │                   │              │               │     │ drain_timeout, silence
//!        │                   v              v               v     v
//!        │                   └──────────────┴──> Killing <──┴─────┘
//!        │                                          │
//!        │                the process ends, there or in any state above
//!        │                                          v
//!        │  on command, or no `restart`           Exited
//!        ├<─────────────────────────────────────────┤
//!        │  its backoff is over                     │ unasked
//!        └<──────────────── BackingOff <────────────┤
//!                                                   │ crash loop, and no node was ever ready
//!                                 Failed <──────────┘
//! ```
//!
//! | state | ends at the latest |
//! |---|---|
//! | `Empty` | with the next command; where `restart` is on, no slot stays empty |
//! | `Starting`, `Initializing` | `start_timeout` after the spawn, or 5 s after the node said that it failed |
//! | `Serving` | with the process, which is watched by its heartbeat |
//! | `Draining` | `drain_timeout` after the command, or after the node said that it leaves |
//! | `Killing` | with the process; SIGKILL follows SIGABRT after 5 s, and itself every 5 s |
//! | `Exited` | at once: what follows is decided when the exit is seen |
//! | `BackingOff` | when the backoff is over |
//! | `Failed` | never: the program ends |
//!
//! A node that drains or is killed on command no longer holds its slot, so that its replacement starts beside it. During a
//! reload a slot has an old node and a new one, which takes the slot when it is ready.
//!
//! A node that breaks the protocol (it sends hello twice, or is ready before its hello) or whose control channel breaks is
//! killed, and counts as crashed.

mod bootstrap;
mod child;
mod closing;
mod drain;
mod event_log;
mod gateway;
mod guard;
mod hear;
mod hello_ack;
mod joining;
mod launch;
mod limits_table;
mod link_epochs;
mod links;
mod member;
mod members;
mod names;
mod plan;
mod reaper;
mod rejoins;
mod run;
mod starter;
mod successors;
mod upgrade;
mod watch;
mod workload;

use multi_node_fleet::fleet;

pub use bootstrap::{Bootstrap, Ends, InheritedState};
pub use child::{Child, Launcher};
pub use guard::Registry;
pub use launch::{Launch, Process};
pub use member::leader;
pub use plan::{GatewayPlan, Plan, SlotArgs, Start};
pub use run::TARGET;
pub use upgrade::UpgradeRequest;
pub use watch::{end, told_to_rest, until_end};
pub use workload::{
    Beside, Given, Linked, NodeNews, NodeView, Observer, Properties, Reaction, StartContext, Waits, Welcome, Workload,
    WorkloadSpec, cannot_close,
};
