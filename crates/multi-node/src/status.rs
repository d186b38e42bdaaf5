//! How the nodes of a program are: what [`Handle::status`](crate::Handle::status) and [`Handle::watch`](crate::Handle::watch) give.
//!
//! ```no_run
//! use multi_node::Handle;
//! use multi_node::status::State;
//!
//! # fn f(node: Handle) {
//! for slot in node.status().slots.iter().filter(|slot| slot.state != State::Serving) {
//!     println!("slot {} is {:?}", slot.slot, slot.state);
//! }
//! # }
//! ```

pub use crate::before_listen::BeforeListen;
#[doc(inline)]
pub use crate::exits::{NodeExit, NodeExits};
#[doc(inline)]
pub use crate::id::{Generation, NodeId, Slot};
pub use crate::nodes::{MachineEvent, MachineEvents, StatusWatch, WhyLeft};
#[doc(inline)]
pub use multi_node_fleet::machines::{Machine, MachineFleet, MachineProcess};
#[doc(inline)]
pub use multi_node_fleet::status::{
    CertificateStatus, Exit, GatewayStatus, ProgramStatus, ReadyBy, SlotStatus, State, Status, Waiting,
};
