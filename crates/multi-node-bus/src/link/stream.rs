//! The two halves of a link's socket.

#[cfg(unix)]
pub(crate) use halves::{ReadHalf, WriteHalf, halves};
/// Systems without Unix sockets have no links. There the types of TCP take their place.
#[cfg(not(unix))]
pub(crate) use tokio::net::tcp::{OwnedReadHalf as ReadHalf, OwnedWriteHalf as WriteHalf};

/// The halves of tokio would wait for both directions at once. So each read of the peer would wake this process, since it makes room
/// for writing: for nothing, and just when the processes that have got a message need the processor. Here only the reader is
/// registered, and a writer as long as it waits for room.
#[cfg(unix)]
mod halves {
    use std::io::{self, Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::time::sleep;

    /// How long a writer pauses that cannot be registered, since there are too many open files.
    const PAUSE: Duration = Duration::from_millis(1);

    #[derive(Debug)]
    pub(crate) struct ReadHalf(AsyncFd<Arc<UnixStream>>);

    /// Its end is the end of what the peer reads.
    #[derive(Debug)]
    pub(crate) struct WriteHalf(Arc<UnixStream>);

    /// # Errors
    ///
    /// When the socket cannot be registered with the runtime.
    pub(crate) fn halves(stream: UnixStream) -> io::Result<(ReadHalf, WriteHalf)> {
        stream.set_nonblocking(true)?;
        let stream = Arc::new(stream);
        Ok((ReadHalf(register(stream.clone(), Interest::READABLE)?), WriteHalf(stream)))
    }

    #[expect(deprecated, reason = "unsound only for types whose descriptor changes, which those of std do not")]
    fn register(stream: Arc<UnixStream>, interest: Interest) -> io::Result<AsyncFd<Arc<UnixStream>>> {
        AsyncFd::with_interest(stream, interest)
    }

    impl ReadHalf {
        /// Waits for bytes, or for the end. It is cancel safe.
        pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            loop {
                let mut ready = self.0.readable().await?;
                let mut stream: &UnixStream = ready.get_inner();
                match stream.read(buffer) {
                    Ok(read) => {
                        if (1..buffer.len()).contains(&read) {
                            // That was all. What comes after the read is another event, which this does not clear.
                            ready.clear_ready();
                        }
                        return Ok(read);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    impl WriteHalf {
        /// Writes what there is room for.
        pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            let mut stream: &UnixStream = &self.0;
            stream.write(bytes)
        }

        /// Waits until there may be room. It is registered by a copy of the descriptor, since the reader is by the other.
        pub(crate) async fn writable(&self) -> io::Result<()> {
            let Ok(copy) = self.0.try_clone() else {
                sleep(PAUSE).await;
                return Ok(());
            };
            drop(register(Arc::new(copy), Interest::WRITABLE)?.writable().await?);
            Ok(())
        }
    }

    impl Drop for WriteHalf {
        fn drop(&mut self) {
            // An error means that the peer is gone.
            let _ = self.0.shutdown(Shutdown::Write);
        }
    }
}
