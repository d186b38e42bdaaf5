//! Leases over machines: what a process asks its gateway, and what the gateway does with the lease's key. Who may take a lease, and for how
//! long it holds, is decided where the time passes, in the processes.
//!
//! ```text
//! question   kind u8 | length u8, name | revision u64 | token u64 | time to live in ms u32
//! answer     0, or 1 | revision u64, or 2 | revision u64 | token u64 | time to live u32
//! value      version u8 | token u64, 0 in the term's first value | time to live u32
//! ```

use bytes::Bytes;

use super::kv::{Kv, KvError};

/// The name of the request, which is sent to the gateway alone.
pub const LEASES: &str = "multi-node leases";

const VERSION: u8 = 1;

/// What a process asks about the lease of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseAsk {
    /// 1 to 255 bytes.
    pub name: String,
    /// What the gateway does about it.
    pub asked: LeaseAsked,
}

/// What a gateway does with a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAsked {
    /// Say who has it.
    Look,
    /// Take or keep it, if it is still at this revision.
    Hold {
        /// As it was last seen; 0: free.
        revision: u64,
        /// That of the term; 0 in a new one.
        token: u64,
        /// After how many milliseconds without a change others may take it.
        ttl: u32,
    },
    /// Return it, if it is still at this revision.
    Leave(u64),
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// It is not at that revision, or it is free.
    No,
    /// It is held at this revision now, which is the token of a new term.
    Held(u64),
    /// It is held.
    Found {
        /// It changes with each renewal.
        revision: u64,
        /// That of the term.
        token: u64,
        /// Its time to live in milliseconds.
        ttl: u32,
    },
}

impl LeaseAsk {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, revision, token, ttl) = match self.asked {
            LeaseAsked::Look => (1, 0, 0, 0),
            LeaseAsked::Hold { revision, token, ttl } => (2, revision, token, ttl),
            LeaseAsked::Leave(revision) => (3, revision, 0, 0),
        };
        let mut bytes = vec![kind, u8::try_from(self.name.len()).unwrap_or(u8::MAX)];
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(&numbers(revision, token, ttl));
        bytes
    }

    /// What these bytes ask.
    pub fn decode(bytes: &[u8]) -> Option<LeaseAsk> {
        let (&[kind, length], rest) = bytes.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(length.into()).filter(|(name, _)| !name.is_empty())?;
        let name = str::from_utf8(name).ok()?.to_owned();
        let (revision, token, ttl) = read_numbers(rest)?;
        let asked = match kind {
            1 => LeaseAsked::Look,
            2 => LeaseAsked::Hold { revision, token, ttl },
            3 => LeaseAsked::Leave(revision),
            _ => return None,
        };
        Some(LeaseAsk { name, asked })
    }
}

impl LeaseAnswer {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            LeaseAnswer::No => vec![0],
            LeaseAnswer::Held(revision) => [&[1][..], &revision.to_le_bytes()].concat(),
            LeaseAnswer::Found { revision, token, ttl } => [&[2][..], &numbers(revision, token, ttl)].concat(),
        }
    }

    /// What these bytes answer.
    pub fn decode(bytes: &[u8]) -> Option<LeaseAnswer> {
        match bytes.split_first()? {
            (0, _) => Some(LeaseAnswer::No),
            (1, rest) => Some(LeaseAnswer::Held(u64::from_le_bytes(*rest.first_chunk()?))),
            (2, rest) => {
                let (revision, token, ttl) = read_numbers(rest)?;
                Some(LeaseAnswer::Found { revision, token, ttl })
            }
            _ => None,
        }
    }
}

fn numbers(revision: u64, token: u64, ttl: u32) -> Vec<u8> {
    [&revision.to_le_bytes()[..], &token.to_le_bytes(), &ttl.to_le_bytes()].concat()
}

fn read_numbers(bytes: &[u8]) -> Option<(u64, u64, u32)> {
    let (revision, rest) = bytes.split_first_chunk()?;
    let (token, rest) = rest.split_first_chunk()?;
    let numbers = (u64::from_le_bytes(*revision), u64::from_le_bytes(*token), u32::from_le_bytes(*rest.first_chunk()?));
    Some(numbers)
}

/// Does what is asked.
pub(super) async fn answer(kv: &impl Kv, ask: &LeaseAsk) -> Result<LeaseAnswer, KvError> {
    let key = super::entry::hexadecimal("l.", ask.name.as_bytes());
    match ask.asked {
        LeaseAsked::Look => look(kv, &key).await,
        LeaseAsked::Hold { revision, token, ttl } => {
            let value = [&[VERSION][..], &token.to_le_bytes(), &ttl.to_le_bytes()].concat().into();
            Ok(kv.put(&key, value, revision).await?.map_or(LeaseAnswer::No, LeaseAnswer::Held))
        }
        LeaseAsked::Leave(revision) => {
            kv.remove(&key, revision).await?;
            Ok(LeaseAnswer::No)
        }
    }
}

async fn look(kv: &impl Kv, key: &str) -> Result<LeaseAnswer, KvError> {
    let found = kv.get(key).await?;
    let revision = found.revision;
    let Some(value) = found.value else {
        // A marker of another program has a revision: what is stored next follows it.
        return Ok(if revision == 0 {
            LeaseAnswer::No
        } else {
            LeaseAnswer::Found { revision, token: revision, ttl: 0 }
        });
    };
    let (token, ttl) = read_value(&value).ok_or_else(|| format!("the value of {key} is no lease of this version"))?;
    Ok(LeaseAnswer::Found { revision, token: if token == 0 { revision } else { token }, ttl })
}

fn read_value(value: &Bytes) -> Option<(u64, u32)> {
    let (&[version], rest) = value.split_first_chunk()?;
    let (token, rest) = rest.split_first_chunk().filter(|_| version == VERSION)?;
    Some((u64::from_le_bytes(*token), u32::from_le_bytes(*rest.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sessions::tests::Memory;
    use super::*;

    async fn does(kv: &Memory, asked: LeaseAsked) -> LeaseAnswer {
        answer(kv, &LeaseAsk { name: "mails".to_owned(), asked }).await.unwrap()
    }

    fn hold(revision: u64, token: u64) -> LeaseAsked {
        LeaseAsked::Hold { revision, token, ttl: 9 }
    }

    #[tokio::test]
    async fn each_term_has_a_higher_token_and_one_holder() {
        let kv = Memory::default();
        assert_eq!(does(&kv, LeaseAsked::Look).await, LeaseAnswer::No);
        assert_eq!(does(&kv, hold(0, 0)).await, LeaseAnswer::Held(1));
        assert_eq!(does(&kv, hold(0, 0)).await, LeaseAnswer::No, "somebody else has it");
        assert_eq!(does(&kv, LeaseAsked::Look).await, LeaseAnswer::Found { revision: 1, token: 1, ttl: 9 });
        assert_eq!(does(&kv, hold(1, 1)).await, LeaseAnswer::Held(2), "renewed");
        assert_eq!(does(&kv, LeaseAsked::Look).await, LeaseAnswer::Found { revision: 2, token: 1, ttl: 9 });
        assert_eq!(does(&kv, hold(2, 0)).await, LeaseAnswer::Held(3), "taken over");
        assert_eq!(does(&kv, hold(2, 1)).await, LeaseAnswer::No, "the holder before cannot renew it");
        does(&kv, LeaseAsked::Leave(2)).await;
        assert_eq!(
            does(&kv, LeaseAsked::Look).await,
            LeaseAnswer::Found { revision: 3, token: 3, ttl: 9 },
            "nor return it"
        );
        does(&kv, LeaseAsked::Leave(3)).await;
        assert_eq!(does(&kv, LeaseAsked::Look).await, LeaseAnswer::No);
        assert_eq!(does(&kv, hold(0, 0)).await, LeaseAnswer::Held(4));
    }

    #[tokio::test]
    async fn a_damaged_lease_is_not_granted() {
        let kv = Memory::default();
        kv.store("l.6d61696c73", Bytes::from_static(b"nonsense"), 0);
        let error = answer(&kv, &LeaseAsk { name: "mails".to_owned(), asked: LeaseAsked::Look }).await.unwrap_err();
        assert_eq!(error, "the value of l.6d61696c73 is no lease of this version");
    }

    proptest! {
        #[test]
        fn what_is_asked_and_answered_is_read_again(name in "\\PC{1,60}", revision: u64, token: u64, ttl: u32) {
            for asked in [LeaseAsked::Look, LeaseAsked::Hold { revision, token, ttl }, LeaseAsked::Leave(revision)] {
                let ask = LeaseAsk { name: name.clone(), asked };
                prop_assert_eq!(LeaseAsk::decode(&ask.encode()), Some(ask));
            }
            for answer in [LeaseAnswer::No, LeaseAnswer::Held(revision), LeaseAnswer::Found { revision, token, ttl }] {
                prop_assert_eq!(LeaseAnswer::decode(&answer.encode()), Some(answer));
            }
        }

        #[test]
        fn no_bytes_harm_the_decoders(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (LeaseAsk::decode(&bytes), LeaseAnswer::decode(&bytes), read_value(&bytes.into()));
        }
    }
}
