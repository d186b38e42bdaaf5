//! Leases over machines: what a process asks its gateway, and the answers.
//!
//! ```text
//! question   kind u8 | length u8, name | revision u64 | token u64 | time to live in ms u32
//! answer     0, or 1 | revision u64, or 2 | revision u64 | token u64 | time to live u32
//! ```

/// The name of the request, which is sent to the gateway alone.
pub const LEASES: &str = "multi-node leases";

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let _ = (LeaseAsk::decode(&bytes), LeaseAnswer::decode(&bytes));
        }
    }
}
