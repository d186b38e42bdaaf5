//! Where a store keeps its sessions.

use std::fmt;

use crate::database::{Creation, SessionDatabase};
use crate::error::SessionError;
use crate::statements::StoredSession;

/// Expired sessions that one transaction removes.
const SWEEP: u32 = 200;

/// Where a [`SessionStore`](crate::SessionStore) keeps sessions. The rules are those of [`SessionDatabase`].
pub trait Sessions: Clone + fmt::Debug + Send + Sync + 'static {
    /// Stores a new session, unless there is one of this id. `expires` is in milliseconds since 1970.
    fn create(
        &self,
        id: &[u8],
        expires: i64,
        data: Vec<u8>,
    ) -> impl Future<Output = Result<Creation, SessionError>> + Send;

    /// Changes a session that is there; `false` where there is none.
    fn save(&self, id: &[u8], expires: i64, data: Vec<u8>) -> impl Future<Output = Result<bool, SessionError>> + Send;

    /// The session, unless it has expired.
    fn load(&self, id: &[u8]) -> impl Future<Output = Result<Option<StoredSession>, SessionError>> + Send;

    /// Deletes a session; `false` where there was none.
    fn delete(&self, id: &[u8]) -> impl Future<Output = Result<bool, SessionError>> + Send;

    /// Removes expired sessions.
    fn sweep(&self) -> impl Future<Output = Result<(), SessionError>> + Send;
}

impl Sessions for SessionDatabase {
    async fn create(&self, id: &[u8], expires: i64, data: Vec<u8>) -> Result<Creation, SessionError> {
        self.create(id, expires, data).await
    }

    async fn save(&self, id: &[u8], expires: i64, data: Vec<u8>) -> Result<bool, SessionError> {
        self.save(id, expires, data).await
    }

    async fn load(&self, id: &[u8]) -> Result<Option<StoredSession>, SessionError> {
        if let Some(loaded) = self.load_now(id) {
            return loaded;
        }
        // Another process recovers the database after a crash: wait for it where that harms nobody.
        let (database, id) = (self.clone(), id.to_vec());
        let loaded = tokio::task::spawn_blocking(move || database.load(&id)).await;
        loaded.unwrap_or_else(|error| Err(SessionError::Aborted { cause: error.to_string() }))
    }

    async fn delete(&self, id: &[u8]) -> Result<bool, SessionError> {
        self.delete(id).await
    }

    async fn sweep(&self) -> Result<(), SessionError> {
        while self.sweep(SWEEP).await? >= SWEEP as usize {}
        Ok(())
    }
}
