//! A variant, and how many processes and threads it has.

use std::process::Stdio;

use anyhow::Result;

use super::{Server, Start, Variant};

/// What is started of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) variant: Variant,
    /// Processes, or threads where the variant is one process.
    pub(crate) nodes: usize,
    /// Threads of each node of the library.
    pub(crate) threads: usize,
}

impl Shape {
    pub(crate) fn start(self) -> Result<Server> {
        let start = Start::on_free_port(self.nodes).with_threads(self.threads);
        Server::start(self.variant, &start, Stdio::null())
    }

    pub(crate) fn name(self) -> String {
        let Shape { variant, nodes, threads } = self;
        let counted = |one, more| if nodes == 1 { format!("1 {one}") } else { format!("{nodes} {more}") };
        let parts = match variant {
            Variant::Axum => counted("thread", "threads"),
            _ if threads == 1 => counted("process", "processes"),
            _ => format!("{} × {threads} threads", counted("process", "processes")),
        };
        format!("{}, {parts}", variant.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_how_many_processes_and_threads() {
        let name = |variant, nodes, threads| Shape { variant, nodes, threads }.name();
        assert_eq!(name(Variant::MultiNode, 1, 1), "multi-node, 1 process");
        assert_eq!(name(Variant::MultiNodeAxum, 2, 4), "multi-node-axum, 2 processes × 4 threads");
        assert_eq!(name(Variant::Axum, 4, 1), "axum, 4 threads");
    }
}
