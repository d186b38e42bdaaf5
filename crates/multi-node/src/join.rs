//! Where other machines are joined.

pub use multi_node_nats::{Join, JoinError};
