//! A file descriptor as a field of what is encoded.
//!
//! Its number means nothing to another process. What is encoded is its place among the descriptors that travel beside the bytes
//! (`SCM_RIGHTS`, unix(7)): [`gathered`] collects them while something is encoded, [`claimed`] gives them back while it is decoded.
//! [`Encoded`] does both for what is written by one program and read by the next.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::LocalKey;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::message_pack::{from_message_pack, to_message_pack};

/// A descriptor that is sent with what it is a field of.
///
/// `None`: it was lost on the way, since the receiver had no number left for it.
#[derive(Clone, Debug)]
pub struct Fd(Option<Arc<OwnedFd>>);

/// The descriptors that came are not those that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("{arrived} file descriptors came, and {named} are named")]
    Count { arrived: usize, named: usize },
    #[error("a file descriptor is named twice")]
    Twice,
}

/// What becomes of descriptors that no field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclaimed {
    Refuse,
    /// They are closed. A later release may have written fields that this one does not know.
    Close,
}

/// Descriptors while they are given back.
#[derive(Default)]
struct Arrived {
    /// `None`: some were lost, so that none can be told from another.
    fds: Option<Vec<Option<Fd>>>,
    named: usize,
    twice: bool,
}

thread_local! {
    static GATHERED: RefCell<Option<Vec<Arc<OwnedFd>>>> = const { RefCell::new(None) };
    static ARRIVED: RefCell<Option<Arrived>> = const { RefCell::new(None) };
}

/// Encodes something. Returns the descriptors that are fields of it too, which have to travel with it in this order.
pub(super) fn gathered<R>(encode: impl FnOnce() -> R) -> (R, Vec<Arc<OwnedFd>>) {
    within(&GATHERED, Vec::new(), encode)
}

/// Decodes something that came with these descriptors; `None`: some of them were lost. None may be a field of it twice. Those of
/// what cannot be decoded are closed.
pub(super) fn claimed<R, E>(
    fds: Option<Vec<Fd>>,
    unclaimed: Unclaimed,
    decode: impl FnOnce() -> Result<R, E>,
) -> Result<Result<R, E>, Mismatch> {
    let count = fds.as_ref().map(Vec::len);
    let fds = fds.map(|fds| fds.into_iter().map(Some).collect());
    let (decoded, Arrived { named, twice, .. }) = within(&ARRIVED, Arrived { fds, ..Arrived::default() }, decode);
    let is_wrong = |arrived| match unclaimed {
        Unclaimed::Refuse => arrived != named,
        Unclaimed::Close => arrived < named,
    };
    match count.filter(|arrived| decoded.is_ok() && is_wrong(*arrived)) {
        Some(arrived) => Err(Mismatch::Count { arrived, named }),
        None if twice => Err(Mismatch::Twice),
        None => Ok(decoded),
    }
}

/// Acts while `passing` is in its place. What was there before returns to it, whatever comes.
fn within<T: Default, R>(place: &'static LocalKey<RefCell<Option<T>>>, passing: T, act: impl FnOnce() -> R) -> (R, T) {
    struct Before<T: 'static>(&'static LocalKey<RefCell<Option<T>>>, Option<T>);
    impl<T> Drop for Before<T> {
        fn drop(&mut self) {
            self.0.replace(self.1.take());
        }
    }
    let _before = Before(place, place.replace(Some(passing)));
    let result = act();
    (result, place.take().unwrap_or_default())
}

impl Arrived {
    fn claim(&mut self, index: usize) -> Fd {
        self.named += 1;
        let fd = self.fds.as_mut().and_then(|fds| fds.get_mut(index));
        self.twice |= fd.as_ref().is_some_and(|fd| fd.is_none());
        fd.and_then(Option::take).unwrap_or(Fd(None))
    }
}

impl Fd {
    /// One that its owner keeps too, under a number of its own.
    pub fn duplicate(of: &impl AsFd) -> io::Result<Fd> {
        of.as_fd().try_clone_to_owned().map(Fd::from)
    }

    /// One that others have too.
    pub fn shared(fd: &Arc<OwnedFd>) -> Fd {
        Fd(Some(fd.clone()))
    }

    /// The descriptor itself. Fails if it was lost.
    pub fn into_owned(self) -> io::Result<OwnedFd> {
        Arc::try_unwrap(self.into_shared()?).or_else(|shared| shared.try_clone())
    }

    /// The descriptor itself, for several owners. Fails if it was lost.
    pub fn into_shared(self) -> io::Result<Arc<OwnedFd>> {
        self.0
            .ok_or_else(|| io::Error::other("a file descriptor was lost on the way: too many are open in this process"))
    }
}

impl<T: Into<OwnedFd>> From<T> for Fd {
    fn from(fd: T) -> Fd {
        Fd(Some(Arc::new(fd.into())))
    }
}

impl Serialize for Fd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fd = self.0.clone().ok_or_else(|| serde::ser::Error::custom("a file descriptor that was lost"))?;
        let place = GATHERED.with_borrow_mut(|gathered| {
            let gathered = gathered.as_mut()?;
            gathered.push(fd);
            Some(gathered.len() as u64 - 1)
        });
        place.ok_or_else(|| serde::ser::Error::custom("no file descriptor can travel here"))?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fd, D::Error> {
        let index = usize::deserialize(deserializer)?;
        let fd = ARRIVED.with_borrow_mut(|arrived| arrived.as_mut().map(|arrived| arrived.claim(index)));
        fd.ok_or_else(|| serde::de::Error::custom("no file descriptor can have come here"))
    }
}

/// The owner of a descriptor as a field: `#[serde(with = "control::owner")]`. The descriptor is duplicated for the way.
pub mod owner {
    use super::*;

    pub fn serialize<T: AsFd, S: Serializer>(owner: &T, serializer: S) -> Result<S::Ok, S::Error> {
        Fd::duplicate(owner).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub fn deserialize<'de, T: From<OwnedFd>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        Fd::deserialize(deserializer)?.into_owned().map(T::from).map_err(serde::de::Error::custom)
    }
}

/// A shared descriptor as a field: `#[serde(with = "control::shared")]`. It needs no second number for the way.
pub mod shared {
    use super::*;

    pub fn serialize<S: Serializer>(fd: &Arc<OwnedFd>, serializer: S) -> Result<S::Ok, S::Error> {
        Fd::shared(fd).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<OwnedFd>, D::Error> {
        Fd::deserialize(deserializer)?.into_shared().map_err(serde::de::Error::custom)
    }
}

/// Owners of descriptors as a field: `#[serde(with = "control::owners")]`. The descriptors are duplicated for the way.
pub mod owners {
    use super::*;

    pub fn serialize<'a, C, S: Serializer>(owners: &'a C, serializer: S) -> Result<S::Ok, S::Error>
    where
        &'a C: IntoIterator<Item: AsFd>,
    {
        let fds = owners.into_iter().map(|owner| Fd::duplicate(&owner)).collect::<io::Result<Vec<Fd>>>();
        fds.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub fn deserialize<'de, C, T: From<OwnedFd>, D: Deserializer<'de>>(deserializer: D) -> Result<C, D::Error>
    where
        C: IntoIterator<Item = T> + FromIterator<T>,
    {
        let owner = |fd: Fd| fd.into_owned().map(T::from);
        let owners = Vec::<Fd>::deserialize(deserializer)?.into_iter().map(owner).collect::<io::Result<C>>();
        owners.map_err(serde::de::Error::custom)
    }
}

/// Something in MessagePack, and the descriptors that are fields of it. What one release writes another reads: fields have names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Encoded {
    pub bytes: Bytes,
    pub fds: Vec<Fd>,
}

impl Encoded {
    /// Encodes something.
    pub fn of(value: &impl Serialize) -> io::Result<Encoded> {
        let (bytes, fds) = gathered(|| to_message_pack(value));
        let bytes = bytes.map_err(io::Error::other)?;
        Ok(Encoded { bytes, fds: fds.into_iter().map(|fd| Fd(Some(fd))).collect() })
    }

    /// Decodes it. Fails where it names a descriptor twice, or one that is not there.
    pub fn decode<T: DeserializeOwned>(self) -> io::Result<T> {
        let decoded = claimed(Some(self.fds), Unclaimed::Close, || from_message_pack(&self.bytes));
        decoded.map_err(unreadable)?.map_err(unreadable)
    }
}

fn unreadable(why: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;
    use crate::sys::observe::inode;

    #[derive(Debug, Serialize, Deserialize)]
    struct Message {
        name: String,
        first: Fd,
        others: Vec<(u32, Fd)>,
        maybe: Option<Fd>,
    }

    /// A file of its own, so that it can be told from others.
    fn file() -> OwnedFd {
        crate::sys::memory::file(b"").expect("a file without a name")
    }

    fn numbers(fds: &[Arc<OwnedFd>]) -> Vec<u64> {
        fds.iter().map(|fd| inode(fd.as_fd()).expect("open")).collect()
    }

    fn message(others: u32, maybe: bool) -> Message {
        let others = (0..others).map(|number| (number, file().into())).collect();
        Message { name: "m".to_owned(), first: file().into(), others, maybe: maybe.then(|| file().into()) }
    }

    fn encoded(message: &Message) -> (Vec<u8>, Vec<Arc<OwnedFd>>) {
        let (bytes, fds) = gathered(|| rmp_serde::to_vec_named(message));
        (bytes.expect("MessagePack"), fds)
    }

    fn owned(fds: &[Arc<OwnedFd>]) -> Vec<Fd> {
        fds.iter().map(|fd| Fd::duplicate(fd).expect("a duplicate")).collect()
    }

    fn decoded(bytes: &[u8], fds: Option<Vec<Fd>>) -> Result<Message, String> {
        let read = claimed(fds, Unclaimed::Refuse, || rmp_serde::from_slice::<Message>(bytes))
            .map_err(|error| error.to_string())?;
        read.map_err(|error| error.to_string())
    }

    proptest! {
        #[test]
        fn each_field_gets_its_own_descriptor_back(others in 0_u32..20, maybe: bool) {
            let (bytes, fds) = encoded(&message(others, maybe));
            let again = decoded(&bytes, Some(owned(&fds))).expect("readable");
            prop_assert_eq!(numbers(&encoded(&again).1), numbers(&fds));
        }
    }

    #[test]
    fn too_few_and_unclaimed_ones_are_told_with_their_numbers() {
        let (bytes, fds) = encoded(&message(2, false));
        let mut fds = owned(&fds);
        fds.push(file().into());
        let told = decoded(&bytes, Some(fds)).expect_err("one too many");
        assert_eq!(told, "4 file descriptors came, and 3 are named");
        let told = decoded(&bytes, Some(vec![file().into()])).expect_err("two are missing");
        assert_eq!(told, "1 file descriptors came, and 3 are named");
    }

    #[test]
    fn one_that_two_fields_name_is_refused() {
        let bytes = rmp_serde::to_vec(&(0, 0)).expect("MessagePack");
        let both = vec![file().into(), file().into()];
        let read = claimed(Some(both), Unclaimed::Refuse, || rmp_serde::from_slice::<(Fd, Fd)>(&bytes));
        assert!(matches!(read, Err(Mismatch::Twice)));
    }

    /// What owns descriptors itself.
    #[derive(Serialize, Deserialize)]
    struct Owners {
        #[serde(with = "owner")]
        one: std::fs::File,
        #[serde(with = "shared")]
        shared: Arc<OwnedFd>,
        #[serde(with = "owners")]
        several: std::collections::VecDeque<OwnedFd>,
    }

    #[test]
    fn owners_keep_theirs_and_the_reader_gets_the_same() {
        let owners = Owners { one: file().into(), shared: file().into(), several: [file(), file()].into() };
        let all = |owners: &Owners| {
            let several = owners.several.iter().map(AsFd::as_fd);
            let fds = [owners.one.as_fd(), owners.shared.as_fd()].into_iter().chain(several);
            fds.map(|fd| inode(fd).expect("open")).collect::<Vec<_>>()
        };
        let again: Owners = Encoded::of(&owners).expect("open").decode().expect("readable");
        assert_eq!(all(&again), all(&owners));
    }

    #[test]
    fn an_older_release_closes_what_it_does_not_know() {
        #[derive(Serialize)]
        struct Later {
            first: Fd,
            later: Fd,
        }
        #[derive(Debug, Deserialize)]
        struct Older {
            first: Fd,
        }
        let later = Later { first: file().into(), later: file().into() };
        let mut encoded = Encoded::of(&later).expect("open");
        let Older { first } = encoded.clone().decode().expect("readable");
        let first = first.into_owned().expect("it came");
        assert_eq!(inode(first.as_fd()).ok(), later.first.0.and_then(|fd| inode(fd.as_fd()).ok()));
        encoded.fds.clear();
        let why = encoded.decode::<Older>().expect_err("none came").to_string();
        assert_eq!(why, "0 file descriptors came, and 1 are named");
    }

    #[test]
    fn where_some_were_lost_all_else_is_read() {
        let (bytes, _) = encoded(&message(2, true));
        let read = decoded(&bytes, None).expect("readable");
        assert_eq!(read.name, "m");
        let why = read.first.into_owned().expect_err("lost");
        assert!(why.to_string().contains("too many are open"), "{why}");
    }

    #[test]
    fn outside_of_what_carries_descriptors_there_are_none() {
        let why = rmp_serde::to_vec(&Fd::from(file())).expect_err("nobody sends it").to_string();
        assert!(why.contains("can travel here"), "{why}");
        let why = rmp_serde::from_slice::<Fd>(&[0]).expect_err("nobody has sent it").to_string();
        assert!(why.contains("can have come here"), "{why}");
    }
}
