//! The processes of a node: its own, and all that it has started. Which they are, and how they end when the node has, or its
//! master.
//!
//! A process belongs to a node by the variable that the node was started with ([`Token`]), by the process group or session
//! that the node leads, or since its parent does. Nothing of that is proof against a program that sheds all three on purpose.

mod ending;
mod guard;
mod kinship;
mod left;
mod look;
mod message;
mod orphans;
mod token;

pub use guard::guard;
pub use left::{Left, Stop, StopRule};
pub use look::{Looks, identity, own_run};
pub use message::{Family, ToGuard};
pub use orphans::bind_after_orphans;
pub use token::{ProcessId, Run, Token};
