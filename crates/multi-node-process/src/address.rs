//! Addresses as people write them.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;

/// An address to bind, before names are resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// An address as the option of this name takes it.
    pub fn parse(option: &'static str, text: &str) -> Result<Address, Error> {
        let refused = || refused(option, text, ADDRESS);
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(refused()) } else { Ok(Address::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().map_err(|_| refused())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // A bare IPv6 address has colons of its own, so where it ends must be said.
        if bare.is_none() && host.contains(':') {
            return Err(refused());
        }
        let host = match bare.unwrap_or(host) {
            "" => "0.0.0.0",
            host if is_host(host) => host,
            _ => return Err(refused()),
        };
        Ok(Address::Tcp { host: host.to_owned(), port })
    }

    /// The address that the options `host` and `port` make.
    pub fn tcp(host: &str, port: u16) -> Result<Address, Error> {
        match is_host(host) {
            true => Ok(Address::Tcp { host: host.to_owned(), port }),
            false => Err(refused("host", host, HOST)),
        }
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && !host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/')
}

const HOST: &str = "expected an IPv4 address, an IPv6 address, or a host name; `0.0.0.0` and `::` mean all addresses";
const ADDRESS: &str = "expected `127.0.0.1:9090`, `[::1]:9090`, `localhost:9090`, `:9090` or `unix:/run/app.sock`";

fn refused(option: &'static str, text: &str, allowed: &str) -> Error {
    Error::Option { option, value: text.to_owned(), allowed: allowed.to_owned() }
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
