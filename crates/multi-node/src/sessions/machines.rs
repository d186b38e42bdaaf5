//! Sessions that several machines share: the processes of each ask their gateway, which alone is connected to NATS.

use std::fmt;
use std::time::Duration;

use multi_node_bus::Bus;
use multi_node_nats::{Asked, SESSIONS, SessionAnswer, SessionAsk};
use multi_node_sessions::{Creation, SessionError, Settings, StoredSession};

use crate::Handle;
use crate::questions::ask_gateway;

/// The longest id, in bytes.
const MAX_ID_BYTES: usize = 255;

/// Sessions that the processes of all [joined](crate::Options::join) machines share, in a bucket of NATS's JetStream.
///
/// While NATS is not there, or has no JetStream, every operation is an error: nothing is kept on one machine and merged later. An expired session is
/// absent, by the clock of the machine that asks. When a change returns without an error, every machine sees it; with [`SessionError::OtherMachines`] it may or
/// may not have happened. Cheap to clone.
#[derive(Clone)]
pub struct JoinedSessions {
    bus: Bus,
    deadline: Duration,
    max_bytes: usize,
}

impl Handle {
    /// The sessions that all joined machines share.
    ///
    /// Of the settings [`max_session_bytes`](Settings::max_session_bytes) and [`busy_deadline`](Settings::busy_deadline) count. A session has to fit
    /// into a message as well: [`Options::max_message`](crate::Options::max_message), and NATS's `max_payload`.
    ///
    /// ```no_run
    /// # use multi_node::{Handle, sessions::{SessionError, Settings, unix_millis}};
    /// # async fn f(node: Handle) -> Result<(), SessionError> {
    /// let sessions = node.joined_sessions(Settings::default());
    /// sessions.create(b"id", unix_millis() + 3_600_000, b"user=7".to_vec()).await?;
    /// assert!(sessions.load(b"id").await?.is_some()); // on every machine
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The bucket is `mn-CLUSTER-sessions`, where `.` of the cluster's name is `_-`, and `_` is `__`.
    ///
    /// With the feature `tower-sessions-0-14` or `tower-sessions-0-15` a `SessionStore` is made of them.
    pub fn joined_sessions(&self, settings: Settings) -> JoinedSessions {
        let Settings { busy_deadline: deadline, max_session_bytes: max_bytes, .. } = settings;
        JoinedSessions { bus: self.bus().clone(), deadline, max_bytes }
    }
}

impl JoinedSessions {
    /// The session of this id, unless it has expired.
    ///
    /// # Errors
    /// Where NATS does not answer, or the stored value is none.
    pub async fn load(&self, id: &[u8]) -> Result<Option<StoredSession>, SessionError> {
        Ok(match self.ask("read", id, Asked::Load).await? {
            SessionAnswer::Session(expires, data) => Some(StoredSession { id: id.to_vec(), expires, data }),
            SessionAnswer::No | SessionAnswer::Yes => None,
        })
    }

    /// Stores a new session. `expires` is in milliseconds since 1970.
    ///
    /// # Errors
    /// Where NATS does not answer, or the session is too large.
    pub async fn create(&self, id: &[u8], expires: i64, data: Vec<u8>) -> Result<Creation, SessionError> {
        Ok(match self.ask("create", id, Asked::Create(expires, data)).await? {
            SessionAnswer::Yes => Creation::Created,
            SessionAnswer::No | SessionAnswer::Session(..) => Creation::Collision,
        })
    }

    /// Changes a session that is there. It is `false` where there is none: a late save does not bring back a session that somebody has deleted.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn save(&self, id: &[u8], expires: i64, data: Vec<u8>) -> Result<bool, SessionError> {
        self.changes("save", id, Asked::Save(expires, data)).await
    }

    /// Moves the expiry alone. It is `false` where there is no such session.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn touch(&self, id: &[u8], expires: i64) -> Result<bool, SessionError> {
        self.changes("touch", id, Asked::Touch(expires)).await
    }

    /// Deletes a session. It is `false` where there was none.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn delete(&self, id: &[u8]) -> Result<bool, SessionError> {
        self.changes("delete", id, Asked::Delete).await
    }

    async fn changes(&self, action: &'static str, id: &[u8], asked: Asked) -> Result<bool, SessionError> {
        Ok(self.ask(action, id, asked).await? == SessionAnswer::Yes)
    }

    async fn ask(&self, action: &'static str, id: &[u8], asked: Asked) -> Result<SessionAnswer, SessionError> {
        self.check(id, &asked)?;
        let question = (SESSIONS, SessionAsk { id: id.to_vec(), asked }.encode());
        let answer = ask_gateway(&self.bus, question, self.deadline, SessionAnswer::decode).await;
        answer.map_err(|cause| SessionError::OtherMachines { action, cause })
    }

    fn check(&self, id: &[u8], asked: &Asked) -> Result<(), SessionError> {
        let bytes = match asked {
            Asked::Create(_, data) | Asked::Save(_, data) => data.len(),
            Asked::Touch(_) | Asked::Load | Asked::Delete => 0,
        };
        if bytes > self.max_bytes {
            return Err(SessionError::TooLarge { bytes, max_bytes: self.max_bytes });
        }
        match (1..=MAX_ID_BYTES).contains(&id.len()) {
            true => Ok(()),
            false => Err(SessionError::Id { bytes: id.len() }),
        }
    }
}

impl fmt::Debug for JoinedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinedSessions").finish_non_exhaustive()
    }
}

#[cfg(any(feature = "tower-sessions-0-14", feature = "tower-sessions-0-15"))]
impl multi_node_sessions::Sessions for JoinedSessions {
    async fn create(&self, id: &[u8], expires: i64, data: Vec<u8>) -> Result<Creation, SessionError> {
        self.create(id, expires, data).await
    }

    async fn save(&self, id: &[u8], expires: i64, data: Vec<u8>) -> Result<bool, SessionError> {
        self.save(id, expires, data).await
    }

    async fn load(&self, id: &[u8]) -> Result<Option<StoredSession>, SessionError> {
        self.load(id).await
    }

    async fn delete(&self, id: &[u8]) -> Result<bool, SessionError> {
        self.delete(id).await
    }

    /// Gateways remove what has expired.
    async fn sweep(&self) -> Result<(), SessionError> {
        Ok(())
    }
}
