//! How connections and requests are shared out among the kinds of clients. Pure.

use std::time::Duration;

use crate::{
    kind::{Kind, Pace},
    load::Clients,
};

/// All clients of a run.
#[derive(Clone, Debug)]
pub struct Mix {
    pub kinds: Vec<Kind>,
    pub connections: usize,
    /// Requests per second.
    pub rate: f64,
}

impl Mix {
    /// # Errors
    /// Where a kind would have no connection.
    pub fn check(&self) -> Result<(), String> {
        let kinds = self.kinds.len();
        if self.connections < kinds {
            return Err(format!(
                "--connections {}: there are {kinds} kinds of clients, each with one at least",
                self.connections
            ));
        }
        Ok(())
    }

    /// The number of clients of each kind, and their pace.
    pub fn shared_out(&self) -> Vec<Clients> {
        let all: f64 = self.kinds.iter().map(|kind| requests(*kind)).sum();
        let clients = |(kind, count): (Kind, usize)| {
            let per_second = self.rate * requests(kind) / all;
            let pause = Duration::from_secs_f64(count as f64 / per_second);
            Clients { kind, count, pace: Pace::About(pause) }
        };
        self.connections_by_kind().into_iter().map(clients).collect()
    }

    /// One for each kind, and each further one to the kind that lacks most of its share.
    fn connections_by_kind(&self) -> Vec<(Kind, usize)> {
        let mut counts: Vec<(Kind, usize)> = self.kinds.iter().map(|kind| (*kind, 1)).collect();
        for _ in counts.len()..self.connections {
            let lacks = |&(kind, count): &(Kind, usize)| connections(kind) / (count + 1) as f64;
            let next = counts.iter_mut().max_by(|a, b| lacks(a).total_cmp(&lacks(b)));
            next.into_iter().for_each(|(_, count)| *count += 1);
        }
        counts
    }
}

/// A kind's share of the connections. Most of a server's are kept, and most of these are idle.
fn connections(kind: Kind) -> f64 {
    match kind {
        Kind::Pooled => 9.0,
        Kind::Kept => 6.0,
        Kind::New => 3.0,
        _ => 2.0,
    }
}

/// A kind's share of the requests. A slow one may hold a whole process of a server that does one thing at a time.
fn requests(kind: Kind) -> f64 {
    match kind {
        Kind::New | Kind::Kept => 6.0,
        Kind::Pooled => 4.0,
        Kind::WebSocket => 2.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(kinds: &[Kind], connections: usize) -> Mix {
        Mix { kinds: kinds.to_vec(), connections, rate: 50.0 }
    }

    #[test]
    fn every_connection_and_request_is_shared_out() {
        for kinds in 1..=6 {
            for connections in kinds..40 {
                let shared = clients(&Kind::ALL[..kinds], connections).shared_out();
                assert_eq!(shared.iter().map(|of| of.count).sum::<usize>(), connections);
                assert!(shared.iter().all(|of| of.count > 0));
                let rate = |of: &Clients| match of.pace {
                    Pace::About(pause) => of.count as f64 / pause.as_secs_f64(),
                    Pace::Busy { .. } => panic!("nobody is busy"),
                };
                assert!((shared.iter().map(rate).sum::<f64>() - 50.0).abs() < 0.1);
            }
        }
    }

    #[test]
    fn most_connections_are_kept() {
        let shared = clients(&Kind::ALL[..5], 24).shared_out();
        assert_eq!(shared.iter().map(|of| of.count).collect::<Vec<_>>(), [3, 7, 10, 2, 2]);
        assert!(clients(&Kind::ALL[..5], 4).check().is_err());
    }
}
