//! The store of sessions for tower-sessions.

use std::collections::HashMap;

use serde_json::Value;
use time::OffsetDateTime;

use crate::backend::Sessions;
use crate::database::{Creation, SessionDatabase};
use crate::error::SessionError;
use crate::statements::StoredSession;

/// As many ids in a row that are in use are no chance: the source of random numbers is broken.
const TRIES: usize = 8;

/// A store for tower-sessions, of the versions whose features are on. Cheap to clone.
///
/// Expiry is kept to the millisecond. Saving a session that was deleted meanwhile does nothing. Reads run in the task that loads a session, for
/// microseconds; it must run in a tokio runtime.
#[derive(Clone, Debug)]
pub struct SessionStore<S = SessionDatabase> {
    sessions: S,
}

type Data = HashMap<String, Value>;

/// What fails in a store; tower-sessions has these kinds.
enum Failure {
    Encode(String),
    Decode(String),
    Backend(String),
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Failure::Backend(error.to_string())
    }
}

impl SessionStore {
    /// The database in which the sessions are.
    pub fn database(&self) -> &SessionDatabase {
        &self.sessions
    }
}

impl<S: Sessions> SessionStore<S> {
    /// The store of these sessions.
    pub fn new(sessions: S) -> SessionStore<S> {
        SessionStore { sessions }
    }

    /// Stores a new session; `another` makes ids while they are in use. Returns the id that it has.
    async fn create_record(
        &self,
        mut id: i128,
        expiry: OffsetDateTime,
        data: &Data,
        another: impl Fn() -> i128,
    ) -> Result<i128, Failure> {
        let (data, expires) = (encode(data)?, millis(expiry));
        for _ in 0..TRIES {
            match self.sessions.create(&key(id), expires, data.clone()).await? {
                Creation::Created => return Ok(id),
                Creation::Collision => id = another(),
            }
        }
        Err(Failure::Backend(format!(
            "sessions: {TRIES} random ids in a row are in use; check the system's source of random numbers"
        )))
    }

    async fn save_record(&self, id: i128, expiry: OffsetDateTime, data: &Data) -> Result<(), Failure> {
        self.sessions.save(&key(id), millis(expiry), encode(data)?).await?;
        Ok(())
    }

    async fn load_record(&self, id: i128) -> Result<Option<(Data, OffsetDateTime)>, Failure> {
        self.sessions.load(&key(id)).await?.as_ref().map(decode).transpose()
    }

    async fn delete_record(&self, id: i128) -> Result<(), Failure> {
        self.sessions.delete(&key(id)).await?;
        Ok(())
    }

    async fn sweep(&self) -> Result<(), Failure> {
        Ok(self.sessions.sweep().await?)
    }
}

fn key(id: i128) -> [u8; 16] {
    id.to_be_bytes()
}

fn millis(time: OffsetDateTime) -> i64 {
    // The years that it can have are some thousands.
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn encode(data: &Data) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(data).map_err(|error| Failure::Encode(error.to_string()))
}

fn decode(stored: &StoredSession) -> Result<(Data, OffsetDateTime), Failure> {
    let data = serde_json::from_slice(&stored.data).map_err(|error| Failure::Decode(error.to_string()))?;
    let expiry = OffsetDateTime::from_unix_timestamp_nanos(i128::from(stored.expires) * 1_000_000);
    Ok((data, expiry.map_err(|error| Failure::Decode(error.to_string()))?))
}

/// The traits of one version of tower-sessions.
macro_rules! implement {
    ($feature:literal, $core:ident) => {
        #[cfg(feature = $feature)]
        const _: () = {
            use $core::session::{Id, Record};
            use $core::session_store::{Error, ExpiredDeletion, Result};

            impl From<Failure> for Error {
                fn from(failure: Failure) -> Self {
                    match failure {
                        Failure::Encode(cause) => Error::Encode(cause),
                        Failure::Decode(cause) => Error::Decode(cause),
                        Failure::Backend(cause) => Error::Backend(cause),
                    }
                }
            }

            #[async_trait::async_trait]
            impl<S: Sessions> $core::SessionStore for SessionStore<S> {
                async fn create(&self, record: &mut Record) -> Result<()> {
                    let another = || Id::default().0;
                    record.id = Id(self.create_record(record.id.0, record.expiry_date, &record.data, another).await?);
                    Ok(())
                }

                async fn save(&self, record: &Record) -> Result<()> {
                    Ok(self.save_record(record.id.0, record.expiry_date, &record.data).await?)
                }

                async fn load(&self, id: &Id) -> Result<Option<Record>> {
                    let loaded = self.load_record(id.0).await?;
                    Ok(loaded.map(|(data, expiry_date)| Record { id: *id, data, expiry_date }))
                }

                async fn delete(&self, id: &Id) -> Result<()> {
                    Ok(self.delete_record(id.0).await?)
                }
            }

            #[async_trait::async_trait]
            impl<S: Sessions> ExpiredDeletion for SessionStore<S> {
                async fn delete_expired(&self) -> Result<()> {
                    Ok(self.sweep().await?)
                }
            }
        };
    };
}

implement!("tower-sessions-0-14", tower_sessions_core_0_14);
implement!("tower-sessions-0-15", tower_sessions_core_0_15);
