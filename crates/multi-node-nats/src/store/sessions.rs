//! The rules of sessions in a bucket. What has expired is absent. Each change names the revision that it has seen, so that a late save does
//! not bring a session back, and of two changes at once the second sees the first.

use bytes::Bytes;

use super::ask::{Asked, SessionAnswer, SessionAsk};
use super::entry::{Stored, key};
use super::kv::{Found, Kv, KvError};

/// How often a change is tried while others change the same session.
const TRIES: usize = 16;

/// Does what is asked, at this time in Unix milliseconds.
pub(super) async fn answer(kv: &impl Kv, ask: SessionAsk, now: i64) -> Result<SessionAnswer, KvError> {
    let key = key(&ask.id);
    match ask.asked {
        Asked::Create(expires, data) => create(kv, &key, Stored { expires, data: data.into() }, now).await,
        Asked::Save(expires, data) => {
            let data = Bytes::from(data);
            change(kv, &key, now, |_| Stored { expires, data: data.clone() }).await
        }
        Asked::Touch(expires) => change(kv, &key, now, |stored| Stored { expires, ..stored }).await,
        Asked::Load => Ok(match live(&key, &kv.get(&key).await?, now)? {
            Some(Stored { expires, data }) => SessionAnswer::Session(expires, data.into()),
            None => SessionAnswer::No,
        }),
        Asked::Delete => delete(kv, &key, now).await,
    }
}

/// The session, unless it has expired.
fn live(key: &str, found: &Found, now: i64) -> Result<Option<Stored>, KvError> {
    let Some(value) = &found.value else { return Ok(None) };
    let stored = Stored::decode(value).ok_or_else(|| format!("the value of {key} is no session of this version"))?;
    Ok(Some(stored).filter(|stored| stored.expires > now))
}

async fn create(kv: &impl Kv, key: &str, stored: Stored, now: i64) -> Result<SessionAnswer, KvError> {
    let (value, mut revision) = (stored.encode(), 0);
    for _ in 0..TRIES {
        if kv.put(key, value.clone(), revision).await?.is_some() {
            return Ok(SessionAnswer::Yes);
        }
        let found = kv.get(key).await?;
        if live(key, &found, now)?.is_some() {
            return Ok(SessionAnswer::No);
        }
        revision = found.revision;
    }
    Err(busy(key))
}

/// Changes what is there, and brings nothing back.
async fn change(
    kv: &impl Kv,
    key: &str,
    now: i64,
    changed: impl Fn(Stored) -> Stored,
) -> Result<SessionAnswer, KvError> {
    for _ in 0..TRIES {
        let found = kv.get(key).await?;
        let Some(stored) = live(key, &found, now)? else { return Ok(SessionAnswer::No) };
        if kv.put(key, changed(stored).encode(), found.revision).await?.is_some() {
            return Ok(SessionAnswer::Yes);
        }
    }
    Err(busy(key))
}

async fn delete(kv: &impl Kv, key: &str, now: i64) -> Result<SessionAnswer, KvError> {
    let mut answer = SessionAnswer::No;
    for _ in 0..TRIES {
        let found = kv.get(key).await?;
        // What is damaged goes too.
        if live(key, &found, now).is_ok_and(|stored| stored.is_some()) {
            answer = SessionAnswer::Yes;
        }
        if found.value.is_none() {
            return Ok(answer);
        }
        kv.remove(key, found.revision).await?;
    }
    Err(busy(key))
}

fn busy(key: &str) -> KvError {
    format!("{key} was changed {TRIES} times by others meanwhile")
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    /// By key: the revision, and the value.
    type Entries = BTreeMap<String, (u64, Bytes)>;

    /// A bucket in memory. Before a change, `meanwhile` happens once.
    #[derive(Default)]
    pub(in crate::store) struct Memory {
        entries: Mutex<(u64, Entries)>,
        meanwhile: Mutex<Vec<(String, Option<Bytes>)>>,
        clock: Mutex<Option<i64>>,
    }

    impl Memory {
        pub(in crate::store) fn store(&self, key: &str, value: Bytes, revision: u64) -> Option<u64> {
            let (last, entries) = &mut *self.entries.lock().unwrap();
            if entries.get(key).map_or(0, |entry| entry.0) != revision {
                return None;
            }
            *last += 1;
            entries.insert(key.to_owned(), (*last, value));
            Some(*last)
        }

        /// By which values are stored. Default: the end of time.
        pub(in crate::store) fn set_clock(&self, now: i64) {
            *self.clock.lock().unwrap() = Some(now);
        }

        pub(in crate::store) fn clock(&self) -> i64 {
            self.clock.lock().unwrap().unwrap_or(i64::MAX)
        }

        /// The first key of revision `from` or above.
        pub(in crate::store) fn first_from(&self, from: u64) -> Option<(String, Found)> {
            let entries = self.entries.lock().unwrap();
            let later = entries.1.iter().filter(|(_, (revision, _))| *revision >= from);
            let (key, (revision, value)) = later.min_by_key(|(_, (revision, _))| *revision)?;
            Some((key.clone(), Found { revision: *revision, value: Some(value.clone()) }))
        }

        /// Others store a value, or remove it.
        fn others(&self) {
            let Some((key, value)) = self.meanwhile.lock().unwrap().pop() else { return };
            let (last, entries) = &mut *self.entries.lock().unwrap();
            *last += 1;
            match value {
                Some(value) => drop(entries.insert(key, (*last, value))),
                None => drop(entries.remove(&key)),
            }
        }
    }

    impl Kv for Memory {
        async fn get(&self, key: &str) -> Result<Found, KvError> {
            let entries = self.entries.lock().unwrap();
            Ok(entries.1.get(key).map_or_else(Found::default, |(revision, value)| Found {
                revision: *revision,
                value: Some(value.clone()),
            }))
        }

        async fn put(&self, key: &str, value: Bytes, revision: u64) -> Result<Option<u64>, KvError> {
            self.others();
            Ok(self.store(key, value, revision))
        }

        async fn remove(&self, key: &str, revision: u64) -> Result<(), KvError> {
            self.others();
            let mut entries = self.entries.lock().unwrap();
            if entries.1.get(key).is_some_and(|entry| entry.0 == revision) {
                entries.1.remove(key);
            }
            Ok(())
        }
    }

    const NOW: i64 = 1000;

    fn ask(asked: Asked) -> SessionAsk {
        SessionAsk { id: b"a".to_vec(), asked }
    }

    fn save(expires: i64, data: &str) -> Asked {
        Asked::Save(expires, data.into())
    }

    async fn does(kv: &Memory, asked: Asked) -> SessionAnswer {
        answer(kv, ask(asked), NOW).await.unwrap()
    }

    fn session(expires: i64, data: &str) -> SessionAnswer {
        SessionAnswer::Session(expires, data.into())
    }

    #[tokio::test]
    async fn a_session_is_created_once_changed_while_it_is_there_and_removed() {
        let kv = Memory::default();
        assert_eq!(does(&kv, save(2000, "x")).await, SessionAnswer::No, "nothing to change");
        assert_eq!(does(&kv, Asked::Touch(2000)).await, SessionAnswer::No);
        assert_eq!(does(&kv, Asked::Load).await, SessionAnswer::No);
        assert_eq!(does(&kv, Asked::Create(2000, b"x".to_vec())).await, SessionAnswer::Yes);
        assert_eq!(does(&kv, Asked::Create(3000, b"y".to_vec())).await, SessionAnswer::No, "another id is needed");
        assert_eq!(does(&kv, save(2500, "z")).await, SessionAnswer::Yes);
        assert_eq!(does(&kv, Asked::Touch(4000)).await, SessionAnswer::Yes);
        assert_eq!(does(&kv, Asked::Load).await, session(4000, "z"), "a touch moves the expiry only");
        assert_eq!(does(&kv, Asked::Delete).await, SessionAnswer::Yes);
        assert_eq!(does(&kv, Asked::Delete).await, SessionAnswer::No);
        assert_eq!(does(&kv, save(2000, "x")).await, SessionAnswer::No, "a log-out stays");
    }

    #[tokio::test]
    async fn what_has_expired_is_absent_and_its_id_is_free() {
        let kv = Memory::default();
        assert_eq!(does(&kv, Asked::Create(NOW, b"x".to_vec())).await, SessionAnswer::Yes);
        assert_eq!(does(&kv, Asked::Load).await, SessionAnswer::No);
        assert_eq!(does(&kv, Asked::Touch(2000)).await, SessionAnswer::No);
        assert_eq!(does(&kv, save(2000, "x")).await, SessionAnswer::No);
        assert_eq!(does(&kv, Asked::Create(2000, b"y".to_vec())).await, SessionAnswer::Yes);
        assert_eq!(does(&kv, Asked::Load).await, session(2000, "y"));
    }

    #[tokio::test]
    async fn clocks_that_differ_move_the_end_of_a_session_and_nothing_else() {
        let (kv, skew) = (Memory::default(), 300);
        // A machine whose clock is behind makes a session; others see it end earlier, and change it as any other until then.
        does(&kv, Asked::Create(NOW + 500, b"x".to_vec())).await;
        let ahead = |asked| answer(&kv, ask(asked), NOW + skew);
        assert_eq!(ahead(Asked::Load).await, Ok(session(NOW + 500, "x")));
        assert_eq!(ahead(save(NOW + skew + 500, "y")).await, Ok(SessionAnswer::Yes));
        assert_eq!(does(&kv, Asked::Load).await, session(NOW + skew + 500, "y"));
        let later = |asked| answer(&kv, ask(asked), NOW + skew + 500);
        assert_eq!(later(Asked::Load).await, Ok(SessionAnswer::No), "it has ended there");
        assert_eq!(does(&kv, Asked::Load).await, session(NOW + skew + 500, "y"), "and not yet here");
        assert_eq!(later(save(NOW + 9000, "late")).await, Ok(SessionAnswer::No));
        assert_eq!(later(Asked::Create(NOW + 9000, b"new".to_vec())).await, Ok(SessionAnswer::Yes));
        assert_eq!(does(&kv, Asked::Load).await, session(NOW + 9000, "new"), "one session of the id, for all");
    }

    #[tokio::test]
    async fn what_others_do_in_between_counts() {
        let kv = Memory::default();
        let meanwhile = |value: Option<(i64, &'static str)>| {
            let value = value.map(|(expires, data)| Stored { expires, data: data.into() }.encode());
            kv.meanwhile.lock().unwrap().push((key(b"a"), value));
        };
        does(&kv, Asked::Create(2000, b"x".to_vec())).await;
        meanwhile(None);
        assert_eq!(does(&kv, save(3000, "late")).await, SessionAnswer::No, "a late save does not revive a log-out");
        meanwhile(Some((2000, "first")));
        assert_eq!(does(&kv, Asked::Create(3000, b"second".to_vec())).await, SessionAnswer::No);
        meanwhile(Some((5000, "other")));
        assert_eq!(does(&kv, Asked::Touch(4000)).await, SessionAnswer::Yes);
        assert_eq!(does(&kv, Asked::Load).await, session(4000, "other"), "no data is lost to a touch");
        meanwhile(Some((5000, "again")));
        assert_eq!(does(&kv, Asked::Delete).await, SessionAnswer::Yes);
        assert_eq!(does(&kv, Asked::Load).await, SessionAnswer::No, "a save beside it does not win");
    }

    #[tokio::test]
    async fn what_is_damaged_is_an_error_until_it_is_removed() {
        let kv = Memory::default();
        kv.store("s.61", Bytes::from_static(b"nonsense"), 0);
        for asked in [Asked::Load, Asked::Touch(2000), save(2000, "x"), Asked::Create(2000, Vec::new())] {
            let error = answer(&kv, ask(asked), NOW).await.unwrap_err();
            assert_eq!(error, "the value of s.61 is no session of this version");
        }
        assert_eq!(does(&kv, Asked::Delete).await, SessionAnswer::No);
        assert_eq!(does(&kv, Asked::Create(2000, Vec::new())).await, SessionAnswer::Yes);
    }
}
