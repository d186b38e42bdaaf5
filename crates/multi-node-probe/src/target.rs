//! Where clients connect.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{
    failure::{Failure, How, words},
    stream::Stream,
    tls::{Tls, TlsError, Trust},
    url::Url,
};

/// How long a client waits for a connection. A SYN that was dropped is sent again after 1 s, so that is seen as time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// One address, and how one talks to it.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// What the header `host` says.
    pub authority: String,
    tls: Option<Tls>,
}

/// It is not known where to connect.
#[derive(Debug)]
pub enum TargetError {
    Unknown { host: String, source: io::Error },
    Tls(TlsError),
}

impl std::error::Error for TargetError {}

impl std::fmt::Display for TargetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TargetError::Unknown { host, source } => write!(f, "cannot find the host {host:?}: {}", words(source)),
            TargetError::Tls(error) => error.fmt(f),
        }
    }
}

impl Target {
    /// HTTP at an address.
    pub fn plain(address: SocketAddr) -> Target {
        Target { address, authority: address.to_string(), tls: None }
    }

    /// HTTPS at an address, of which the certificate is for this host.
    ///
    /// # Errors
    /// If TLS cannot be used.
    pub fn secured(address: SocketAddr, host: &str, trust: Trust) -> Result<Target, TargetError> {
        let tls = Tls::new(host, trust).map_err(TargetError::Tls)?;
        Ok(Target { address, authority: host.to_owned(), tls: Some(tls) })
    }

    /// All addresses of a URL, in the order in which to try them; there is at least one.
    ///
    /// # Errors
    /// If the host's name does not resolve, or TLS cannot be used.
    pub async fn all(url: &Url, trust: Trust) -> Result<Vec<Target>, TargetError> {
        let unknown = |source| TargetError::Unknown { host: url.host.clone(), source };
        let found: Vec<_> = lookup_host((url.host.as_str(), url.port)).await.map_err(unknown)?.collect();
        if found.is_empty() {
            return Err(unknown(io::Error::other("it has no address")));
        }
        let tls = url.is_https.then(|| Tls::new(&url.host, trust)).transpose().map_err(TargetError::Tls)?;
        let target = |address| Target { address, authority: url.authority(), tls: tls.clone() };
        Ok(found.into_iter().map(target).collect())
    }

    /// Connects; gives this side's port too.
    pub(crate) async fn connect(&self) -> Result<(Stream, u16), Failure> {
        match timeout(CONNECT_WITHIN, self.try_to_connect()).await {
            Ok(connected) => connected.map_err(|error| Failure::new(How::Refused, words(&error))),
            Err(_) => Err(Failure::new(How::Refused, format_args!("no connection within {CONNECT_WITHIN:?}"))),
        }
    }

    async fn try_to_connect(&self) -> io::Result<(Stream, u16)> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let port = stream.local_addr()?.port();
        let stream = match &self.tls {
            Some(tls) => tls.connect(stream).await?,
            None => Box::new(stream),
        };
        Ok((stream, port))
    }
}
