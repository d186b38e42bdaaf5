//! The address of a NATS server, as far as it is looked at before the client is there: the rest is the client's.

/// `nats://user:password@host:4222`, apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server<'a> {
    /// Without one it is `nats`.
    pub(crate) scheme: &'a str,
    /// Without the brackets of IPv6.
    pub(crate) host: &'a str,
}

impl Server<'_> {
    /// Says what is wrong, in the words of an error.
    pub(crate) fn read(text: &str) -> Result<Server<'_>, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').or((!port.is_empty()).then_some(port))),
            None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err("it names no host".to_owned());
        }
        if let Some(port) = port.filter(|port| port.parse::<u16>().is_err()) {
            return Err(format!("`{port}` is no port"));
        }
        match host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte)) {
            true => Ok(Server { scheme, host }),
            false => Err(format!("`{host}` is no host")),
        }
    }
}

/// A server's address as it may be shown.
pub(crate) fn without_password(server: &str) -> String {
    let (scheme, rest) = server.split_once("://").map_or(("", server), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_host_are_read() {
        let cases = [
            ("nats://127.0.0.1:4222", "nats", "127.0.0.1"),
            ("bus-1", "nats", "bus-1"),
            ("tls://me:se:cr@t@bus-1:4222/", "tls", "bus-1"),
            ("nats://[::1]:4222", "nats", "::1"),
            ("nats://[fe80::1]", "nats", "fe80::1"),
        ];
        for (text, scheme, host) in cases {
            assert_eq!(Server::read(text), Ok(Server { scheme, host }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        let cases = [
            ("", "no host"),
            ("nats://", "no host"),
            ("nats://:4222", "no host"),
            ("nats://a:b", "`b` is no port"),
            ("nats://a:99999", "`99999` is no port"),
            ("nats://[::1]:x", "`x` is no port"),
            ("nats://a b", "`a b` is no host"),
            ("nats://127.0.0.1#bus", "is no host"),
            ("nats://127.0.0.1\\bus", "is no host"),
        ];
        for (text, cause) in cases {
            assert!(Server::read(text).is_err_and(|error| error.contains(cause)), "{text}");
        }
    }
}
