//! What the commands of [`Handle`](crate::Handle) report, and why one is not carried out.
//!
//! ```no_run
//! use multi_node::Handle;
//! use multi_node::commands::CommandError;
//!
//! # async fn f(node: Handle) -> Result<(), CommandError> {
//! let report = node.reload().await?;
//! for replaced in &report.slots {
//!     println!("slot {}: {} took over after {:?}", replaced.slot, replaced.new, replaced.to_ready);
//! }
//! # Ok(())
//! # }
//! ```

#[doc(inline)]
pub use crate::command::{
    AppliedBy, CanaryReport, CommandError, NotApplied, ReloadReport, Replacement, RequestCounts, ScaleReport, Serving,
};
