//! Why NATS is not there, and what it or another machine was refused: once in the log, and the latest in the status.

use std::collections::BTreeSet;

use multi_node_sys::log;

/// What the log calls the source.
const TARGET: &str = "multi_node";

/// How many different troubles are logged before the next connection. Texts of servers name subjects, and others may choose those.
const MOST: usize = 16;

/// How many characters are kept of a text, which may come from a server.
const LONGEST: usize = 300;

/// Since the last time that all was well.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    logged: BTreeSet<String>,
    latest: Option<String>,
}

impl Trouble {
    /// This is wrong.
    pub(crate) fn is(&mut self, text: &str) {
        let text: String = text.chars().take(LONGEST).collect();
        if self.logged.len() < MOST && self.logged.insert(text.clone()) {
            log::warn!(target: TARGET, "joining other machines: {text}");
        }
        self.latest = Some(text);
    }

    /// There is a new connection.
    pub(crate) fn is_over(&mut self) {
        *self = Trouble::default();
    }

    /// What the status shows.
    pub(crate) fn latest(&self) -> Option<String> {
        self.latest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_trouble_shows_until_the_next_connection_and_few_are_logged() {
        let mut trouble = Trouble::default();
        for number in 0..100 {
            trouble.is(&format!("{number} is refused"));
        }
        assert_eq!((trouble.latest().as_deref(), trouble.logged.len()), (Some("99 is refused"), MOST));
        trouble.is(&"ä".repeat(1000));
        assert_eq!(trouble.latest(), Some("ä".repeat(LONGEST)));
        trouble.is_over();
        assert_eq!(trouble.latest(), None);
    }
}
