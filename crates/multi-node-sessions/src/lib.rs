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
mod writer;

pub use clock::unix_millis;
pub use database::{Creation, Page, PendingWrite, SessionDatabase};
pub use error::SessionError;
pub use settings::{Durability, Settings};
pub use statements::StoredSession;
