//! A port for a node that binds one itself.

use std::net::{Ipv4Addr, TcpListener};
use std::{fs, io};

use crate::sys::random;

/// The file and its default: ip(7), `ip_local_port_range`.
const CLIENTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const FIRST_OF_CLIENTS: u16 = 32_768;
/// Ports from here on need no privileges, and few servers have fixed ones: RFC 6335 calls those from 1024 registered.
const FIRST: u16 = 10_000;
const TRIES: usize = 32;

/// A port of 127.0.0.1 that is free now. It is below those that the system gives to clients, where it can be: a connection would take such a
/// port before the node binds it.
pub(super) fn free() -> io::Result<u16> {
    let below = first_of_clients(&fs::read_to_string(CLIENTS).unwrap_or_default());
    for _ in 0..TRIES {
        let Some(port) = any_between(FIRST, below)? else { break };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn first_of_clients(range: &str) -> u16 {
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(FIRST_OF_CLIENTS)
}

fn any_between(first: u16, end: u16) -> io::Result<Option<u16>> {
    let count = end.saturating_sub(first);
    Ok(match count {
        0 => None,
        _ => Some(first + u16::from_ne_bytes(random::bytes()?) % count),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_port_of_clients_is_as_the_system_says() {
        assert_eq!(first_of_clients("15000\t60999\n"), 15_000);
        assert_eq!([first_of_clients(""), first_of_clients("many few")], [FIRST_OF_CLIENTS; 2]);
    }

    #[test]
    fn a_port_is_within_its_bounds_or_there_is_none() {
        assert_eq!(any_between(FIRST, 1_024).expect("random"), None);
        for _ in 0..1_000 {
            let port = any_between(FIRST, FIRST + 3).expect("random").expect("three");
            assert!((FIRST..FIRST + 3).contains(&port), "{port}");
        }
    }

    #[test]
    fn it_can_be_bound_and_no_client_gets_it() {
        let clients = first_of_clients(&fs::read_to_string(CLIENTS).expect("Linux"));
        let port = free().expect("a port");
        assert!(port < clients || clients <= FIRST, "{port}");
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
    }
}
