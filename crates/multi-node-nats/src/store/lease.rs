//! Leases over machines: what the gateway does with the lease's key. Who may take a lease, and for how long it holds, is decided where the
//! time passes, in the processes.
//!
//! ```text
//! value      version u8 | token u64, 0 in the term's first value | time to live u32
//! ```

use bytes::Bytes;

use super::kv::{Kv, KvError};
use super::lease_ask::{LeaseAnswer, LeaseAsk, LeaseAsked};

const VERSION: u8 = 1;

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
        fn no_bytes_harm_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read_value(&bytes.into());
        }
    }
}
