//! The task that has a program's certificates: it watches their files, renews the keys of session tickets, and publishes both.

use std::time::Duration;

use multi_node_tls::tickets::{self, Key, ROTATION};
use tokio::time::{Instant, MissedTickBehavior};

use super::watched::Watched;
use super::{Receivers, certificates};
use crate::Error;
use crate::servers::Servers;
use crate::tls_state::{TlsPublisher, TlsSource, TlsState, TlsView};

/// How often the files are looked at. They are read once they were the same at two looks.
const LOOKS: Duration = Duration::from_secs(2);

/// How many keys of tickets there are: one that seals, and the one before it.
const KEYS: usize = 2;

/// The certificates of a program, in the process that reads them.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// `None` where a server has no TLS.
    servers: Vec<Option<Watched>>,
    /// The current key of tickets, and the one before it.
    keys: Vec<Key>,
    keys_made_ms: u64,
    /// The servers of this process.
    receivers: Receivers,
}

impl Keeper {
    /// Reads and checks the certificates of all servers. `None`: no server has TLS.
    ///
    /// # Errors
    /// [`Error::Certificate`] for the first that cannot be used.
    pub(crate) fn load(servers: &Servers) -> Result<Option<Keeper>, Error> {
        let terminators = servers.terminators();
        if terminators.iter().all(Option::is_none) {
            return Ok(None);
        }
        let watched = |(server, terminator): (usize, Option<_>)| {
            terminator.map(|terminator| Watched::load(server, terminator)).transpose()
        };
        let watched = terminators.into_iter().enumerate().map(watched).collect::<Result<_, _>>()?;
        let key = new_key()?;
        let receivers = Receivers::of(servers);
        Ok(Some(Keeper { servers: watched, keys: vec![key], keys_made_ms: now_ms(), receivers }))
    }

    /// Continues with the keys of tickets that the master before has left.
    pub(crate) fn inherit_keys(&mut self, left: &TlsState) {
        let keys: Vec<Key> = left.ticket_keys.iter().filter_map(|key| key[..].try_into().ok()).take(KEYS).collect();
        if !keys.is_empty() {
            (self.keys, self.keys_made_ms) = (keys, left.keys_made_ms);
        }
    }

    /// Gives what it has to the servers of this process, and from now on to all that the source leads to.
    pub(crate) fn start(self) -> Result<TlsSource, Error> {
        let view = self.view();
        let state = view.state.as_ref();
        let replaced = state.map_or(Ok(()), |state| self.receivers.replace(state));
        replaced.map_err(|cause| Error::Start { cause })?;
        let (publisher, source) = TlsSource::new(view);
        tokio::spawn(self.run(publisher));
        Ok(source)
    }

    /// Watches until nobody wants to know any more.
    async fn run(mut self, mut publisher: TlsPublisher) {
        let mut looks = tokio::time::interval(LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let rotation = self.rotation();
            let changed = tokio::select! {
                () = publisher.view.closed() => return,
                _ = looks.tick() => self.look(false).await,
                () = tokio::time::sleep_until(rotation) => self.rotate(),
                Some(done) = publisher.looks.recv() => {
                    if self.look(true).await {
                        self.publish(&publisher);
                    }
                    // Who asked may have stopped waiting.
                    let _ = done.send(());
                    continue;
                }
            };
            if changed {
                self.publish(&publisher);
            }
        }
    }

    fn publish(&self, publisher: &TlsPublisher) {
        let view = self.view();
        let replaced = view.state.as_ref().map_or(Ok(()), |state| self.receivers.replace(state));
        if let Err(error) = replaced {
            crate::log::error!(target: "multi_node", "cannot use the new certificates in this process: {error}");
        }
        publisher.view.send_replace(view);
    }

    fn view(&self) -> TlsView {
        let of = |watched: &Option<Watched>| watched.as_ref().map(|watched| certificates(&watched.loaded.material));
        let state = TlsState {
            servers: self.servers.iter().map(of).collect(),
            ticket_keys: self.keys.iter().map(|key| key.to_vec().into()).collect(),
            keys_made_ms: self.keys_made_ms,
        };
        TlsView { state: Some(state), shown: self.servers.iter().flatten().flat_map(Watched::shown).collect() }
    }

    /// Looks at all files; true where something has changed. Cancel-safe: what was not taken in is seen at the next look.
    async fn look(&mut self, at_once: bool) -> bool {
        let mut changed = false;
        for watched in self.servers.iter_mut().flatten() {
            let look = watched.look(at_once);
            // Reading files is no work for the runtime. It fails only where the runtime ends.
            if let Ok(looked) = tokio::task::spawn_blocking(|| look.look()).await {
                changed |= watched.take_in(looked);
            }
        }
        changed
    }

    /// When the next key of tickets is due.
    fn rotation(&self) -> Instant {
        let age = Duration::from_millis(now_ms().saturating_sub(self.keys_made_ms));
        Instant::now() + ROTATION.saturating_sub(age)
    }

    /// Seals by a new key from now on.
    fn rotate(&mut self) -> bool {
        self.keys_made_ms = now_ms();
        match new_key() {
            Ok(key) => {
                self.keys.insert(0, key);
                self.keys.truncate(KEYS);
                crate::log::debug!("session tickets are sealed by a new key");
                true
            }
            Err(error) => {
                crate::log::error!(target: "multi_node", %error, "session tickets are sealed by the old key");
                false
            }
        }
    }
}

fn new_key() -> Result<Key, Error> {
    tickets::new_key().map_err(|error| Error::Start { cause: error.to_string() })
}

/// The time that runs on while one program takes the place of another.
#[cfg(multi_process)]
fn now_ms() -> u64 {
    crate::sys::epoll::monotonic_ms()
}

/// There is no other program.
#[cfg(not(multi_process))]
fn now_ms() -> u64 {
    use std::sync::OnceLock;
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_seals_for_one_rotation_and_opens_for_two() {
        let servers = Servers::from(crate::raw(async |_, _| Ok::<_, Error>(())));
        let first = new_key().expect("random bytes");
        let receivers = Receivers::of(&servers);
        let never = u64::MAX;
        let mut keeper = Keeper { servers: Vec::new(), keys: vec![first], keys_made_ms: never, receivers };
        assert!(keeper.rotation() <= Instant::now() + ROTATION);
        assert!(keeper.rotate());
        assert_eq!((keeper.keys.len(), keeper.keys[1]), (2, first));
        assert!(keeper.keys[0] != first && keeper.keys_made_ms <= now_ms());
        assert!(keeper.rotate());
        assert!(keeper.keys.len() == 2 && !keeper.keys.contains(&first), "its tickets are good no more");
        let left = keeper.view().state.expect("a state");
        let mut next = Keeper { servers: Vec::new(), keys: vec![first], keys_made_ms: 0, receivers: keeper.receivers };
        next.inherit_keys(&left);
        assert_eq!((&next.keys, next.keys_made_ms), (&keeper.keys, keeper.keys_made_ms));
    }
}
