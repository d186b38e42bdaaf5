//! Requests across machines.
//!
//! ```text
//! asks      what no process of this machine answers goes to another      replies   which answer is awaited by whom
//! answers   what other machines ask the processes of this one            frame     the bytes
//! room      how much may be in flight
//! ```
//!
//! A machine subscribes to the names of its processes' handlers in a queue group, so NATS gives each question to one machine, and says at once
//! if there is none. Nothing is sent twice. A lost question or answer shows as the asker's deadline.

mod answers;
mod asks;
mod cancels;
mod frame;
mod replies;
mod room;
mod running;

pub(crate) use answers::Answers;
pub(crate) use asks::Asks;
