//! Connections that move to the owner of their next request.

use tokio::sync::mpsc;

use super::link::Link;
use crate::serve::IdleConn;

/// The numbers of offers from here on are of moves; those of a drain are below.
const FIRST: u64 = 1 << 63;

/// Offers each connection to this peer. One that the peer does not take goes back to its task, which answers the request.
pub(super) async fn move_all(mut conns: mpsc::Receiver<IdleConn>, link: Link) {
    let mut number = FIRST;
    while let Some(conn) = conns.recv().await {
        number += 1;
        tokio::spawn(move_one(number, conn, link.clone()));
    }
}

async fn move_one(number: u64, conn: IdleConn, link: Link) {
    match link.offer_at_once(number, &conn).await {
        Ok(()) => conn.given(),
        Err(error) => {
            crate::log::debug!(%error, "the owner of a request did not take its connection");
            conn.close();
        }
    }
}
