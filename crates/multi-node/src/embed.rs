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

#[cfg(all(multi_process, feature = "admin"))]
#[doc(hidden)]
pub use crate::admin::{NotDone, carry_out};
pub use crate::heartbeat::Heartbeat;
pub use crate::listen::claim_role;
#[doc(inline)]
pub use crate::serve::{AcceptedConn, ConnGuard, ConnHandoff, ExternalAcceptor, Requests};
pub use crate::servers::{External, external};
