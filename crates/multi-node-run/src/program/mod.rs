//! What is known of a program that does not link the library.

mod checks;
mod description;
mod environment;
pub(crate) mod lookup;
mod preload;
mod primary;

pub(crate) use description::Renewal;
pub use description::{Program, Readiness, Sockets};
pub(crate) use environment::{FIRST, Place, Socket};
pub use preload::preload;
pub(crate) use primary::PRIMARY_SHIM;
