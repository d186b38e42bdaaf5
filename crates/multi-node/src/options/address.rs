//! Addresses as people write them.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;

/// An address to bind, before names are resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Address, Error> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(refused(text)) } else { Ok(Address::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| refused(text))?;
        let port = port.parse().map_err(|_| refused(text))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // A bare IPv6 address has colons of its own, so where it ends must be said.
        if bare.is_none() && host.contains(':') {
            return Err(refused(text));
        }
        Address::tcp(bare.unwrap_or(host), port)
    }

    pub(crate) fn tcp(host: &str, port: u16) -> Result<Address, Error> {
        if host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(Error::Option {
                option: "host",
                value: host.to_owned(),
                allowed: "expected an IPv4 address, an IPv6 address, or a host name".to_owned(),
            });
        }
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        Ok(Address::Tcp { host: host.to_owned(), port })
    }
}

fn refused(text: &str) -> Error {
    Error::Option {
        option: "bind",
        value: text.to_owned(),
        allowed: "expected `127.0.0.1:9090`, `[::1]:9090`, `localhost:9090`, `:9090` or `unix:/run/app.sock`"
            .to_owned(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
