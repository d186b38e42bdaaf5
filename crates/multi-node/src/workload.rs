//! Internal: nodes that run something else than this program, for `multi-node-run`.

pub use crate::listen::run_workload as run;
