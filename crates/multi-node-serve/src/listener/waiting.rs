//! The end of a listener: connections that are not accepted yet when a process drains.

use std::io;
use std::task::{Context, Poll, Waker};

use super::failure::passes_at_once;
use super::source::Source;
#[cfg(multi_process)]
use super::source::{accept_offered, accept_unregistered};
use super::{Listener, Transport};
use crate::Addr;
use crate::drain::Waiting;
use crate::stream::Stream;
#[cfg(unix)]
use crate::stream::{Open, UnregisteredStream};

/// How many connections a process that drains takes at most of those that wait: more than wait by default
/// (`net.core.somaxconn`), and an end where others come all the time.
pub(super) const MOST: u32 = 1 << 16;

/// How many of them are taken in a row; a divisor of [`MOST`].
const AT_ONCE: u32 = 64;

impl Listener {
    /// Once the drain has begun: the next connection that waits still, where no other process takes it. `None`: none does.
    /// Cancel-safe.
    pub(super) async fn next_waiting(&mut self) -> Option<(Stream, Addr)> {
        // Those who were taken have their turn, and tokio looks for connections that it has not seen yet. Not each time, or else
        // the queue would never be empty where one client after the other comes.
        if self.last.is_multiple_of(AT_ONCE) {
            tokio::task::yield_now().await;
        }
        let (index, (io, peer)) = self.take_waiting(Source::accept_waiting)?;
        Some(self.accepted(index, io, peer))
    }

    /// As [`next_waiting`](Self::next_waiting), at once, and for a connection that this process's runtime is not to watch.
    #[cfg(unix)]
    pub(crate) fn unregistered_waiting(&mut self) -> Option<(UnregisteredStream, Open)> {
        let (_, socket) = self.take_waiting(Source::accept_unregistered_waiting)?;
        Some((socket, self.tracker.enter()))
    }

    /// Accepts from any source in which a connection waits, and returns the source's number. If none waits and the whole
    /// program ends, the socket is closed, so that new clients get an error at once.
    fn take_waiting<T>(&mut self, accept: impl Fn(&mut Source) -> io::Result<T>) -> Option<(usize, T)> {
        let waiting = self.drain.waiting();
        if waiting == Waiting::Left || self.last == 0 {
            return None;
        }
        for (index, source) in self.sources.iter_mut().enumerate() {
            let error = loop {
                match accept(source) {
                    Ok(accepted) => {
                        self.last -= 1;
                        return Some((index, accepted));
                    }
                    Err(error) if is_empty(&error) || !passes_at_once(&error) => break error,
                    Err(_) => {}
                }
            };
            if is_empty(&error) && waiting == Waiting::TakenAndClosed {
                source.close();
            }
        }
        None
    }
}

impl Source {
    /// A connection that waits, without regard to other processes.
    fn accept_waiting(&mut self) -> io::Result<(Transport, Addr)> {
        match self {
            #[cfg(multi_process)]
            Source::Gated(_, socket) => accept_offered(socket),
            alone => at_once(|cx| alone.poll_accept(cx)),
        }
    }

    /// As [`accept_waiting`](Self::accept_waiting), for a connection that no runtime is to watch.
    #[cfg(unix)]
    fn accept_unregistered_waiting(&mut self) -> io::Result<UnregisteredStream> {
        match self {
            #[cfg(multi_process)]
            Source::Gated(_, socket) => accept_unregistered(socket),
            alone => at_once(|cx| alone.poll_accept_unregistered(cx)),
        }
    }

    /// Closes the socket to all clients. A process that is alone does so by dropping it.
    fn close(&self) {
        #[cfg(multi_process)]
        if let Source::Gated(_, socket) = self
            && let Err(error) = multi_node_sys::epoll::stop_listening(socket)
        {
            multi_node_sys::log::debug!(%error, "another process has closed the listening socket");
        }
    }
}

/// Whether nothing waits.
fn is_empty(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// What is ready now; `WouldBlock` where nothing is.
fn at_once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => ready,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
