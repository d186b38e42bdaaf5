//! What a node is before it is its program. The master alone starts it, so clap knows nothing of it.

use std::env;

/// The argument by which the master starts it.
pub(crate) const NAME: &str = "__exec-shim";

/// Whether this process was started as one.
pub(crate) fn is_asked_for() -> bool {
    env::args_os().nth(1).is_some_and(|arg| arg == NAME)
}

/// Becomes the program, or returns why not. Beside the nodes the gateway to other machines is started so too, which stays what it is.
pub(crate) fn run() -> anyhow::Error {
    #[cfg(feature = "nats")]
    if multi_node::workload::is_gateway() {
        return gateway();
    }
    multi_node_run::exec_shim().into()
}

#[cfg(feature = "nats")]
#[tokio::main(flavor = "current_thread")]
async fn gateway() -> anyhow::Error {
    multi_node::workload::gateway().await.into()
}
