//! The PROXY protocol, versions 1 and 2: a load balancer's header about the client, before the client's first byte. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Addr;
use crate::conn_info::ConnInfo;

const V1: &[u8] = b"PROXY ";
/// The longest header of version 1, its end of line included.
const V1_LONGEST: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What precedes the addresses in version 2.
const V2_FIXED: usize = 16;
/// Headers of version 2 with more than this have extensions that no server would read.
const V2_LONGEST: usize = V2_FIXED + 4096;

/// A header that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes that it takes.
    pub(super) length: usize,
    /// Client and server as the proxy saw them; `None` where the proxy speaks for itself or does not know.
    addresses: Option<(SocketAddr, SocketAddr)>,
}

/// The connection does not begin with a valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

impl Header {
    /// Corrects what is known of the connection.
    pub(super) fn tell(&self, info: &mut ConnInfo) {
        if let Some((peer, local)) = self.addresses {
            info.peer = Addr::Tcp(peer);
            info.local = Addr::Tcp(local);
        }
    }
}

/// The header at the beginning of these bytes; `None` if more of them are needed to tell.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, Invalid> {
    if bytes.starts_with(V1) {
        parse_v1(bytes)
    } else if bytes.starts_with(V2) {
        parse_v2(bytes)
    } else if V1.starts_with(bytes) || V2.starts_with(bytes) {
        Ok(None)
    } else {
        Err(Invalid)
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`, and `PROXY UNKNOWN` with anything behind it.
fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, Invalid> {
    let window = &bytes[..bytes.len().min(V1_LONGEST)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if window.len() == V1_LONGEST { Err(Invalid) } else { Ok(None) };
    };
    let text = str::from_utf8(&window[V1.len()..end]).map_err(|_| Invalid)?;
    let fields: Vec<_> = text.split(' ').collect();
    let addresses = match fields[..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", client, server, from, to] => Some((v4(client, from)?, v4(server, to)?)),
        ["TCP6", client, server, from, to] => Some((v6(client, from)?, v6(server, to)?)),
        _ => return Err(Invalid),
    };
    Ok(Some(Header { length: end + 2, addresses }))
}

fn v4(ip: &str, port: &str) -> Result<SocketAddr, Invalid> {
    Ok((ip.parse::<Ipv4Addr>().map_err(|_| Invalid)?, parse_port(port)?).into())
}

fn v6(ip: &str, port: &str) -> Result<SocketAddr, Invalid> {
    Ok((ip.parse::<Ipv6Addr>().map_err(|_| Invalid)?, parse_port(port)?).into())
}

fn parse_port(port: &str) -> Result<u16, Invalid> {
    match port.bytes().all(|byte| byte.is_ascii_digit()) {
        true => port.parse().map_err(|_| Invalid),
        false => Err(Invalid),
    }
}

/// Signature, version and command, family and transport, length; then addresses and extensions.
fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, Invalid> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else { return Ok(None) };
    let [version, family, high, low] = [fixed[12], fixed[13], fixed[14], fixed[15]];
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > V2_LONGEST {
        return Err(Invalid);
    }
    let Some(body) = rest.get(..length - V2_FIXED) else { return Ok(None) };
    let addresses = match (version, family) {
        (0x20, _) => None,
        (0x21, 0x11) => Some(pair::<4>(body)?),
        (0x21, 0x21) => Some(pair::<16>(body)?),
        // Unspecified, datagrams and Unix sockets: a valid header without a useful address.
        (0x21, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
        _ => return Err(Invalid),
    };
    Ok(Some(Header { length, addresses }))
}

/// Two addresses of `N` bytes, then two ports.
fn pair<const N: usize>(body: &[u8]) -> Result<(SocketAddr, SocketAddr), Invalid>
where
    IpAddr: From<[u8; N]>,
{
    let (client, rest) = body.split_first_chunk::<N>().ok_or(Invalid)?;
    let (server, rest) = rest.split_first_chunk::<N>().ok_or(Invalid)?;
    let (from, rest) = rest.split_first_chunk::<2>().ok_or(Invalid)?;
    let (to, _) = rest.split_first_chunk::<2>().ok_or(Invalid)?;
    let address = |ip: [u8; N], port: [u8; 2]| SocketAddr::new(ip.into(), u16::from_be_bytes(port));
    Ok((address(*client, *from), address(*server, *to)))
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
