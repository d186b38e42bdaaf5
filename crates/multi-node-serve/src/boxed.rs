//! Futures and errors of any kind.

use std::future::Future;
use std::pin::Pin;

/// Why a server could not be made, or has failed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
