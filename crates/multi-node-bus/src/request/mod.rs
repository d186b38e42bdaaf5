//! Requests: one process asks, another answers, by a deadline that always applies.
//!
//! The lock of [`Requests`] is taken before that of an outbox, and never together with another one. None is held across an await.

mod answer;
mod call;
mod deadlines;
mod elsewhere;
mod error;
mod flight;
mod handler;
mod peers;
mod table;

pub(crate) use answer::Asked;
pub use call::{Call, CallAll, Target};
pub use error::{Failure, RequestError, RespondError};
pub(crate) use handler::{AsksElsewhere, Handler};
pub use handler::{Elsewhere, Request};
pub(crate) use table::Requests;
