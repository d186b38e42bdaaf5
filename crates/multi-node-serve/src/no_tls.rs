//! Stands for `tls.rs` in builds without that feature, where no server has TLS.

use std::sync::Arc;

use bytes::Bytes;

use super::boxed::{BoxError, BoxFuture};
use super::drain::DrainSignal;
use super::stream::Stream;
use super::terminator::Terminator;

pub(crate) enum Handshakes {}

impl Handshakes {
    #[expect(clippy::needless_pass_by_value, reason = "as with TLS")]
    pub(crate) fn new(terminator: Arc<Terminator>) -> Result<Handshakes, BoxError> {
        match *terminator {}
    }

    pub(crate) fn secure(&self, _: Stream, _: Bytes, _: &DrainSignal) -> BoxFuture<Option<Stream>> {
        match *self {}
    }
}
