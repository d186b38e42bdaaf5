//! Internal to multi-node, without semver promises: programs that do not link the library, by any of which the command `multi-node run`
//! serves. They inherit their listening sockets from the process that starts them.
//!
//! A node of such a program begins as an *exec shim*: a process of the caller's own program that calls [`exec_shim`]. It
//! joins its master like any node, gets the sockets, puts them where the program looks for them, and executes the program. So
//! the program has the process id that `LISTEN_PID` names. From then on the master watches only the process. It does not know
//! the program's request counts, and a drain is a signal. One more process of this kind is the guard of all nodes: it waits
//! for the master's end, and then ends what the nodes have started. A program that does link the library finds its master when
//! it reaches [`listen`](multi_node::listen()), and is a node like any other.
//!
//! ```no_run
//! use multi_node::Options;
//! use multi_node_run::{Program, exec_shim, run};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), multi_node::Error> {
//!     if std::env::args().nth(1).as_deref() == Some("exec-shim") {
//!         return Err(exec_shim());
//!     }
//!     let uvicorn = Program::new("uvicorn").args(["--fd", "{fd}", "app:app"]);
//!     run(Options::new().port(8080).nodes(4).args(["exec-shim"]), uvicorn).await?.closed().await
//! }
//! ```

#![cfg(multi_process)]

mod exec_shim;
mod program;
mod workload;

pub use exec_shim::exec_shim;
use multi_node::{Nodes, Options};
use multi_node_fleet::command::NotApplied;
use multi_node_fleet::id::{NodeId, Slot};
use multi_node_fleet::{id, status};
use multi_node_process::error::Error;
use multi_node_process::{address, bind, control, environment, error, family, mesh, runtime_directory, shared_secret};
use multi_node_serve as serve;
use multi_node_supervisor as supervisor;
pub use multi_node_supervisor::{Collect, Output};
use multi_node_sys as sys;
use multi_node_sys::log;
pub use program::{Program, Readiness, Sockets, preload};

/// Serves by several processes of `program`. As [`listen`](multi_node::listen()) in the master, but that there are no servers,
/// and no streams to this process.
///
/// Each node is started as `options` say ([`program`](Options::program), [`args`](Options::args)), and has to reach
/// [`exec_shim`].
///
/// # Errors
/// As `listen`; [`Error::Program`] also where `program` is not found.
///
/// Not cancel-safe, as `listen`.
pub async fn run(options: Options, program: Program) -> Result<Nodes, Error> {
    multi_node::workload::run(options, Box::new(program)).await
}
