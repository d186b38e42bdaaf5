//! Requests on kept connections of a process that computes: other processes answer them.
//!
//! A runtime of one thread that computes for long lets all its connections wait. The connections of HTTP/1 that have answered a request are
//! on a list. Each [can be taken](claim) while it rests before its next one. A thread beside the runtime [sees](watch) that it is
//! late, [claims](BusyHandoff::claim) those on which a request waits, and offers them to processes that are not late. Nothing of such a
//! request has been read here, so that nothing but the socket moves. The connection's task here finds that it is gone, and drops it.
//!
//! An offer cannot be taken back: a process that stands still holds what it was offered until it continues or ends.

mod claim;
mod lent;
mod list;
mod watch;

pub(crate) use self::claim::Holder;
pub use self::lent::ClaimedConn;
pub(crate) use self::lent::{Lendable, LentConn};
pub use self::list::BusyHandoff;
pub use self::watch::{RuntimeWatch, Seen};
