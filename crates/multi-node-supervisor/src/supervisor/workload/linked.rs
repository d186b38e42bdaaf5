//! The workload of programs that link the library.

use std::io;

use tokio::time::Instant;

use super::{
    Given, NodeNews, NodeView, Properties, Reaction, StartContext, Waits, Welcome, Workload, WorkloadSpec,
    cannot_close, listed,
};
use crate::control::{Encoded, PassedSocket};
use crate::serve::Socket;
use crate::supervisor::fleet::Event;
use crate::{Error, sys};

/// Nodes of this program: all that has to be known of them they say.
#[derive(Clone, Copy, Debug)]
pub struct Linked;

impl WorkloadSpec for Linked {
    fn properties(&self) -> Properties {
        Properties {
            same_program: true,
            all_speak: true,
            all_beat: true,
            joins_master: true,
            is_guarded: false,
            descriptors: None,
            hang_timeout: None,
            output: None,
        }
    }

    fn check_left(&self, left: Option<&Encoded>) -> Result<(), String> {
        match left {
            None => Ok(()),
            Some(_) => Err("the nodes are of a program that the new one does not run".to_owned()),
        }
    }

    fn begin(self: Box<Self>, _: StartContext<'_>) -> Result<Box<dyn Workload>, Error> {
        Ok(self)
    }

    fn resume(self: Box<Self>, _: Option<Encoded>, _: StartContext<'_>) -> io::Result<Box<dyn Workload>> {
        Ok(self)
    }
}

impl Workload for Linked {
    fn hello(&mut self, _: NodeView, addresses: &[Vec<String>], given: Given<'_>) -> Result<Welcome, String> {
        if addresses != given.addresses {
            return Err(format!(
                "the program wants to serve {}, but its master has bound {}; other addresses need a restart of the program as a whole",
                listed(addresses),
                listed(given.addresses),
            ));
        }
        PassedSocket::all(given.sockets).map(Welcome::Node).map_err(|error| error.to_string())
    }

    fn heard(&mut self, node: NodeView, news: NodeNews<'_>) -> Reaction {
        match news {
            NodeNews::Ready => Reaction::Event(Event::Ready { id: node.info.id() }),
            _ => Reaction::Nothing,
        }
    }

    /// The nodes take what waits, and close Unix sockets.
    fn refuse_newcomers(&mut self, given: &[Vec<Socket>], _: Option<Instant>) -> Option<Waits<'static, bool>> {
        for socket in given.iter().flatten() {
            if let Socket::Tcp(listener) = socket {
                let _ = sys::epoll::make_unreachable(listener).inspect_err(cannot_close);
            }
        }
        None
    }
}
