//! The first bytes of a connection: a proxy's header where one is due, and which HTTP it is.

use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::proxy;
use super::shared::{Settings, Shared};
use crate::Stream;
use crate::conn_info::ConnInfo;
use crate::drain::{Seen, Watch};

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// So much is read at once: enough for most heads, so that hyper finds all of it in what was read here.
const AT_ONCE: usize = 1024;

/// A new client is about to send its request, and would lose it to a drain that came first. So a silent connection does not
/// count as idle until this time after its start. That is enough for a packet that is lost and sent again.
const FIRST_WORD: Duration = Duration::from_secs(1);

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
    /// Close the connection: the client has gone, was too slow or sent no valid header, or the drain came first.
    Nothing,
}

/// A connection whose protocol is not known yet.
pub(super) struct Opening<'a> {
    pub(super) shared: &'a Shared,
    /// What was read already.
    pub(super) before: Bytes,
    /// Whether a proxy's header has to come first.
    pub(super) proxied: bool,
    /// No other process will have it.
    pub(super) stays: bool,
}

/// Reads until the protocol of the connection is known, and corrects `info` by a proxy's header.
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
    let mut begun = (!before.is_empty()).then(Instant::now);
    let mut read = BytesMut::from(before);
    loop {
        // Without the proxy's header it cannot be passed on, since that is not looked for a second time.
        let leaves = !proxied && !stays && shared.gives();
        let idle_timeout = if begun.is_some() { header_timeout } else { keep_alive_timeout };
        let more = More { shared, stream, watch: watch.as_mut(), read: &mut read, idle_timeout, since: begun, leaves };
        match more.await {
            Came::Bytes => {}
            Came::Drain => return Sniffed::Leaves(read.freeze()),
            Came::Nothing => return Sniffed::Nothing,
        }
        if proxied {
            match proxy::parse(&read) {
                Err(_) => return Sniffed::Nothing,
                Ok(None) => {}
                Ok(Some(header)) => {
                    let _ = read.split_to(header.length);
                    header.tell(info);
                    proxied = false;
                }
            }
        }
        if !proxied && let Some(protocol) = tell(&read) {
            watch.tell_again();
            return Sniffed::Speaks(protocol, read.freeze());
        }
        begun = begun.or_else(|| Some(Instant::now()));
    }
}

/// Reads the header of a proxy alone, and corrects `info` by it. What came behind it is returned; `None`: close the connection.
pub(super) async fn proxy_header(
    stream: &mut Stream,
    mut watch: Pin<&mut Watch>,
    shared: &Shared,
    info: &mut ConnInfo,
) -> Option<Bytes> {
    let mut read = BytesMut::new();
    let since = Some(Instant::now());
    loop {
        let idle_timeout = shared.settings.header_timeout;
        let more = More { shared, stream, watch: watch.as_mut(), read: &mut read, idle_timeout, since, leaves: false };
        let Came::Bytes = more.await else { return None };
        if let Some(header) = proxy::parse(&read).ok()? {
            header.tell(info);
            watch.tell_again();
            return Some(read.split_off(header.length).freeze());
        }
    }
}

/// Waits for more bytes of a connection's beginning.
struct More<'a> {
    shared: &'a Shared,
    stream: &'a mut Stream,
    watch: Pin<&'a mut Watch>,
    read: &'a mut BytesMut,
    idle_timeout: Duration,
    /// When the first byte came; from the first time of waiting where none has. Most connections need neither.
    since: Option<Instant>,
    /// Whether another process may have the connection in a drain.
    leaves: bool,
}

/// What came of the waiting.
enum Came {
    Bytes,
    /// The drain, and the connection may go to another process.
    Drain,
    /// Give the connection up.
    Nothing,
}

impl More<'_> {
    /// Reads once. A connection that is silent has no memory for it, and what came gets a piece of its own size.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        let mut room = [MaybeUninit::uninit(); AT_ONCE];
        let mut buffer = ReadBuf::uninit(&mut room);
        let polled = ready!(Pin::new(&mut *self.stream).poll_read(cx, &mut buffer));
        self.read.extend_from_slice(buffer.filled());
        Poll::Ready(if polled.is_ok() && !buffer.filled().is_empty() { Came::Bytes } else { Came::Nothing })
    }

    /// A drain lets go of a client that has long not said a word, and gives the others their time.
    fn due(&self, since: Instant, draining: bool) -> Instant {
        let idle = since + self.idle_timeout;
        match draining && self.read.is_empty() {
            true => self.shared.kept_until().map_or(since + FIRST_WORD, |until| until.min(idle)),
            false => idle,
        }
    }
}

impl Future for More<'_> {
    type Output = Came;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Came> {
        let this = &mut *self;
        if let Poll::Ready(came) = this.poll_bytes(cx) {
            return Poll::Ready(came);
        }
        let since = *this.since.get_or_insert_with(Instant::now);
        loop {
            let draining = this.watch.is_draining();
            if draining && this.leaves {
                return Poll::Ready(Came::Drain);
            }
            let due = this.due(since, draining);
            match ready!(this.watch.as_mut().poll(cx, Some(due))) {
                Seen::Drain => {}
                Seen::Due | Seen::Cut => return Poll::Ready(Came::Nothing),
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

/// The first byte that differs from HTTP/1 decides, so half a preface is enough.
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
