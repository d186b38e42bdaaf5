//! Internal: the files of leases, for the command.

pub use crate::lease_files::{LeaseDirectory, LeaseFile};
pub use crate::leases::check_lease_name;
