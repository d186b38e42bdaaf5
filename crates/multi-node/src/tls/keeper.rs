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
        let has_files = self.servers.iter().flatten().any(Watched::has_files);
        loop {
            let rotation = self.rotation();
            let changed = tokio::select! {
                () = publisher.view.closed() => return,
                _ = looks.tick(), if has_files => self.look(false).await,
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
    use std::sync::Arc;

    use multi_node_tls::{Certificates, Handshaker, Pair};
    use tokio::sync::watch;

    use super::*;
    use crate::serve::Terminator;

    fn keeper(servers: Vec<Option<Watched>>, keys: Vec<Key>, keys_made_ms: u64, receivers: Receivers) -> Keeper {
        Keeper { servers, keys, keys_made_ms, receivers }
    }

    #[test]
    fn a_key_seals_for_one_rotation_and_opens_for_two() {
        let first = new_key().expect("random bytes");
        let mut before = keeper(Vec::new(), vec![first], u64::MAX, Receivers(Vec::new()));
        assert!(before.rotation() <= Instant::now() + ROTATION);
        assert!(before.rotate());
        assert_eq!((before.keys.len(), before.keys[1]), (2, first));
        assert!(before.keys[0] != first && before.keys_made_ms <= now_ms());
        assert!(before.rotate());
        assert!(before.keys.len() == 2 && !before.keys.contains(&first), "its tickets are good no more");
        let left = before.view().state.expect("a state");
        let mut next = keeper(Vec::new(), vec![first], 0, before.receivers);
        next.inherit_keys(&left);
        assert_eq!((&next.keys, next.keys_made_ms), (&before.keys, before.keys_made_ms));
    }

    /// Shows the keys of tickets that it is given.
    struct Shown(watch::Sender<Vec<Key>>);

    impl Handshaker for Shown {
        fn check(&self, _: &Pair) -> Result<(), String> {
            Ok(())
        }

        fn take(&self, pair: Option<&Pair>, ticket_keys: &[Key]) {
            assert!(pair.is_none(), "the server has its own");
            self.0.send_replace(ticket_keys.to_vec());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn servers_that_shake_hands_themselves_get_new_keys_in_time() {
        let (sender, mut shown) = watch::channel(Vec::new());
        let terminator = Arc::new(Terminator::elsewhere(Certificates::none(), Shown(sender)));
        let receivers = Receivers(vec![Some(terminator.clone())]);
        let watched = Watched::load(0, terminator).expect("there are no files");
        let first = new_key().expect("random bytes");
        let begun = Instant::now();
        let source = keeper(vec![Some(watched)], vec![first], now_ms(), receivers).start().expect("nothing to check");
        assert_eq!(*shown.borrow_and_update(), [first]);
        shown.changed().await.expect("it runs on");
        assert!(begun.elapsed() + Duration::from_secs(1) >= ROTATION, "{:?}", begun.elapsed());
        let rotated = shown.borrow_and_update().clone();
        assert!(rotated.len() == 2 && rotated[1] == first, "the one before is there still");
        let state = source.view.borrow().state.clone().expect("what nodes get");
        assert_eq!(state.ticket_keys.len(), 2);
    }
}
