//! The streams of links: Unix sockets. Where a system has none there are no links, and the types of TCP stand in their place.

#[cfg(not(unix))]
pub(crate) use tokio::net::TcpStream as Stream;
#[cfg(unix)]
pub(crate) use tokio::net::UnixStream as Stream;
#[cfg(not(unix))]
pub(crate) use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(unix)]
pub(crate) use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
