//! Removes what has expired: one gateway of the cluster at a time.

use bytes::Bytes;

use super::entry::Stored;
use super::kv::{Bucket, Found, Kv, KvError};

/// By how much a session must have expired, in milliseconds: the clocks of machines differ.
const UNUSED: i64 = 60_000;

/// The key that the gateway changes which sweeps next.
const TURN: &str = "sweep";

/// A bucket whose keys can be looked through.
pub(super) trait Scan: Kv {
    /// The first key of revision `from` or above, with what is there.
    fn next(&self, from: u64) -> impl Future<Output = Result<Option<(String, Found)>, KvError>> + Send;

    /// When the key was stored, by the clock of NATS: Unix milliseconds.
    fn stored_at(&self, key: &str) -> impl Future<Output = Result<i64, KvError>> + Send;
}

impl Scan for Bucket {
    async fn next(&self, from: u64) -> Result<Option<(String, Found)>, KvError> {
        Bucket::next(self, from).await
    }

    async fn stored_at(&self, key: &str) -> Result<i64, KvError> {
        Bucket::stored_at(self, key).await
    }
}

/// One gateway's part.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    /// The turn as it was at the last look.
    seen: Option<u64>,
}

impl Sweeper {
    /// Removes what has expired, unless another gateway has done so since the last look. Says how many sessions. `now`: by the clock of this
    /// machine. If it is ahead, that of NATS counts, so that one wrong clock does not end the sessions of all.
    pub(super) async fn sweep(&mut self, bucket: &impl Scan, now: i64) -> Result<u64, KvError> {
        let turn = bucket.get(TURN).await?.revision;
        if self.seen.replace(turn) != Some(turn) {
            return Ok(0);
        }
        // One of those who see the same turn gets it.
        let Some(turn) = bucket.put(TURN, Bytes::new(), turn).await? else { return Ok(0) };
        self.seen = Some(turn);
        let by = now.min(bucket.stored_at(TURN).await?).saturating_sub(UNUSED);
        let (mut from, mut removed) = (1, 0);
        while let Some((key, found)) = bucket.next(from).await? {
            from = found.revision + 1;
            if is_expired(&key, &found, by) {
                bucket.remove(&key, found.revision).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Markers of removed keys go too; what is damaged stays, and is an error for those who read it.
fn is_expired(key: &str, found: &Found, by: i64) -> bool {
    let expired = |value: &Bytes| Stored::decode(value).is_some_and(|stored| stored.expires <= by);
    key != TURN && found.value.as_ref().is_none_or(expired)
}

#[cfg(test)]
mod tests {
    use super::super::entry::key;
    use super::super::sessions::tests::Memory;
    use super::*;

    impl Scan for Memory {
        async fn next(&self, from: u64) -> Result<Option<(String, Found)>, KvError> {
            Ok(self.first_from(from))
        }

        async fn stored_at(&self, _: &str) -> Result<i64, KvError> {
            Ok(self.clock())
        }
    }

    fn stored(expires: i64) -> Bytes {
        Stored { expires, data: Bytes::from_static(b"x") }.encode()
    }

    #[tokio::test]
    async fn one_of_several_gateways_removes_what_has_expired() {
        let bucket = Memory::default();
        for (id, value) in [(b"a", stored(10)), (b"b", stored(30)), (b"c", Bytes::from_static(b"damaged"))] {
            bucket.store(&key(id), value, 0).expect("stored");
        }
        let (mut one, mut two) = (Sweeper::default(), Sweeper::default());
        assert_eq!(one.sweep(&bucket, UNUSED + 20).await, Ok(0), "a first look");
        assert_eq!(two.sweep(&bucket, UNUSED + 20).await, Ok(0));
        assert_eq!(one.sweep(&bucket, UNUSED + 20).await, Ok(1));
        assert_eq!(two.sweep(&bucket, UNUSED + 40).await, Ok(0), "the other one has swept");
        assert_eq!(bucket.get(&key(b"a")).await, Ok(Found::default()));
        assert_eq!(two.sweep(&bucket, UNUSED + 40).await, Ok(1), "the other one does not sweep any more");
        assert_eq!(one.sweep(&bucket, UNUSED + 40).await, Ok(0));
        assert!(bucket.get(&key(b"c")).await.expect("read").value.is_some());
    }

    #[tokio::test]
    async fn a_machine_whose_clock_is_ahead_removes_nothing_that_lives_for_others() {
        const HOUR: i64 = 3_600_000;
        let bucket = Memory::default();
        for (id, expires) in [(b"a", HOUR - UNUSED), (b"b", HOUR + 1)] {
            bucket.store(&key(id), stored(expires), 0).expect("stored");
        }
        bucket.set_clock(HOUR);
        let mut ahead = Sweeper::default();
        assert_eq!(ahead.sweep(&bucket, 9 * HOUR).await, Ok(0), "a first look");
        assert_eq!(ahead.sweep(&bucket, 9 * HOUR).await, Ok(1));
        assert!(bucket.get(&key(b"b")).await.expect("read").value.is_some());
        let mut behind = Sweeper::default();
        bucket.set_clock(9 * HOUR);
        for _ in 0..2 {
            assert_eq!(behind.sweep(&bucket, HOUR).await, Ok(0), "one that is behind removes late");
        }
    }
}
