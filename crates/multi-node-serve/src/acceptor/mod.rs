//! The acceptor: which process takes the next connection.
//!
//! All processes share the listening sockets. Each has a thread that waits for them with exclusive wake-ups, so that a new
//! connection wakes one process. That thread does not accept: it leaves the queue and offers the connection to the runtime,
//! which accepts it and asks for the next, which enters the queue anew, at its end. That alone makes processes take turns.
//! A runtime that does not answer within [`queue::ANSWER`] has lost the connection: the thread rings the wake-up, an eventfd that all
//! processes share, and another takes it.
//!
//! Before a process enters the queue it asks the [gate](crate::gate). One that is refused sleeps until one of its own
//! connections ends, until it is rung for, or until [`queue::LOOK_AROUND`] has passed. Whoever decides also looks whether a sleeper
//! should come back, and rings for it. All processes hear a ring. Where a connection waits that nobody may know of, it is an
//! alarm, which is counted in the load table, and even those look who stand in the queue already.

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
