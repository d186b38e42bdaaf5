//! A limit by its name.

use std::fmt::{self, Display, Write};
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::quota::{Allowed, Denied, Quota};
use crate::table::{self, SharedTable};
use crate::window::Window;

/// How much each key may do, counted for all processes of the program together.
///
/// A check is synchronous: it computes for less than a microsecond and waits for no other process. Cheap to clone.
#[derive(Clone)]
pub struct Limit {
    name: Arc<str>,
    table: SharedTable,
    quota: Quota,
    /// It has the limit's name.
    hasher: SipHasher13,
}

impl Limit {
    /// The limit of this name in the table.
    pub fn new(table: SharedTable, name: &str, quota: Quota) -> Limit {
        let mut hasher = table.hasher();
        hasher.write(name.as_bytes());
        // No UTF-8 has this byte: no name and key together are another name and another key.
        hasher.write_u8(0xff);
        Limit { name: name.into(), table, quota, hasher }
    }

    /// Counts an event of this key, which is what it displays: a client's address, a user's name. It is known by its hash of 64 bits alone.
    ///
    /// Where the table has no cell for the key, the event is allowed, and counted as one that was not limited.
    ///
    /// # Errors
    /// [`Denied`] where the limit is reached: the event does not count.
    pub fn check(&self, key: impl Display) -> Result<Allowed, Denied> {
        self.window(key).event(&self.quota, || self.table.now()).unwrap_or_else(|_| {
            self.table.overflowed();
            Ok(Allowed::unlimited(&self.quota))
        })
    }

    /// What [`Limit::check`] of this key would give now, without counting an event.
    ///
    /// # Errors
    /// [`Denied`] where the limit is reached.
    pub fn peek(&self, key: impl Display) -> Result<Allowed, Denied> {
        let time = self.window(key).time().unwrap_or(0);
        self.quota.event(time, self.table.now()).map(|(_, allowed)| allowed)
    }

    /// Takes back an event of this key that was allowed, as if it had not been.
    pub fn give_back(&self, key: impl Display) {
        self.window(key).change(|time| self.quota.without_event(time, self.table.now()));
    }

    /// Forgets what this key did.
    pub fn reset(&self, key: impl Display) {
        self.window(key).change(|time| time.min(self.table.now()));
    }

    fn window(&self, key: impl Display) -> Window<'_> {
        let mut hasher = Hashing(self.hasher);
        // A key that cannot be displayed is the part of it that can.
        let _ = write!(hasher, "{key}");
        self.table.window(table::tag(&hasher.0))
    }

    /// The name that it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much is allowed.
    pub fn quota(&self) -> Quota {
        self.quota
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("name", &self.name).field("quota", &self.quota).finish_non_exhaustive()
    }
}

/// Hashes what is displayed, without a copy of it.
struct Hashing(SipHasher13);

impl Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn allowed(limit: &Limit, key: impl Display + Copy, checks: usize) -> usize {
        (0..checks).filter(|_| limit.check(key).is_ok()).count()
    }

    #[test]
    fn each_key_and_each_name_has_its_own_count() {
        let table = SharedTable::local(1000, [1; 16]);
        let quota = Quota::per_hour(10);
        let (login, search) = (Limit::new(table.clone(), "login", quota), Limit::new(table.clone(), "search", quota));
        let address: IpAddr = "192.0.2.7".parse().expect("an address");
        assert_eq!(allowed(&login, address, 20), 10);
        assert_eq!(allowed(&login, "192.0.2.7", 5), 0, "a key is what it displays");
        assert_eq!((allowed(&login, "192.0.2.8", 20), allowed(&search, address, 20)), (10, 10));
        let again = Limit::new(table.clone(), "login", quota);
        assert!(again.check(address).is_err(), "a limit is known by its name");
        let joined = Limit::new(table, "loginx", quota);
        assert_eq!(allowed(&joined, "y", 20), 10);
        assert_eq!(allowed(&login, "xy", 20), 10, "a name and a key are not one text");
    }

    #[test]
    fn events_are_given_back_and_keys_forgotten() {
        let limit = Limit::new(SharedTable::local(1000, [1; 16]), "login", Quota::per_hour(3));
        limit.give_back("a");
        limit.reset("a");
        let left = |key| limit.peek(key).map_or(0, |allowed| allowed.remaining + 1);
        assert_eq!((left("a"), allowed(&limit, "a", 5), left("a")), (3, 3, 0));
        assert_eq!(allowed(&limit, "b", 5), 3);
        limit.give_back("a");
        assert_eq!((left("a"), allowed(&limit, "a", 5)), (1, 1));
        limit.reset("a");
        assert_eq!((left("a"), allowed(&limit, "a", 5)), (3, 3));
        assert_eq!(left("b"), 0, "of that key alone");
        for _ in 0..10 {
            limit.give_back("b");
        }
        assert_eq!(allowed(&limit, "b", 5), 3, "and never more than all");
    }

    #[test]
    fn processes_that_give_back_at_once_lose_nothing() {
        let limit = Limit::new(SharedTable::local(1000, [1; 16]), "login", Quota::per_hour(1000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if limit.check("a").is_ok() {
                            limit.give_back("a");
                        }
                    }
                });
            }
        });
        assert_eq!(allowed(&limit, "a", 2000), 1000);
    }

    #[test]
    fn a_full_table_allows_and_counts() {
        let table = SharedTable::local(4, [1; 16]);
        let limit = Limit::new(table.clone(), "login", Quota::per_hour(1));
        for key in 0..10 {
            assert!(limit.check(key).is_ok());
        }
        assert_eq!(table.overflows(), 6);
    }

    #[test]
    fn keys_that_are_quiet_again_give_their_cells_to_others() {
        let table = SharedTable::local(4, [1; 16]);
        let brief =
            Limit::new(table.clone(), "brief", Quota::new(1, std::time::Duration::from_nanos(1)).expect("valid"));
        for key in 0..1000 {
            assert!(brief.check(key).is_ok());
        }
        assert_eq!(table.overflows(), 0);
    }
}
