//! The bytes of a connection, by whichever protocol they come.

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) type Stream = Box<dyn Bytes>;

pub(crate) trait Bytes: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin> Bytes for T {}
