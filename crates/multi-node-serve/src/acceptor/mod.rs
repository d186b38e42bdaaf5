//! The acceptor: which process takes the next connection.
//!
//! All processes share the listening sockets, and wait for them with exclusive wake-ups: a new connection wakes one process. That
//! process leaves the queue, accepts the connection, and enters the queue again, at its end. That alone makes processes take
//! turns. Where it can, the [event loop](event_loop) that serves the connections waits itself. While it computes, the kernel
//! passes over it.
//!
//! Elsewhere a thread waits. It does not accept: it leaves the queue and offers the connection to the runtime. A runtime that does
//! not answer within [`queue::ANSWER`] has lost the connection: the thread writes to the wake fd, an eventfd that all processes
//! share, and another process takes the connection.
//!
//! Before a process enters the queue it asks the [gate](crate::gate). A process that the gate refuses sleeps. It wakes when
//! one of its own connections ends, when another process writes to the wake fd, or when [`queue::LOOK_AROUND`] has passed. A
//! process that asks the gate also checks whether a sleeper should come back, and if so writes to the wake fd. That wakes all
//! processes. If a connection may wait unnoticed, the wake-up is an alarm, which the load table counts. After an alarm the
//! processes that are in the queue check their sockets too.

mod event_loop;
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
#[cfg(test)]
mod runtime_tests;
