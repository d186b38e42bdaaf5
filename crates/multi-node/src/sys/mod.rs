//! Safe calls into the kernel beyond std and tokio, without policy: what they are used for is decided elsewhere.

pub(crate) mod accounts;
pub(crate) mod credentials;
pub(crate) mod datagram;
pub(crate) mod epoll;
pub(crate) mod exec;
pub(crate) mod family;
pub(crate) mod memory;
pub(crate) mod observe;
pub(crate) mod opened;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod thread;
pub(crate) mod usage;
