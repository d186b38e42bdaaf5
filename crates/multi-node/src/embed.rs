//! For bindings to other languages, with the feature `embed`: an event loop that is not tokio's serves the connections.
//!
//! ```no_run
//! use multi_node::embed::{ExternalAcceptor, external};
//! use multi_node::{Error, Options, listen};
//!
//! # fn hand_to_event_loop(_: ExternalAcceptor) {}
//! # async fn f() -> Result<(), Error> {
//! let server = external(async |_node| Ok::<_, Error>(hand_to_event_loop));
//! listen(Options::new().port(8080), server).await?.closed().await
//! # }
//! ```

use crate::Handle;
#[cfg(all(multi_process, feature = "admin"))]
#[doc(hidden)]
pub use crate::admin::{NotDone, carry_out};
pub use crate::heartbeat::Heartbeat;
pub use crate::listen::claim_role;
#[cfg(multi_process)]
#[doc(inline)]
pub use crate::serve::RestingConns;
#[doc(inline)]
pub use crate::serve::{AcceptedConn, ConnGuard, ConnHandoff, ExternalAcceptor, Requests};
pub use crate::servers::{External, external};

/// Whether this process answers the requests with a value, by [`Options::affinity`](crate::Options::affinity); `None`: it answers those of no value more
/// than another process. A new session whose id is such a value stays in this process.
pub fn owns(node: &Handle, value: &[u8]) -> Option<bool> {
    node.owners()?.own(value)
}
