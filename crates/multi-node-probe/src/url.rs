//! What is probed: an address as people write it. Pure.

use std::{fmt, str::FromStr};

/// An `http` or `https` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub is_https: bool,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// The path with what follows it.
    pub path: String,
}

/// It is no URL that could be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError(&'static str);

impl std::error::Error for UrlError {}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; expected such as http://127.0.0.1:8080/ or https://localhost:8443/health", self.0)
    }
}

impl Url {
    /// What the header `host` says.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.is_https { 443 } else { 80 };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        let (is_https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(UrlError("a URL begins with http:// or https://")),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError("a name and password in the URL are not sent; use a header"));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError("blanks and other characters of a path are written as %20"));
        }
        let (host, port) = host_and_port(authority)?;
        let port = port.unwrap_or(if is_https { 443 } else { 80 });
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Url { is_https, host, port, path })
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(UrlError("the bracket is not closed"))?;
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return Err(UrlError("a port follows a colon"));
            }
            (host, port)
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    if host.is_empty() || !host.bytes().all(allowed) {
        return Err(UrlError("it names no host"));
    }
    let port = port
        .map(|port| port.parse().ok().filter(|port| *port > 0))
        .map(|port| port.ok_or(UrlError("a port is 1 to 65535")));
    Ok((host.to_owned(), port.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_people_write_them() {
        let table = [
            ("http://127.0.0.1:8080", "127.0.0.1", 8080, "/", "127.0.0.1:8080"),
            ("http://localhost/", "localhost", 80, "/", "localhost"),
            ("https://localhost/a/b?c=d#e", "localhost", 443, "/a/b?c=d", "localhost"),
            ("https://localhost:80?c", "localhost", 80, "/?c", "localhost:80"),
            ("http://[::1]:3000/x", "::1", 3000, "/x", "[::1]:3000"),
            ("http://[::1]", "::1", 80, "/", "[::1]"),
        ];
        for (text, host, port, path, authority) in table {
            let url: Url = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path), "{text}");
            assert_eq!((url.is_https, url.authority().as_str()), (text.starts_with("https"), authority), "{text}");
        }
    }

    #[test]
    fn other_texts_are_none() {
        let table = [
            "",
            "localhost:8080",
            "ftp://localhost",
            "http://",
            "http://:80",
            "http://localhost:",
            "http://localhost:0",
            "http://localhost:65536",
            "http://[::1",
            "http://[::1]80",
            "http://me:secret@localhost",
            "http://a b/",
            "http://localhost/a b",
            "http://localhost/\r\nx: y",
        ];
        for text in table {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
