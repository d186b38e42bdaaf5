//! Requests: one process asks, another answers, by a deadline that always applies.
//!
//! The lock of [`Requests`] is taken before that of an outbox, and never together with another one. None is held across an await.

mod answer;
mod call;
mod deadlines;
mod error;
mod flight;
mod handler;
mod peers;
mod table;

pub use call::{Call, CallAll, Target};
pub use error::{RequestError, RespondError};
pub(crate) use handler::Handler;
pub use handler::Request;
pub(crate) use table::Requests;
