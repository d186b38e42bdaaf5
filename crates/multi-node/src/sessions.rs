//! Sessions of the program's users, which all of its processes share.
//!
//! ```no_run
//! # use axum::{Router, routing::get};
//! # use tower_sessions_0_15 as tower_sessions;
//! use multi_node::Handle;
//! use multi_node::sessions::{SessionError, SessionStore, Settings};
//! use tower_sessions::{Session, SessionManagerLayer};
//!
//! fn app(node: &Handle) -> Result<Router, SessionError> {
//!     let store = SessionStore::new(node.sessions(Settings::default())?);
//!     Ok(Router::new().route("/", get(visits)).layer(SessionManagerLayer::new(store)))
//! }
//!
//! async fn visits(session: Session) -> String {
//!     let visits = session.get::<u64>("visits").await.ok().flatten().unwrap_or(0) + 1;
//!     let _ = session.insert("visits", visits).await;
//!     format!("visit {visits}\n")
//! }
//! ```

use std::path::PathBuf;

/// The sessions of a program, as [`Handle::sessions`] opens them.
///
/// ```no_run
/// # use multi_node::{Handle, sessions::{SessionError, Settings}};
/// # fn f(node: Handle) -> Result<(), SessionError> {
/// let sessions = node.sessions(Settings::default())?;
/// println!("{} sessions in {}", sessions.count()?, sessions.path().display());
/// # Ok(())
/// # }
/// ```
#[doc(inline)]
pub use multi_node_sessions::SessionDatabase;
#[doc(inline)]
pub use multi_node_sessions::{
    Creation, Durability, Page, PendingWrite, SessionError, Settings, StoredSession, unix_millis,
};
#[cfg(any(feature = "tower-sessions-0-14", feature = "tower-sessions-0-15"))]
#[doc(inline)]
pub use multi_node_sessions::{SessionStore, Sessions};

#[cfg(all(multi_process, feature = "join"))]
pub use self::machines::JoinedSessions;
use crate::{Handle, environment, log};

#[cfg(all(multi_process, feature = "join"))]
mod machines;

/// Where sessions are kept, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Place {
    pub directory: PathBuf,
    pub durability: Durability,
}

impl Handle {
    /// Opens the sessions of this program.
    ///
    /// Where systemd gives the service a `$STATE_DIRECTORY`, they are kept there and survive restarts. Elsewhere they are kept in memory,
    /// in a directory that this run has to itself: they survive crashes of nodes, reloads and upgrades, and are gone when the program ends.
    /// To keep them in another place, open a [`SessionDatabase`] there. [`Settings::durability`] is set by the place.
    ///
    /// ```no_run
    /// # use multi_node::{Handle, sessions::{SessionError, Settings}};
    /// # fn of(node: Handle) -> Result<(), SessionError> {
    /// let sessions = node.sessions(Settings::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With the feature `tower-sessions-0-14` or `tower-sessions-0-15` a `SessionStore` is made of them.
    ///
    /// # Errors
    /// Where the directory cannot be used, or a file in it is damaged, of another version or of another user.
    pub fn sessions(&self, settings: Settings) -> Result<SessionDatabase, SessionError> {
        let Place { directory, durability } = place()?;
        let database = SessionDatabase::open(directory, Settings { durability, ..settings })?;
        // One line of the program is enough.
        if self.slot().is_none_or(|slot| slot.index() == 0) {
            let path = database.path().display();
            match durability {
                Durability::Durable => log::info!(%path, "sessions opened; they survive restarts of the program"),
                Durability::UntilShutdown => log::info!(%path, "sessions opened; they are lost when the program ends"),
            }
        }
        Ok(database)
    }
}

/// Where the sessions of this program are kept.
#[doc(hidden)]
pub fn place() -> Result<Place, SessionError> {
    match environment::state_directory() {
        Some(state) => Ok(Place { directory: state.join("sessions"), durability: Durability::Durable }),
        None => Ok(Place { directory: run_directory()?, durability: Durability::UntilShutdown }),
    }
}

/// Removes sessions that were kept until the program's end: for a process that serves alone and without `listen`.
#[doc(hidden)]
pub fn remove() {
    #[cfg(multi_process)]
    crate::run_directory::remove(master());
}

#[cfg(multi_process)]
fn run_directory() -> Result<PathBuf, SessionError> {
    crate::run_directory::prepare(master()).map_err(|(path, error)| SessionError::Files {
        action: "prepare the directory",
        path,
        cause: error.into(),
    })
}

#[cfg(not(multi_process))]
fn run_directory() -> Result<PathBuf, SessionError> {
    let cause = "this system has no directory for it; open a `SessionDatabase` at a path";
    let cause = std::io::Error::new(std::io::ErrorKind::Unsupported, cause);
    Err(SessionError::Files { action: "find a place for", path: PathBuf::from("sessions.db"), cause: cause.into() })
}

/// The process id of the master, which is this process's where there are no nodes.
#[cfg(multi_process)]
fn master() -> u32 {
    let of_node = || environment::parent_info().map(|parent| parent.master);
    let master = if crate::role() == crate::Role::Node { of_node() } else { None };
    master.unwrap_or_else(std::process::id)
}
