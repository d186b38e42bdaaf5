//! Who takes part, and the state of the link to each: unused, wanted, attached.

mod member;
mod table;
mod wanted;

pub use member::PeerStatus;
pub(crate) use table::{Attached, Members};
pub use wanted::{LinkWanted, Wanted};
