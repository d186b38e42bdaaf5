//! A bucket: what the rules need of it, and how it is one of NATS.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv::{Store, UpdateErrorKind};
use async_nats::jetstream::stream::{self, DirectGetErrorKind, LastRawMessageErrorKind};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use tokio::sync::{Mutex, watch};

/// How long NATS may take for one step.
const STEP: Duration = Duration::from_secs(2);

/// By this header a key is marked as removed.
const OPERATION: &str = "KV-Operation";

/// What is at a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// 0: nothing was stored, or nothing is left of it.
    pub(super) revision: u64,
    /// `None`: it was removed.
    pub(super) value: Option<Bytes>,
}

/// Why a bucket cannot be used, in the words of NATS.
pub(super) type KvError = String;

/// A bucket of keys, each with a revision that grows with every change.
pub(super) trait Kv: Send + Sync {
    fn get(&self, key: &str) -> impl Future<Output = Result<Found, KvError>> + Send;

    /// Stores the value if the key's revision is still this one, and gives the new one.
    fn put(&self, key: &str, value: Bytes, revision: u64) -> impl Future<Output = Result<Option<u64>, KvError>> + Send;

    /// Removes the key if its revision is still this one.
    fn remove(&self, key: &str, revision: u64) -> impl Future<Output = Result<(), KvError>> + Send;
}

/// A bucket at NATS, which is made where it is missing.
#[derive(Debug)]
pub(crate) struct Bucket {
    name: String,
    /// The client, while NATS is there.
    nats: watch::Receiver<Option<Client>>,
    /// As it was last found. After an error it is looked for again.
    opened: Mutex<Option<Store>>,
}

/// The name of a cluster's bucket: letters, digits, `-` and `_`, and each name another one.
pub(crate) fn bucket_name(cluster: &str, what: &str) -> String {
    let cluster = cluster.replace('_', "__").replace('.', "_-");
    format!("mn-{cluster}-{what}")
}

/// The stream that is a bucket (ADR-8 of NATS).
fn stream_of(bucket: &str) -> stream::Config {
    stream::Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        discard: stream::DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        num_replicas: 1,
        ..stream::Config::default()
    }
}

impl Bucket {
    pub(crate) fn new(name: String, nats: watch::Receiver<Option<Client>>) -> Bucket {
        Bucket { name, nats, opened: Mutex::new(None) }
    }

    async fn store(&self) -> Result<Store, KvError> {
        let client = self.nats.borrow().clone();
        let client = client.ok_or("NATS is not there")?;
        let mut opened = self.opened.lock().await;
        if let Some(store) = &*opened {
            return Ok(store.clone());
        }
        let mut context = jetstream::new(client);
        context.set_timeout(STEP);
        let store = self.open(&context).await?;
        *opened = Some(store.clone());
        Ok(store)
    }

    /// An existing bucket is used as it is, with its replicas and limits.
    async fn open(&self, context: &Context) -> Result<Store, KvError> {
        if let Ok(store) = context.get_key_value(&self.name).await {
            return Ok(store);
        }
        let failed = |error: &dyn std::error::Error| {
            format!("cannot make the bucket {} (it needs JetStream): {error}", self.name)
        };
        // `create_key_value` does not understand what older servers say of the account.
        context.create_stream(stream_of(&self.name)).await.map_err(|error| failed(&error))?;
        context.get_key_value(&self.name).await.map_err(|error| failed(&error))
    }

    async fn failed(&self, error: impl std::fmt::Display) -> KvError {
        *self.opened.lock().await = None;
        format!("the bucket {}: {error}", self.name)
    }

    /// When the key was stored, by the clock of NATS.
    pub(super) async fn stored_at(&self, key: &str) -> Result<i64, KvError> {
        let store = self.store().await?;
        match store.stream.get_last_raw_message_by_subject(&format!("{}{key}", store.prefix)).await {
            Ok(message) => Ok(message.time.unix_timestamp().saturating_mul(1000)),
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// The first key of revision `from` or above, with what is there.
    pub(super) async fn next(&self, from: u64) -> Result<Option<(String, Found)>, KvError> {
        let store = self.store().await?;
        match store.stream.direct_get_next_for_subject(format!("{}>", store.prefix), Some(from)).await {
            Ok(message) => {
                let key = message.subject.strip_prefix(&store.prefix).unwrap_or_default().to_owned();
                let value = message.headers.get(OPERATION).is_none().then_some(message.payload);
                Ok(Some((key, Found { revision: message.sequence, value })))
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error).await),
        }
    }
}

impl Kv for Bucket {
    async fn get(&self, key: &str) -> Result<Found, KvError> {
        let store = self.store().await?;
        // The stream's leader answers this, so what was written is read.
        match store.stream.get_last_raw_message_by_subject(&format!("{}{key}", store.prefix)).await {
            Ok(message) => {
                let value = message.headers.get(OPERATION).is_none().then_some(message.payload);
                Ok(Found { revision: message.sequence, value })
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(Found::default()),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn put(&self, key: &str, value: Bytes, revision: u64) -> Result<Option<u64>, KvError> {
        let store = self.store().await?;
        match store.update(key, value, revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn remove(&self, key: &str, revision: u64) -> Result<(), KvError> {
        let store = self.store().await?;
        // What was stored since has a number above.
        let purge = store.stream.purge().filter(format!("{}{key}", store.prefix)).sequence(revision + 1);
        match purge.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_cluster_has_buckets_of_its_own() {
        assert_eq!(bucket_name("shop", "sessions"), "mn-shop-sessions");
        let names = ["a.b", "a_b", "a-b", "a_-b", "a__b", "a._b"].map(|cluster| bucket_name(cluster, "x"));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
        assert!(names.concat().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}
