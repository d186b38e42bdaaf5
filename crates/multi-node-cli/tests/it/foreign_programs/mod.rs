//! Tests with programs that have to be fetched: `make test-foreign` runs what has `foreign_programs::` in its name, `make test` the rest.

use multi_node_it::needs;

use crate::command::app;

mod broken;
mod cluster_packages;
mod ending;
mod examples;
mod family;
mod guard;
mod machines;
mod node_js;
mod not_the_socket;
mod recycled;
mod schedulers;
mod servers;
mod shells;
mod sockets;
mod systemd;
mod tracers;

/// The variable by which Python finds a module that was fetched, and the programs beside these tests.
fn python(module: &str) -> Option<String> {
    let found = needs::server(&format!("python/{module}")).filter(|_| needs::program("python3"))?;
    Some(format!("PYTHONPATH={}:{}", found.strip_suffix(module)?, app("")))
}

/// The variable by which Python finds hypercorn, and the programs beside these tests.
fn hypercorn() -> Option<String> {
    let found = needs::server("hypercorn").filter(|_| needs::program("python3"))?;
    Some(format!("PYTHONPATH={found}:{}", app("")))
}

/// The variable by which Node.js finds Express.
fn express() -> Option<String> {
    let modules = needs::server("node/node_modules").filter(|_| needs::program("node"))?;
    Some(format!("NODE_PATH={modules}"))
}
