//! TLS by Node.js: whether OpenSSL can use what the library has read, and what handshakes go by.

use std::sync::mpsc as blocking;
use std::time::Duration;

use multi_node::tls::{Handshaker, Pair, TicketKey};
use tokio::sync::{mpsc, watch};

use crate::certificate::TlsMaterial;
use crate::event::Event;

/// How long JavaScript may take to check a certificate. A reload waits for it, and not longer than 5 s.
const CHECK: Duration = Duration::from_secs(4);

/// One server's handshakes, which are JavaScript's.
pub(crate) struct ByNode {
    pub(crate) server: usize,
    /// Where JavaScript finds what handshakes go by.
    pub(crate) place: watch::Sender<TlsMaterial>,
    pub(crate) tell: mpsc::Sender<Event>,
}

impl Handshaker for ByNode {
    fn check(&self, pair: &Pair) -> Result<(), String> {
        let (reply, checked) = blocking::sync_channel(1);
        // Where there is no room JavaScript is late.
        let _ = self.tell.try_send(Event::Check { server: self.server, pair: pair.clone(), reply });
        let late = |_| format!("the master's event loop has not checked it within {CHECK:?}; reload to check it again");
        checked.recv_timeout(CHECK).map_err(late)?
    }

    fn take(&self, pair: Option<&Pair>, ticket_keys: &[TicketKey]) {
        self.place.send_replace(TlsMaterial { pair: pair.cloned(), ticket_keys: ticket_keys.to_vec() });
    }
}
