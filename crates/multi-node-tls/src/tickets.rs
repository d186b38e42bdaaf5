//! Session tickets: what a client shows to resume its session, at whichever process it reaches.
//!
//! A ticket is what the server would have to remember of the session, sealed, so that no process remembers anything. All processes have
//! the same keys: one that seals, and the one before it, whose tickets are accepted too. Older keys are gone, and the sessions of older
//! tickets cannot be read by anybody any more.
//!
//! A ticket is `name (8) | salt (16) | sealed`. Each is sealed by a key of its own, which is made of the salt: nonces of 96 bits at random
//! would repeat too soon under one key of many processes.

use std::fmt;
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

/// How many bytes a key has.
pub const KEY_LENGTH: usize = 32;

/// How long a key seals. A ticket is good for so long at least, and for twice that time at most.
pub const ROTATION: Duration = Duration::from_secs(12 * 60 * 60);

const NAME: usize = 8;
const SALT: usize = 16;

/// No ticket of ours is longer: it may hold a client's certificates.
const LONGEST: usize = 64 * 1024;

/// The bytes of one key.
pub type Key = [u8; KEY_LENGTH];

/// Seals and opens tickets for one server.
pub(crate) struct Tickets {
    /// The first seals; all open.
    keys: Vec<Keyed>,
    /// Whose tickets they are: those of one server are none to another.
    server: Vec<u8>,
    random: SystemRandom,
}

struct Keyed {
    name: [u8; NAME],
    key: hmac::Key,
}

impl Tickets {
    /// `keys` are the current one and those before it.
    ///
    /// rustls does not verify the certificate of a client again that resumes. So tickets are good for the same authorities alone, which
    /// `clients` stands for.
    pub(crate) fn new(keys: &[Key], server: usize, clients: &str) -> Tickets {
        let keyed = |bytes: &Key| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
            Keyed { name: head(hmac::sign(&key, b"multi-node: the name of a ticket key").as_ref()), key }
        };
        let server = format!("multi-node: tickets of server {server}{clients}").into_bytes();
        Tickets { keys: keys.iter().map(keyed).collect(), server, random: SystemRandom::new() }
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let Keyed { name, key } = self.keys.first()?;
        let mut salt = [0; SALT];
        self.random.fill(&mut salt).ok()?;
        let mut sealed = plain.to_vec();
        let aead = of_one(key, &salt)?;
        aead.seal_in_place_append_tag(nonce(), Aad::from(&self.server), &mut sealed).ok()?;
        Some([&name[..], &salt, &sealed].concat())
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (salt, sealed) = rest.split_first_chunk::<SALT>()?;
        if sealed.len() > LONGEST {
            return None;
        }
        // The name is no secret.
        let Keyed { key, .. } = self.keys.iter().find(|keyed| keyed.name == *name)?;
        let mut opened = sealed.to_vec();
        let length = of_one(key, salt)?.open_in_place(nonce(), Aad::from(&self.server), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

/// The key of one ticket.
fn of_one(key: &hmac::Key, salt: &[u8; SALT]) -> Option<LessSafeKey> {
    let own = hmac::sign(key, salt);
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, own.as_ref()).ok()?))
}

/// Each key seals once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; ring::aead::NONCE_LEN])
}

fn head(bytes: &[u8]) -> [u8; NAME] {
    bytes.first_chunk().copied().unwrap_or_default()
}

/// A new key.
///
/// # Errors
/// Where the system has no random bytes.
pub fn new_key() -> Result<Key, NoRandomBytes> {
    let mut key = [0; KEY_LENGTH];
    SystemRandom::new().fill(&mut key).map_err(|_| NoRandomBytes)?;
    Ok(key)
}

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomBytes;

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        !self.keys.is_empty()
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(ROTATION.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher)
    }
}

/// Keys are secret.
impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_key_and_the_one_before_open() {
        let [first, second, third] = [[1; 32], [2; 32], [3; 32]];
        let ticket = Tickets::new(&[first], 0, "").seal(b"session").expect("sealed");
        let open = |keys: &[Key]| Tickets::new(keys, 0, "").open(&ticket);
        assert_eq!(open(&[first]).as_deref(), Some(&b"session"[..]));
        assert_eq!(open(&[second, first]).as_deref(), Some(&b"session"[..]));
        assert_eq!(open(&[third, second]), None, "its key is gone");
    }

    #[test]
    fn another_server_does_not_take_it() {
        let ticket = Tickets::new(&[[1; 32]], 0, "").seal(b"session").expect("sealed");
        assert_eq!(Tickets::new(&[[1; 32]], 1, "").open(&ticket), None);
        assert_eq!(Tickets::new(&[[1; 32]], 0, " for others").open(&ticket), None);
    }

    #[test]
    fn no_two_are_alike_and_none_shows_its_contents() {
        let tickets = Tickets::new(&[[1; 32]], 0, "");
        let (one, other) = (tickets.seal(b"session"), tickets.seal(b"session"));
        assert_ne!(one, other);
        assert!(!one.expect("sealed").windows(7).any(|part| part == b"session"));
    }

    #[test]
    fn what_was_changed_is_none() {
        let tickets = Tickets::new(&[[1; 32]], 0, "");
        let ticket = tickets.seal(b"session").expect("sealed");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.open(&changed), None, "byte {at}");
            assert_eq!(tickets.open(&ticket[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn without_keys_there_are_none() {
        let tickets = Tickets::new(&[], 0, "");
        assert!(!tickets.enabled() && tickets.seal(b"session").is_none());
    }
}
