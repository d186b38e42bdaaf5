//! Seeing and steering a program from outside: the control socket and who speaks over it.
//!
//! A program's control socket has the program's name, unless [`Options::control`](crate::Options::control) says otherwise; the command
//! `multi-node` and `Client` speak to it. Requests and answers are one JSON value a line, so a shell can speak as well:
//!
//! ```sh
//! echo status | socat - UNIX-CONNECT:$XDG_RUNTIME_DIR/multi-node/web.sock
//! ```
//!
//! The server's side gives its orders by a [`Handle`](crate::Handle), as the program itself does, and knows nothing of the
//! supervisor. docs/control-socket.md has every order with its answer.

#[cfg(multi_process)]
mod client;
#[cfg(multi_process)]
mod desk;
#[cfg(multi_process)]
mod directory;
#[cfg(multi_process)]
mod lines;
mod observer;
#[cfg(multi_process)]
mod open;
mod protocol;
#[cfg(multi_process)]
mod session;
#[cfg(multi_process)]
mod socket;
#[cfg(all(test, multi_process))]
mod transcript_tests;
mod view;
mod wording;

pub use crate::log_buffer::{HeldOutput, LogLine, Logged, Source};
#[cfg(multi_process)]
pub use client::{Client, ClientError};
#[cfg(multi_process)]
pub use directory::{Place, check_runtime_directory, instances, socket_path};
pub(crate) use observer::Observer;
#[cfg(multi_process)]
pub(crate) use open::{Admin, Attendance};
pub use protocol::{Answer, Description, Greeting, OrderHelp, ProtocolVersions, Refusal, Request};
pub use view::{Instance, Reloaded, Replaced, SlotInfo, Tried, WaitingInfo};
#[doc(hidden)]
pub use wording::in_words;
