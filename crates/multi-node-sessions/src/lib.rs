//! Sessions of web applications in an embedded database that several processes have open at once.
//!
//! The database is a SQLite file in a directory that belongs to the program's user. A read takes microseconds and sends no message.
//! When a write returns, every process sees it. A process that is killed in the middle of a write costs nothing that was acknowledged.
//!
//! ```
//! use multi_node_sessions::{Creation, SessionDatabase, Settings, unix_millis};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let sessions = SessionDatabase::open(directory, Settings::default())?;
//! let in_an_hour = unix_millis() + 3_600_000;
//! let created = sessions.create(b"id", in_an_hour, b"user=7".to_vec()).wait()?;
//! assert_eq!(created, Creation::Created);
//! assert_eq!(sessions.load(b"id")?.expect("it is there").data, b"user=7");
//! # Ok(())
//! # }
//! ```
//!
//! # With axum and tower-sessions
//!
//! The features `tower-sessions-0-14` (which axum-login 0.18 needs) and `tower-sessions-0-15` make `SessionStore`, which each process makes of its
//! own [`SessionDatabase`]:
//!
#![cfg_attr(feature = "tower-sessions-0-15", doc = "```")]
#![cfg_attr(not(feature = "tower-sessions-0-15"), doc = "```ignore")]
//! use axum::{Router, http::StatusCode, routing::get};
//! use multi_node_sessions::{SessionDatabase, SessionStore, Settings};
//! # use tower_sessions_0_15 as tower_sessions;
//! use tower_sessions::{Session, SessionManagerLayer};
//!
//! async fn visits(session: Session) -> Result<String, StatusCode> {
//!     let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
//!     let visits = session.get::<u32>("visits").await.map_err(failed)?.unwrap_or(0) + 1;
//!     session.insert("visits", visits).await.map_err(failed)?;
//!     Ok(format!("visit {visits}"))
//! }
//!
//! fn app(sessions: SessionDatabase) -> Router {
//!     Router::new().route("/", get(visits)).layer(SessionManagerLayer::new(SessionStore::new(sessions)))
//! }
//! ```

#[cfg(feature = "store")]
mod backend;
mod batch;
mod clock;
mod connection;
mod database;
mod directory;
mod error;
mod holder;
mod housekeeping;
mod locking;
mod opening;
mod readers;
mod room;
mod settings;
mod statements;
#[cfg(feature = "store")]
mod store;
mod writer;

#[cfg(feature = "store")]
pub use backend::Sessions;
pub use clock::unix_millis;
pub use database::{Creation, Page, PendingWrite, SessionDatabase};
pub use error::SessionError;
pub use settings::{Durability, Settings};
pub use statements::StoredSession;
#[cfg(feature = "store")]
pub use store::SessionStore;
