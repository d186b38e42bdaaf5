//! The first bytes of a connection: a proxy's header where one is due, and which HTTP it is.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::builder::Settings;
use super::exchange::ConnInfo;
use super::proxy;
use crate::serve::Stream;
use crate::serve::drain::{Seen, Watch};

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Enough for most heads, so that hyper finds all of it in what was read here.
const FIRST_READ: usize = 1024;

/// Who has just connected is about to ask, and would lose the request to a drain that came first: so long after its start a
/// connection that is silent still is no idle one. Enough for a packet that is lost and sent again.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until it is known what the connection speaks, and corrects `info` by what a proxy tells. `None` where nothing will come
/// of it: the client has gone, was too slow or sent no valid header, or the drain came first.
pub(super) async fn sniff(
    stream: &mut Stream,
    mut watch: Pin<&mut Watch>,
    settings: &Settings,
    info: &mut ConnInfo,
) -> Option<(Protocol, Bytes)> {
    let mut read = BytesMut::with_capacity(FIRST_READ);
    let mut proxied = !settings.proxy_protocol;
    let mut begun = None;
    loop {
        let patience = begun.map_or(settings.keep_alive_timeout, |_| settings.header_timeout);
        let draining = watch.is_draining();
        let more = More { stream, watch: watch.as_mut(), read: &mut read, patience, since: begun, draining };
        more.await?;
        if !proxied {
            let Some(header) = proxy::parse(&read).ok()? else {
                begun = begun.or_else(|| Some(Instant::now()));
                continue;
            };
            let _ = read.split_to(header.length);
            header.tell(info);
            proxied = true;
        }
        if let Some(protocol) = tell(&read) {
            watch.tell_again();
            return Some((protocol, read.freeze()));
        }
        begun = begun.or_else(|| Some(Instant::now()));
    }
}

/// Waits for more bytes of a connection's beginning. `None` when the connection is to be given up.
struct More<'a> {
    stream: &'a mut Stream,
    watch: Pin<&'a mut Watch>,
    read: &'a mut BytesMut,
    patience: Duration,
    /// When the first byte came; from the first time of waiting where none has. Most connections need neither.
    since: Option<Instant>,
    draining: bool,
}

impl Future for More<'_> {
    type Output = Option<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let this = &mut *self;
        if let Poll::Ready(count) = pin!(this.stream.read_buf(this.read)).poll(cx) {
            return Poll::Ready(count.is_ok_and(|count| count > 0).then_some(()));
        }
        let since = *this.since.get_or_insert_with(Instant::now);
        loop {
            // A drain lets go of a client that has long not said a word, and gives the others their time.
            let patience = if this.draining && this.read.is_empty() { FIRST_WORD } else { this.patience };
            match ready!(this.watch.as_mut().poll(cx, Some(since + patience))) {
                Seen::Drain => this.draining = true,
                Seen::Due | Seen::Cut => return Poll::Ready(None),
            }
        }
    }
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
