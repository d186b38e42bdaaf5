//! Seeing and steering a program from outside: the control socket and who speaks over it.
//!
//! A program's control socket has the program's name, unless [`Options::control`](crate::Options::control) says otherwise; the command
//! `multi-node` and `Client` speak to it. Requests and answers are one JSON value a line, so a shell can speak as well:
//!
//! ```sh
//! echo status | socat - UNIX-CONNECT:$XDG_RUNTIME_DIR/multi-node/web.sock
//! ```
//!
//! ```no_run
//! use multi_node::admin::{Client, ClientError, Request};
//! use multi_node::commands::ReloadReport;
//!
//! # async fn f() -> Result<(), ClientError> {
//! let mut client = Client::connect("web").await?;
//! let report: ReloadReport = client.ask(&Request::Reload { wait: true, now: false }).await?;
//! println!("generation {} serves", report.generation);
//! # Ok(())
//! # }
//! ```
//!
//! The server's side gives its commands by a [`Handle`](crate::Handle), as the program itself does, and knows nothing of the
//! supervisor. docs/control-socket.md has every command with its answer.

#[cfg(multi_process)]
mod client;
#[cfg(multi_process)]
mod command;
#[cfg(multi_process)]
mod directory;
#[cfg(multi_process)]
mod handler;
#[cfg(multi_process)]
mod lines;
mod machines;
mod observer;
#[cfg(multi_process)]
mod open;
mod protocol;
#[cfg(multi_process)]
mod session;
#[cfg(multi_process)]
mod socket;
mod text;
#[cfg(all(test, multi_process))]
mod transcript_tests;
mod view;

pub use crate::log_buffer::{HeldOutput, LogLine, Logged, Source};
#[cfg(multi_process)]
pub use client::{Client, ClientError};
#[cfg(multi_process)]
#[doc(hidden)]
pub use command::{NotDone, carry_out};
#[cfg(multi_process)]
pub use directory::{Place, check_runtime_directory, instances, socket_path};
pub use machines::{MachineInfo, MachineProcessInfo};
#[doc(hidden)]
pub use multi_node_fleet::status::{ms, unix_ms};
pub(crate) use observer::Observer;
#[cfg(multi_process)]
pub(crate) use open::{Admin, OpenSocket};
pub use protocol::{Answer, CommandHelp, Description, Greeting, ProtocolVersions, Refusal, Request};
#[doc(hidden)]
pub use text::in_words;
pub use view::{Instance, SlotInfo};
