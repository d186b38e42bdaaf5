//! Programs that link this crate, and were started as any other: which sockets serve which of their servers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::address::Address;
use crate::bind::{self, Manner};
use crate::id::Generation;
use crate::serve::Socket;

/// How long binding may take, since hosts' names may have to be asked for. Nothing else is done meanwhile.
const BINDING: Duration = Duration::from_secs(10);

/// How many addresses a program may ask for.
const MOST: usize = 64;

/// In a directory that the node's user may write to, a path can change its meaning while the master acts on it. So a node
/// could have the master remove files and change modes that the node itself may not.
pub(super) const NO_FILES: &str = "nodes run as another user (`user`), so the master opens no Unix socket that they ask for; \
    bind it by an option of the master (`--bind`)";

/// The sockets of such a program that its master was not given.
#[derive(Debug)]
pub(super) struct Linked {
    manner: Manner,
    pub(super) own: BTreeMap<Key, AddedSockets>,
    /// What was reported about where servers are served.
    told: Vec<String>,
    /// Why the last that was asked for could not be bound.
    trouble: Option<String>,
}

/// By what all nodes ask for the same: an address, and where that is of any free port, which server's it is.
pub(super) type Key = (String, Option<(usize, usize)>);

/// What was bound since the program has asked for it.
#[derive(Debug)]
pub(super) struct AddedSockets {
    pub(super) sockets: Vec<Socket>,
    /// The file of a Unix socket.
    pub(super) file: Option<PathBuf>,
    /// Whose nodes have asked for it.
    pub(super) generations: BTreeSet<Generation>,
}

impl Drop for AddedSockets {
    fn drop(&mut self) {
        self.file.iter().for_each(|path| bind::remove(path));
    }
}

/// Where a server is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    /// At this one of the addresses that the master was given.
    Given(usize),
    /// Where it asks to be: this server, by its address of this number.
    AddedSockets(&'a str, usize, usize),
}

/// Given addresses go to the servers in order, and the remaining ones to the last server. Servers without a given address are
/// served at their own.
fn places(servers: &[Vec<String>], given: usize) -> Vec<Vec<Place<'_>>> {
    let last = servers.len().saturating_sub(1);
    let places = servers.iter().enumerate().map(|(index, own)| match index {
        _ if index >= given => {
            own.iter().enumerate().map(|(at, address)| Place::AddedSockets(address, index, at)).collect()
        }
        _ if index == last => (index..given).map(Place::Given).collect(),
        _ => vec![Place::Given(index)],
    });
    places.collect()
}

impl Linked {
    pub(super) fn new(manner: Manner) -> Linked {
        Linked { manner, own: BTreeMap::new(), told: Vec::new(), trouble: None }
    }

    /// Binds what nodes of this generation ask for, where it is not bound yet.
    pub(super) async fn bind(&mut self, generation: Generation, servers: &[Vec<String>], given: &[Socket]) {
        let bound = tokio::time::timeout(BINDING, self.try_to_bind(generation, servers, given)).await;
        let late = |_| Err(format!("its addresses could not be bound within {BINDING:?}"));
        self.trouble = bound.unwrap_or_else(late).err();
    }

    async fn try_to_bind(
        &mut self,
        generation: Generation,
        servers: &[Vec<String>],
        given: &[Socket],
    ) -> Result<(), String> {
        let asked = servers.iter().map(Vec::len).sum::<usize>();
        if asked > MOST {
            return Err(format!("the program asks for {asked} addresses; expected {MOST} at most"));
        }
        let places = places(servers, given.len());
        self.tell(told(servers, &places, given));
        // They may be of a program's that wants to wait in them.
        given.iter().try_for_each(|socket| socket.set_nonblocking(true)).map_err(|error| error.to_string())?;
        for key in places.iter().flatten().filter_map(|place| place.key()) {
            if let Some(own) = self.own.get_mut(&key) {
                own.generations.insert(generation);
                continue;
            }
            let own = self.open(&key.0, generation).await?;
            self.own.insert(key, own);
        }
        Ok(())
    }

    async fn open(&self, address: &str, generation: Generation) -> Result<AddedSockets, String> {
        let address = Address::parse("bind", address).map_err(|error| error.to_string())?;
        if self.manner.nodes_are_others && matches!(address, Address::Unix(_)) {
            return Err(format!("{address}: {NO_FILES}"));
        }
        let opened = bind::open(&[vec![address.clone()]], self.manner).await.map_err(|error| error.to_string())?;
        let sockets: Vec<_> = opened.into_iter().flatten().collect();
        for socket in &sockets {
            crate::log::info!("listening on {}", socket.name());
        }
        let file = if let Address::Unix(path) = address { Some(path) } else { None };
        Ok(AddedSockets { sockets, file, generations: BTreeSet::from([generation]) })
    }

    /// The sockets of each server, as they were bound for this.
    pub(super) fn sockets<'a>(
        &'a self,
        servers: &[Vec<String>],
        given: &'a [Socket],
    ) -> Result<Vec<Vec<&'a Socket>>, String> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        let own = |key| self.own.get(&key).map(|own| own.sockets.as_slice());
        let sockets = |place: Place<'_>| match place {
            Place::Given(index) => given.get(index..=index).unwrap_or_default(),
            Place::AddedSockets(..) => place.key().and_then(own).unwrap_or_default(),
        };
        Ok(places(servers, given.len()).into_iter().map(|list| list.into_iter().flat_map(sockets).collect()).collect())
    }

    /// Closes what no node asks for any more.
    pub(super) fn keep(&mut self, used: impl Fn(Generation) -> bool) {
        for own in self.own.values_mut() {
            own.generations.retain(|generation| used(*generation));
        }
        self.own.retain(|_, own| !own.generations.is_empty());
    }

    /// All nodes ask for the same, most of the time.
    fn tell(&mut self, told: Vec<String>) {
        if self.told != told {
            told.iter().for_each(|line| crate::log::info!("{line}"));
            self.told = told;
        }
    }
}

impl Place<'_> {
    fn key(self) -> Option<Key> {
        match self {
            Place::AddedSockets(address, server, at) => {
                Some((address.to_owned(), address.ends_with(":0").then_some((server, at))))
            }
            Place::Given(_) => None,
        }
    }
}

/// What a person wants to know of servers that are served elsewhere than they ask.
fn told(servers: &[Vec<String>], places: &[Vec<Place<'_>>], given: &[Socket]) -> Vec<String> {
    let served = |place: &Place<'_>| match place {
        Place::Given(index) => given.get(*index).map(Socket::name),
        Place::AddedSockets(..) => None,
    };
    let line = |(asked, places): (&Vec<String>, &Vec<Place<'_>>)| {
        let served: Vec<_> = places.iter().filter_map(served).collect();
        let line = || format!("what the program serves on {} is served on {}", asked.join(", "), served.join(", "));
        (!served.is_empty()).then(line)
    };
    servers.iter().zip(places).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of servers that ask for `a b | c`: `#1` is a given address.
    fn shown(servers: &str, given: usize) -> String {
        let server = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let servers: Vec<_> = servers.split('|').map(server).collect();
        let shown = |place: &Place<'_>| match place {
            Place::Given(index) => format!("#{index}"),
            Place::AddedSockets(address, ..) => (*address).to_owned(),
        };
        let lists = places(&servers, given);
        let lists: Vec<_> = lists.iter().map(|list| list.iter().map(shown).collect::<Vec<_>>().join(" ")).collect();
        lists.join(" | ")
    }

    #[test]
    fn given_addresses_go_to_servers_in_their_order() {
        let cases = [
            ("a", 0, "a"),
            ("b b2", 1, "#0"),
            ("a", 2, "#0 #1"),
            ("a | b b2", 0, "a | b b2"),
            ("a | b b2", 1, "#0 | b b2"),
            ("a | b b2", 2, "#0 | #1"),
            ("a | b b2 | c", 5, "#0 | #1 | #2 #3 #4"),
        ];
        for (servers, given, expected) in cases {
            assert_eq!(shown(servers, given), expected, "{servers} with {given}");
        }
        assert!(places(&[], 1).is_empty());
    }

    #[test]
    fn a_free_port_is_another_one_for_each_server() {
        let servers = ["127.0.0.1:0", "127.0.0.1:0", ":80", ":80"].map(|address| vec![address.to_owned()]);
        let keys: Vec<_> = places(&servers, 0).into_iter().flatten().map(Place::key).collect();
        assert_ne!(keys[0], keys[1]);
        assert_eq!(keys[2], keys[3]);
    }
}
