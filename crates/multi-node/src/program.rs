//! Servers that do not link this crate: any program that inherits its listening sockets from the process that starts it.
//!
//! A node of such a program begins as an *exec shim*: a process of the caller's own program that calls [`exec_shim`]. It
//! joins its master like any node, gets the sockets, puts them where the program looks for them, and executes the program. So
//! the program has the process id that `LISTEN_PID` names. From then on the master watches only the process. It does not know
//! the program's request counts, and a drain is a signal. One more process of this kind is the guard of all nodes: it waits
//! for the master's end, and then ends what the nodes have started. A program that does link this crate finds its master when
//! it reaches [`listen`](crate::listen()), and is a node like any other. The command `multi-node run` is this module with
//! arguments.
//!
//! ```no_run
//! use multi_node::Options;
//! use multi_node::program::{self, Program};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), multi_node::Error> {
//!     if std::env::args().nth(1).as_deref() == Some("exec-shim") {
//!         return Err(program::exec_shim());
//!     }
//!     let uvicorn = Program::new("uvicorn").args(["--fd", "{fd}", "app:app"]);
//!     program::run(Options::new().port(8080).nodes(4).args(["exec-shim"]), uvicorn).await?.closed().await
//! }
//! ```

pub use crate::exec_shim::exec_shim;
pub use crate::listen::run_program as run;
#[doc(inline)]
pub use multi_node_supervisor::{Collect, Output, Program, Readiness, Sockets, preload};
