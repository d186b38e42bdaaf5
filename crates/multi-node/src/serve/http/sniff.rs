//! The first bytes of a connection: a proxy's header where one is due, and which HTTP it is.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::builder::{Settings, Shared};
use super::exchange::ConnInfo;
use super::proxy;
use crate::serve::drain::{Seen, Watch};
use crate::serve::{DrainSignal, Stream};

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Enough for most heads, so that hyper finds all of it in what was read here.
const FIRST_READ: usize = 1024;

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What came of a connection's first bytes.
pub(super) enum Sniffed {
    /// It speaks this, and began like that.
    Speaks(Protocol, Bytes),
    /// The drain came before enough was said, and another process may have it, with what was read.
    Leaves(Bytes),
    /// It is to be closed: the client has gone, was too slow or sent no valid header, or the drain came first.
    Nothing,
}

/// A connection of which nobody knows yet what it speaks.
pub(super) struct Opening<'a> {
    pub(super) shared: &'a Shared,
    /// What was read already.
    pub(super) before: Bytes,
    /// Whether a proxy's header has to come first.
    pub(super) proxied: bool,
    /// No other process will have it.
    pub(super) stays: bool,
}

/// Reads until it is known what the connection speaks, and corrects `info` by what a proxy tells.
pub(super) async fn sniff(
    stream: &mut Stream,
    mut watch: Pin<&mut Watch>,
    opening: Opening<'_>,
    info: &mut ConnInfo,
) -> Sniffed {
    let Opening { shared, before, mut proxied, stays } = opening;
    if !proxied && let Some(protocol) = tell(&before) {
        return Sniffed::Speaks(protocol, before);
    }
    let Settings { keep_alive_timeout, header_timeout, .. } = shared.settings;
    let mut deadline = Instant::now() + if before.is_empty() { keep_alive_timeout } else { header_timeout };
    let mut read = BytesMut::with_capacity(FIRST_READ);
    read.extend_from_slice(&before);
    loop {
        let was_empty = read.is_empty();
        // Without the proxy's header it cannot be passed on, since that is not looked for a second time.
        let leaves = !proxied && !stays && shared.gives();
        let count = tokio::select! {
            biased;
            count = stream.read_buf(&mut read) => count.unwrap_or(0),
            // A drain lets go of a client that has not said a word, and gives the others their time.
            () = until(watch.as_mut(), &shared.drain, deadline, leaves || was_empty) => {
                let leaves = leaves && shared.drain.is_draining();
                return if leaves { Sniffed::Leaves(read.freeze()) } else { Sniffed::Nothing };
            }
        };
        if count == 0 {
            return Sniffed::Nothing;
        }
        if was_empty {
            deadline = Instant::now() + header_timeout;
        }
        if proxied {
            match proxy::parse(&read) {
                Err(_) => return Sniffed::Nothing,
                Ok(None) => continue,
                Ok(Some(header)) => {
                    let _ = read.split_to(header.length);
                    header.tell(info);
                    proxied = false;
                }
            }
        }
        if let Some(protocol) = tell(&read) {
            return Sniffed::Speaks(protocol, read.freeze());
        }
    }
}

/// Resolves when the connection is to be given up, at the latest at its deadline, and where it `yields` to a drain then.
async fn until(mut watch: Pin<&mut Watch>, drain: &DrainSignal, deadline: Instant, yields: bool) {
    poll_fn(|cx| {
        loop {
            if yields && drain.is_draining() {
                return Poll::Ready(());
            }
            match ready!(watch.as_mut().poll(cx, Some(deadline))) {
                Seen::Drain => {}
                Seen::Due | Seen::Cut => return Poll::Ready(()),
            }
        }
    })
    .await;
}

/// The protocol, as soon as the bytes tell.
fn tell(read: &[u8]) -> Option<Protocol> {
    if read.starts_with(PREFACE) {
        Some(Protocol::Http2)
    } else if PREFACE.starts_with(read) {
        None
    } else {
        Some(Protocol::Http1)
    }
}

/// Half a preface is told apart from HTTP/1 by its first byte that differs.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart() {
        assert_eq!(tell(b""), None);
        assert_eq!(tell(b"P"), None);
        assert_eq!(tell(b"POST / HTTP/1.1\r\n"), Some(Protocol::Http1));
        assert_eq!(tell(b"PRI * HTTP/2.0\r\n\r\n"), None);
        assert_eq!(tell(b"PRI * HTTP/2.0\r\n\r\nSX"), Some(Protocol::Http1));
        assert_eq!(tell(PREFACE), Some(Protocol::Http2));
        assert_eq!(tell(&[PREFACE, b"\0\0"].concat()), Some(Protocol::Http2));
    }
}
