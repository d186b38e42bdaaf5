//! Which NATS servers join the machines, and how they are reached.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::is_name;
use crate::server::{Server, without_password};

/// The NATS servers that join several machines, as `Options::join` takes them.
///
/// A text is one or more addresses, separated by commas: `nats://127.0.0.1:4222`, `tls://bus-1:4222,tls://bus-2:4222`. It may name a user:
/// `tls://user:password@bus-1`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    servers: String,
    pub(crate) cluster: Option<String>,
    pub(crate) machine: Option<String>,
    insecure_bus: bool,
    remote_commands: bool,
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) nkey: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) root_certificates: Option<PathBuf>,
}

/// A user that the addresses name, or a token.
#[cfg_attr(not(feature = "client"), allow(dead_code))]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: Option<String>,
}

/// Why machines cannot be joined so.
#[derive(Debug, Error)]
pub enum JoinError {
    /// It names no server.
    #[error("{server:?} is no address of a NATS server: {cause}; expected `nats://HOST:PORT` or `tls://HOST:PORT`")]
    Server {
        /// What was named, without a password.
        server: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Passwords and messages would cross the network as plain text.
    #[error(
        "{server} is not on this machine, and `nats://` is not encrypted; say `tls://`, or allow it by `insecure_bus`"
    )]
    Plaintext {
        /// The server.
        server: String,
    },
    /// A cluster or a machine cannot have this name.
    #[error("{name:?} is no name of a {what}: expected 1 to 64 letters, digits, `.`, `_` and `-`")]
    Name {
        /// `machine` or `cluster`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A file cannot be used.
    #[error("cannot use the file {path}: {cause}")]
    File {
        /// Its path.
        path: String,
        /// The system's words.
        cause: String,
    },
    /// The client cannot be made.
    #[error("cannot use NATS: {0}")]
    Client(String),
}

impl Join {
    /// These servers.
    pub fn new(servers: impl Into<String>) -> Join {
        Join {
            servers: servers.into(),
            cluster: None,
            machine: None,
            insecure_bus: false,
            remote_commands: false,
            credentials: None,
            nkey: None,
            client_certificate: None,
            root_certificates: None,
        }
    }

    /// The name that programs have in common which are joined: it is part of every subject. Default: the name of the program's file.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Join {
        self.cluster = Some(name.into());
        self
    }

    /// The name of this machine, which no other has. Default: its host name.
    #[must_use]
    pub fn machine(mut self, name: impl Into<String>) -> Join {
        self.machine = Some(name.into());
        self
    }

    /// Allows connections without TLS to servers on other machines: for networks that only these machines reach.
    #[must_use]
    pub fn insecure_bus(mut self, allowed: bool) -> Join {
        self.insecure_bus = allowed;
        self
    }

    /// Lets other machines have this one reload: `multi-node reload --all-machines`. Off by default: who may publish in the cluster's
    /// subjects can then replace the nodes by what is on disk.
    #[must_use]
    pub fn remote_commands(mut self, allowed: bool) -> Join {
        self.remote_commands = allowed;
        self
    }

    /// Whether other machines may have this one reload.
    #[doc(hidden)]
    pub fn allows_remote_commands(&self) -> bool {
        self.remote_commands
    }

    /// The file with the user's JWT and NKey, as `nsc` writes it.
    #[must_use]
    pub fn credentials(mut self, path: impl Into<PathBuf>) -> Join {
        self.credentials = Some(path.into());
        self
    }

    /// The file with the seed of the user's NKey, where servers know it by its public part.
    #[must_use]
    pub fn nkey(mut self, path: impl Into<PathBuf>) -> Join {
        self.nkey = Some(path.into());
        self
    }

    /// The files with the certificate by which servers know this machine, and its private key (PEM).
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Join {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// The file with the certificates by which servers are known (PEM). Default: those of the system.
    #[must_use]
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Join {
        self.root_certificates = Some(path.into());
        self
    }

    /// The name of the cluster, or this one.
    ///
    /// # Errors
    /// Where it is no name.
    pub fn cluster_or(&self, default: &str) -> Result<String, JoinError> {
        named("cluster", self.cluster.as_deref().unwrap_or(default))
    }

    /// The name of the machine, or this one.
    ///
    /// # Errors
    /// Where it is no name.
    pub fn machine_or(&self, default: &str) -> Result<String, JoinError> {
        named("machine", self.machine.as_deref().unwrap_or(default))
    }

    /// Checks what can be checked without the network.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), JoinError> {
        self.servers().try_for_each(|server| self.check_server(server))?;
        self.user()?;
        self.cluster.iter().try_for_each(|name| named("cluster", name).map(drop))?;
        self.machine.iter().try_for_each(|name| named("machine", name).map(drop))
    }

    /// The user that the addresses name.
    pub(crate) fn user(&self) -> Result<Option<User>, JoinError> {
        let mut named = self.servers().filter_map(|server| Some((server, user(server)?)));
        let Some((_, first)) = named.next() else { return Ok(None) };
        if let Some((server, _)) = named.find(|(_, user)| *user != first) {
            let cause = "all addresses name the same user, or one does".to_owned();
            return Err(JoinError::Server { server: without_password(server), cause });
        }
        let (name, password) = match first.split_once(':') {
            Some((name, password)) => (name, Some(decoded(password))),
            None => (first, None),
        };
        Ok(Some(User { name: decoded(name), password }))
    }

    /// Each server, as it was written.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &str> {
        self.servers.split(',').map(str::trim)
    }

    fn check_server(&self, server: &str) -> Result<(), JoinError> {
        let parts = Server::read(server);
        let refused = |cause| JoinError::Server { server: without_password(server), cause };
        let Server { scheme, host } = parts.map_err(refused)?;
        self.allow(server, scheme, host)
    }

    /// Refuses what may not be connected to.
    pub(crate) fn allow(&self, server: &str, scheme: &str, host: &str) -> Result<(), JoinError> {
        match scheme {
            "tls" => Ok(()),
            "nats" if self.insecure_bus || is_loopback(host) => Ok(()),
            "nats" => Err(JoinError::Plaintext { server: without_password(server) }),
            other => Err(JoinError::Server {
                server: without_password(server),
                cause: format!("`{other}` is not supported"),
            }),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn named(what: &'static str, name: &str) -> Result<String, JoinError> {
    match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(JoinError::Name { what, name: name.to_owned() }),
    }
}

/// `user:password` of a server's address, or a token.
fn user(server: &str) -> Option<&str> {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.rsplit_once('@').map(|(user, _)| user)
}

/// As addresses write what would end a user: `%40` for `@`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%').and_then(|digits| str::from_utf8(digits).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if decoded.is_some() { &after[2..] } else { after };
        bytes.push(decoded.unwrap_or(byte));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl From<&str> for Join {
    fn from(servers: &str) -> Join {
        Join::new(servers)
    }
}

impl From<String> for Join {
    fn from(servers: String) -> Join {
        Join::new(servers)
    }
}

/// The servers, without passwords.
impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers().map(without_password).collect();
        f.write_str(&servers.join(","))
    }
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Join { servers: _, cluster, machine, insecure_bus, remote_commands, .. } = self;
        let Join { credentials, nkey, client_certificate, root_certificates, .. } = self;
        f.debug_struct("Join")
            .field("servers", &self.to_string())
            .field("cluster", cluster)
            .field("machine", machine)
            .field("insecure_bus", insecure_bus)
            .field("remote_commands", remote_commands)
            .field("credentials", credentials)
            .field("nkey", nkey)
            .field("client_certificate", client_certificate)
            .field("root_certificates", root_certificates)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(join: &Join) -> String {
        join.check().expect_err("refused").to_string()
    }

    #[test]
    fn plaintext_stays_on_this_machine() {
        for server in
            ["nats://127.0.0.1:4222", "nats://localhost", "nats://[::1]:4222", "tls://bus-1:4222", "tls://a,tls://b"]
        {
            assert!(Join::new(server).check().is_ok(), "{server}");
        }
        for server in
            ["nats://bus-1:4222", "bus-1", "nats://10.0.0.1", "nats://127.0.0.1,nats://bus-2", "nats://localhost.evil"]
        {
            assert!(refused(&Join::new(server)).contains("not encrypted"), "{server}");
            assert!(Join::new(server).insecure_bus(true).check().is_ok(), "{server}");
        }
    }

    #[test]
    fn a_user_is_named_once_for_all_servers() {
        let named =
            |servers: &str| Join::new(servers).user().expect("one").map(|User { name, password }| (name, password));
        assert_eq!(named("tls://a,tls://b"), None);
        assert_eq!(named("tls://me:p%40s%zz:s@a, tls://b"), Some(("me".to_owned(), Some("p@s%zz:s".to_owned()))));
        assert_eq!(named("tls://token@a"), Some(("token".to_owned(), None)));
        assert!(refused(&Join::new("tls://a:b@a,tls://c:d@b")).contains("\"tls://b\" is no address"));
    }

    #[test]
    fn wrong_settings_say_what_is_wrong_and_show_no_password() {
        assert!(refused(&Join::new("http://a")).contains("`http` is not supported"));
        assert!(refused(&Join::new("ws://a")).contains("`ws` is not supported"));
        assert!(refused(&Join::new("")).contains("no address of a NATS server"));
        assert!(refused(&Join::new("tls://a").machine("a/b")).contains("\"a/b\" is no name of a machine"));
        assert!(refused(&Join::new("tls://a").cluster("")).contains("is no name of a cluster"));
        let secret = Join::new("nats://me:secret@bus-1:4222");
        let shown = format!("{secret} {secret:?} {}", refused(&secret));
        assert!(shown.contains("nats://bus-1:4222") && !shown.contains("secret"), "{shown}");
    }
}
