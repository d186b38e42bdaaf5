//! A file descriptor as a field of what is encoded.
//!
//! Its number means nothing to another process. What is encoded is its place among the descriptors that travel beside the bytes
//! (`SCM_RIGHTS`, unix(7)): [`gathered`] collects them while something is encoded, [`claimed`] gives them back while it is decoded.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::LocalKey;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Descriptors while they are given back.
#[derive(Default)]
struct Arrived {
    /// `None`: some were lost, so that none can be told from another.
    fds: Option<Vec<Option<OwnedFd>>>,
    named: usize,
    twice: bool,
}

thread_local! {
    static GATHERED: RefCell<Option<Vec<Arc<OwnedFd>>>> = const { RefCell::new(None) };
    static ARRIVED: RefCell<Option<Arrived>> = const { RefCell::new(None) };
}

/// Encodes something. Returns the descriptors that are fields of it too, which have to travel with it in this order.
pub fn gathered<R>(encode: impl FnOnce() -> R) -> (R, Vec<Arc<OwnedFd>>) {
    within(&GATHERED, Vec::new(), encode)
}

/// Decodes something that came with these descriptors; `None`: some of them were lost. Each has to be a field of it, once. Those of
/// what cannot be decoded are closed.
pub fn claimed<R, E>(
    fds: Option<Vec<OwnedFd>>,
    decode: impl FnOnce() -> Result<R, E>,
) -> Result<Result<R, E>, Mismatch> {
    let count = fds.as_ref().map(Vec::len);
    let fds = fds.map(|fds| fds.into_iter().map(Some).collect());
    let (decoded, arrived) = within(&ARRIVED, Arrived { fds, ..Arrived::default() }, decode);
    match (count, arrived.named) {
        (Some(arrived), named) if decoded.is_ok() && arrived != named => Err(Mismatch::Count { arrived, named }),
        _ if arrived.twice => Err(Mismatch::Twice),
        _ => Ok(decoded),
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
        Fd(fd.and_then(Option::take).map(Arc::new))
    }
}

impl Fd {
    /// The descriptor itself. Fails if it was lost.
    pub fn into_owned(self) -> io::Result<OwnedFd> {
        let lost = || io::Error::other("a file descriptor was lost on the way: too many are open in this process");
        Arc::try_unwrap(self.0.ok_or_else(lost)?).or_else(|shared| shared.try_clone())
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

#[cfg(test)]
mod tests {

    use std::os::fd::AsFd;

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

    fn owned(fds: &[Arc<OwnedFd>]) -> Vec<OwnedFd> {
        fds.iter().map(|fd| fd.try_clone().expect("a duplicate")).collect()
    }

    fn decoded(bytes: &[u8], fds: Option<Vec<OwnedFd>>) -> Result<Message, String> {
        let read = claimed(fds, || rmp_serde::from_slice::<Message>(bytes)).map_err(|error| error.to_string())?;
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
        fds.push(file());
        let told = decoded(&bytes, Some(fds)).expect_err("one too many");
        assert_eq!(told, "4 file descriptors came, and 3 are named");
        let told = decoded(&bytes, Some(vec![file()])).expect_err("two are missing");
        assert_eq!(told, "1 file descriptors came, and 3 are named");
    }

    #[test]
    fn one_that_two_fields_name_is_refused() {
        let bytes = rmp_serde::to_vec(&(0, 0)).expect("MessagePack");
        let both = vec![file(), file()];
        let read = claimed(Some(both), || rmp_serde::from_slice::<(Fd, Fd)>(&bytes));
        assert!(matches!(read, Err(Mismatch::Twice)));
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
