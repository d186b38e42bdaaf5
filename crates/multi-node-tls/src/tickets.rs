//! Session tickets: what a client shows to resume its session, at whichever process it reaches.
//!
//! A ticket is what the server would have to remember of the session, sealed, so that no process remembers anything. All processes have
//! the same keys: one that seals, and the one before it, whose tickets are accepted too. Older keys are gone, and the sessions of older
//! tickets cannot be read by anybody any more.
//!
//! A ticket is `name (8) | salt (16) | number (8) | sealed`. Each process seals by a key of its own, which is made of its salt, and counts
//! its tickets: the number is the nonce. Nonces of 96 bits at random would repeat too soon under one key of many processes.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

/// How many bytes a key has.
pub const KEY_LENGTH: usize = 32;

/// How long a key seals. A ticket is good for so long at least, and for twice that time at most.
pub const ROTATION: Duration = Duration::from_secs(12 * 60 * 60);

const NAME: usize = 8;
const SALT: usize = 16;
const NUMBER: usize = 8;

/// No ticket of ours is longer: it may hold a client's certificates.
const LONGEST: usize = 64 * 1024;

/// The bytes of one key.
pub type Key = [u8; KEY_LENGTH];

/// Seals and opens tickets for one server.
pub(crate) struct Tickets {
    /// All open.
    keys: Vec<Keyed>,
    /// `None` where there are no keys, or the system has no random bytes.
    sealer: Option<Sealer>,
    /// Whose tickets they are: those of one server are none to another.
    server: Vec<u8>,
}

/// What seals, by the first of the keys.
struct Sealer {
    name: [u8; NAME],
    salt: [u8; SALT],
    key: LessSafeKey,
    /// How many tickets it has sealed.
    sealed: AtomicU64,
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
        let keys: Vec<Keyed> = keys.iter().map(keyed).collect();
        let sealer = keys.first().and_then(Sealer::new);
        Tickets { keys, sealer, server }
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let Sealer { name, salt, key, sealed } = self.sealer.as_ref()?;
        let number = sealed.fetch_add(1, Relaxed).to_be_bytes();
        let mut ticket = Vec::with_capacity(NAME + SALT + NUMBER + plain.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(salt);
        ticket.extend_from_slice(&number);
        let head = ticket.len();
        ticket.extend_from_slice(plain);
        let tag = key.seal_in_place_separate_tag(nonce(number), Aad::from(&self.server), &mut ticket[head..]).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (salt, rest) = rest.split_first_chunk::<SALT>()?;
        let (number, sealed) = rest.split_first_chunk::<NUMBER>()?;
        if sealed.len() > LONGEST {
            return None;
        }
        let mut opened = sealed.to_vec();
        let open = |key: &LessSafeKey, opened: &mut [u8]| {
            Some(key.open_in_place(nonce(*number), Aad::from(&self.server), opened).ok()?.len())
        };
        // Neither name nor salt is a secret.
        let length = match &self.sealer {
            Some(own) if own.name == *name && own.salt == *salt => open(&own.key, &mut opened)?,
            _ => {
                let Keyed { key, .. } = self.keys.iter().find(|keyed| keyed.name == *name)?;
                open(&of_process(key, salt)?, &mut opened)?
            }
        };
        opened.truncate(length);
        Some(opened)
    }
}

impl Sealer {
    fn new(keyed: &Keyed) -> Option<Sealer> {
        let mut salt = [0; SALT];
        SystemRandom::new().fill(&mut salt).ok()?;
        Some(Sealer { name: keyed.name, salt, key: of_process(&keyed.key, &salt)?, sealed: AtomicU64::new(0) })
    }
}

/// The key by which the process with this salt seals.
fn of_process(key: &hmac::Key, salt: &[u8; SALT]) -> Option<LessSafeKey> {
    let own = hmac::sign(key, salt);
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, own.as_ref()).ok()?))
}

/// A key seals each number once.
fn nonce(number: [u8; NUMBER]) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - NUMBER..].copy_from_slice(&number);
    Nonce::assume_unique_for_key(nonce)
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
        self.sealer.is_some()
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
    fn other_processes_open_it_too() {
        let [here, there] = [(); 2].map(|()| Tickets::new(&[[1; 32]], 0, ""));
        for process in [&here, &there] {
            let ticket = process.seal(b"session").expect("sealed");
            assert_eq!(here.open(&ticket).as_deref(), Some(&b"session"[..]));
            assert_eq!(there.open(&ticket).as_deref(), Some(&b"session"[..]));
        }
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
