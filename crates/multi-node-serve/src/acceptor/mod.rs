//! The acceptor: which process takes the next connection.
//!
//! All processes share the listening sockets. Each has a thread that waits for them with exclusive wake-ups, so that a new
//! connection wakes one process. That thread does not accept. It leaves the queue and offers the connection to the runtime.
//! The runtime accepts it and asks for the next one, and the thread enters the queue again, at its end. That alone makes
//! processes take turns. A runtime that does not answer within [`queue::ANSWER`] has lost the connection: the thread writes
//! to the wake fd, an eventfd that all processes share, and another process takes the connection.
//!
//! Before a process enters the queue it asks the [gate](crate::gate). A process that the gate refuses sleeps. It wakes when
//! one of its own connections ends, when another process writes to the wake fd, or when [`queue::LOOK_AROUND`] has passed. A
//! process that asks the gate also checks whether a sleeper should come back, and if so writes to the wake fd. That wakes all
//! processes. If a connection may wait unnoticed, the wake-up is an alarm, which the load table counts. After an alarm the
//! processes that are in the queue check their sockets too.

mod queue;
mod thread;
mod turn;

pub use queue::{wake, wake_fd};
pub(super) use turn::{Acceptor, Turn};

#[cfg(test)]
#[path = "tests.rs"]
mod alone;
#[cfg(test)]
mod loop_tests;
