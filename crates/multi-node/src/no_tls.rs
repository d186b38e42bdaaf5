//! Stands for `tls.rs` in builds without that feature, where no server has TLS.

use crate::Error;
use crate::servers::Servers;
use crate::tls_state::{TlsSource, TlsState};

/// There is none.
#[derive(Debug)]
pub(crate) enum Keeper {}

impl Keeper {
    pub(crate) fn load(_: &Servers) -> Result<Option<Keeper>, Error> {
        Ok(None)
    }

    pub(crate) fn inherit_keys(&mut self, _: &TlsState) {
        match *self {}
    }

    pub(crate) fn start(self) -> Result<TlsSource, Error> {
        match self {}
    }
}

/// Nothing is received.
#[derive(Clone, Debug)]
pub(crate) struct Receivers;

impl Receivers {
    pub(crate) fn of(_: &Servers) -> Receivers {
        Receivers
    }

    pub(crate) fn replace(&self, _: &TlsState) -> Result<(), String> {
        Ok(())
    }
}
