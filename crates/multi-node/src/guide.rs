//! Guides, by what a program has to do well. These modules contain nothing but documentation.
//!
//! | you want to | read |
//! |---|---|
//! | deploy a release, and roll a bad one back | [`deploy`] |
//! | open pools, share state between nodes (worker processes) | [`state`] |
//! | end WebSockets and other long connections well | [`connections`] |
//! | test a program | [`testing`] |
//!
//! All of them begin with a program like this one:
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use multi_node::{BoxError, Error, Handle, Options, http_with, listen};
//!
//! /// Runs only in processes that serve: open pools and caches here.
//! async fn app(node: Handle) -> Result<Router, BoxError> {
//!     Ok(Router::new().route("/", get(async move || format!("hello from {}\n", node.id()))))
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Error> {
//!     // Code before `listen` runs in every process, also in the master.
//!     let nodes = listen(Options::new().port(8080).nodes(4), http_with(app)).await?;
//!     nodes.closed().await // until the last request has been answered
//! }
//! ```

/// Deploy a release, and roll a bad one back.
///
/// A reload runs the file that the program's path names at that moment. So put releases side by side, and a link beside them:
///
/// ```sh
/// ln -s releases/124 /srv/app/next && mv -T /srv/app/next /srv/app/current   # started as /srv/app/current/server
/// multi-node reload --wait || echo "the old release serves on"
/// ```
///
/// Each new node must be ready before the old one drains. If one does not come up, the reload stops, and the old nodes serve on.
/// SIGHUP reloads too, but has no answer. The program itself reloads by [`Handle::reload`](crate::Handle::reload):
///
/// ```no_run
/// use multi_node::Handle;
/// use multi_node::commands::CommandError;
///
/// async fn deploy(node: Handle) {
///     match node.reload().await {
///         Ok(report) => println!("generation {} serves in {} slots", report.generation, report.slots.len()),
///         Err(CommandError::Failed { why, serving }) => eprintln!("not deployed: {why}; {serving}"),
///         Err(error) => eprintln!("not deployed: {error}"),
///     }
/// }
/// ```
///
/// A release that starts and then answers by errors is found by a canary, which takes it back without you:
///
/// ```
/// use std::time::Duration;
/// use multi_node::Options;
/// use multi_node::options::CanaryLimits;
///
/// let options = Options::new().canary(Duration::from_secs(30), CanaryLimits::new().min_requests(500));
/// # let _ = options;
/// ```
///
/// A reload replaces nodes only. [`Handle::upgrade`](crate::Handle::upgrade) replaces the master too, with its options.
pub mod deploy {}

/// Open pools, and share state between nodes.
///
/// Nodes are processes, so each has its own memory. A static counter counts the requests of one node.
///
/// | state | tool |
/// |---|---|
/// | connections to a database | a pool in each node, of [`Handle::share_of`](crate::Handle::share_of) connections |
/// | what all nodes must hear: chat, "drop this from your cache" | [`Handle::topic`](crate::Handle::topic) |
/// | an answer of one process, or of each | [`Handle::request`](crate::Handle::request), [`Handle::request_all`](crate::Handle::request_all) |
/// | rate limits, counts | [`Handle::limit`](crate::Handle::limit), [`Handle::counter`](crate::Handle::counter), [`Handle::gauge`](crate::Handle::gauge) |
/// | users who are logged in | sessions, by the feature `sessions` |
/// | what a node keeps in memory for a client | [`Options::affinity`](crate::Options::affinity): one node answers all HTTP/1 requests of a client |
/// | a job of which only one may run | [`Handle::leader`](crate::Handle::leader) |
/// | what must outlive the program | a database |
///
/// During a reload old and new nodes have their pools at the same time, so plan half of what the database allows:
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use multi_node::{BoxError, Handle};
///
/// struct Pool { size: usize }
///
/// async fn app(node: Handle) -> Result<Router, BoxError> {
///     let pool = Pool { size: node.share_of(45) }; // the database allows 90
///     Ok(Router::new().route("/", get(async move || format!("{} connections\n", pool.size))))
/// }
/// # let _ = multi_node::http_with(app);
/// ```
pub mod state {}

/// End WebSockets and other long connections well.
///
/// A node drains when it is replaced, and when the program shuts down. HTTP requests are finished without help. A connection that the
/// program has upgraded, and one of [`tcp`](crate::tcp), is the program's own: it ends at the drain's deadline (30 s by default) unless
/// the program ends it before. [`Handle::drain_notice`](crate::Handle::drain_notice) gives each connection a time of its own, so that
/// clients do not all come back at once:
///
/// ```no_run
/// use multi_node::{Conn, tcp};
/// use tokio::io::{AsyncWriteExt, copy, split};
///
/// async fn echo(connection: Conn) {
///     let notice = connection.handle().drain_notice();
///     let (mut reader, mut writer) = split(connection.stream);
///     tokio::select! {
///         _ = copy(&mut reader, &mut writer) => {} // an error means that the client has gone
///         () = notice.draining() => {
///             let _ = writer.write_all(b"come back\n").await;
///         }
///     }
/// }
/// # let _ = tcp(echo);
/// ```
///
/// Tasks of the program's own, such as consumers of a queue, end on [`Handle::draining`](crate::Handle::draining). The process ends when
/// `main` returns: await [`Handle::closed`](crate::Handle::closed) there, and then what those tasks still have to do.
pub mod connections {}

/// Test a program.
///
/// Test routers and services without [`listen`](crate::listen). A test that needs an address serves in its own process:
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use multi_node::{Error, Options, http, listen};
///
/// # async fn test() -> Result<(), Error> {
/// let app = Router::new().route("/", get(async || "hello"));
/// let nodes = listen(Options::new().host("127.0.0.1").port(0).nodes(0), http(app)).await?;
/// println!("http://{}/", nodes.local_addr());
/// nodes.shutdown().await.expect("this process may shut down");
/// nodes.closed().await
/// # }
/// ```
///
/// A process calls `listen` once, so run such tests by cargo-nextest, which gives each one a process. With nodes, `listen` would start
/// the test program again; so there it is [`Error::InTest`](crate::Error::InTest). Start the program itself in place of that, as a user
/// does: `env!("CARGO_BIN_EXE_name")` is its path.
pub mod testing {}
