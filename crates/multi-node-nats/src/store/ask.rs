//! What a process asks its gateway about sessions, and the answers: kind u8, length of the id u8, id, expiry i64, data.

/// The name of the request, which is sent to the gateway alone.
pub const SESSIONS: &str = "multi-node sessions";

/// What a process asks, about the session of this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionAsk {
    /// 1 to 255 bytes.
    pub id: Vec<u8>,
    /// What the gateway does about it.
    pub asked: Asked,
}

/// What a gateway does with a session. Expiry is in Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Store it, unless there is one.
    Create(i64, Vec<u8>),
    /// Change it, if it is there.
    Save(i64, Vec<u8>),
    /// Move its expiry, if it is there.
    Touch(i64),
    /// Read it.
    Load,
    /// Remove it.
    Delete,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionAnswer {
    /// Nothing was changed, or there is none.
    No,
    /// It was stored, changed or removed.
    Yes,
    /// Its expiry and its data.
    Session(i64, Vec<u8>),
}

impl SessionAsk {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, expires, data) = match &self.asked {
            Asked::Create(expires, data) => (1, *expires, data.as_slice()),
            Asked::Save(expires, data) => (2, *expires, data.as_slice()),
            Asked::Touch(expires) => (3, *expires, &[][..]),
            Asked::Load => (4, 0, &[][..]),
            Asked::Delete => (5, 0, &[][..]),
        };
        let mut bytes = Vec::with_capacity(10 + self.id.len() + data.len());
        bytes.extend_from_slice(&[kind, u8::try_from(self.id.len()).unwrap_or(u8::MAX)]);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&expires.to_le_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    /// What these bytes ask.
    pub fn decode(bytes: &[u8]) -> Option<SessionAsk> {
        let (&[kind, length], rest) = bytes.split_first_chunk()?;
        let (id, rest) = rest.split_at_checked(length.into()).filter(|(id, _)| !id.is_empty())?;
        let (expires, data) = rest.split_first_chunk()?;
        let (expires, data) = (i64::from_le_bytes(*expires), data.to_vec());
        let asked = match kind {
            1 => Asked::Create(expires, data),
            2 => Asked::Save(expires, data),
            3 => Asked::Touch(expires),
            4 => Asked::Load,
            5 => Asked::Delete,
            _ => return None,
        };
        Some(SessionAsk { id: id.to_vec(), asked })
    }
}

impl SessionAnswer {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            SessionAnswer::No => vec![0],
            SessionAnswer::Yes => vec![1],
            SessionAnswer::Session(expires, data) => [&[2][..], &expires.to_le_bytes(), data].concat(),
        }
    }

    /// What these bytes answer.
    pub fn decode(bytes: &[u8]) -> Option<SessionAnswer> {
        match bytes.split_first()? {
            (0, _) => Some(SessionAnswer::No),
            (1, _) => Some(SessionAnswer::Yes),
            (2, rest) => {
                let (expires, data) = rest.split_first_chunk()?;
                Some(SessionAnswer::Session(i64::from_le_bytes(*expires), data.to_vec()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_asked() -> impl Strategy<Value = Asked> {
        prop_oneof![
            any::<(i64, Vec<u8>)>().prop_map(|(expires, data)| Asked::Create(expires, data)),
            any::<(i64, Vec<u8>)>().prop_map(|(expires, data)| Asked::Save(expires, data)),
            any::<i64>().prop_map(Asked::Touch),
            Just(Asked::Load),
            Just(Asked::Delete),
        ]
    }

    #[test]
    fn the_bytes_are_as_releases_have_them() {
        let ask = SessionAsk { id: b"ab".to_vec(), asked: Asked::Save(3, b"x".to_vec()) };
        assert_eq!(ask.encode(), b"\x02\x02ab\x03\0\0\0\0\0\0\0x");
        assert_eq!(SessionAnswer::Session(3, b"x".to_vec()).encode(), b"\x02\x03\0\0\0\0\0\0\0x");
        assert_eq!((SessionAnswer::No.encode(), SessionAnswer::Yes.encode()), (vec![0], vec![1]));
    }

    proptest! {
        #[test]
        fn what_is_asked_and_answered_is_read_again(
            id in prop::collection::vec(any::<u8>(), 1..=255), asked in any_asked(), session: (i64, Vec<u8>),
        ) {
            let ask = SessionAsk { id, asked };
            prop_assert_eq!(SessionAsk::decode(&ask.encode()), Some(ask));
            let answer = SessionAnswer::Session(session.0, session.1);
            prop_assert_eq!(SessionAnswer::decode(&answer.encode()), Some(answer));
        }

        #[test]
        fn no_bytes_harm_the_decoders(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = SessionAsk::decode(&bytes);
            let _ = SessionAnswer::decode(&bytes);
        }
    }
}
