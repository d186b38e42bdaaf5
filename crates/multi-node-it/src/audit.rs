//! Whether a subscription to the numbers of all processes has gaps that nobody told.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use multi_node::bus::TypedEvent;
use multi_node::status::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An event of the topic, as it goes to clients.
#[derive(Debug, Serialize, Deserialize)]
pub enum Seen {
    Number { from: NodeId, number: u64 },
    Missed { from: NodeId, missed: u64 },
    Undecodable { from: NodeId, error: String },
}

impl From<TypedEvent<u64>> for Seen {
    fn from(event: TypedEvent<u64>) -> Seen {
        match event {
            TypedEvent::Message { from, value } => Seen::Number { from, number: value },
            TypedEvent::Lagged { from, missed } => Seen::Missed { from, missed },
            TypedEvent::Undecodable { from, error } => Seen::Undecodable { from, error: error.to_string() },
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Seen {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Seen, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// What subscriptions have seen of the numbers that each process publishes: 0, 1, 2 and so on.
#[derive(Debug, Default)]
pub struct Audit {
    /// The number that comes next from each publisher.
    next: BTreeMap<NodeId, u64>,
    pub subscriptions: u64,
    pub messages: u64,
    pub lagged: u64,
    /// Those of processes of this machine.
    pub lagged_here: u64,
    /// Numbers that came twice, too early, or after a gap without `Lagged`.
    pub wrong: Vec<String>,
}

impl Audit {
    /// Another subscription begins, anywhere.
    pub fn begin(&mut self) {
        self.next.clear();
        self.subscriptions += 1;
    }

    pub fn note(&mut self, seen: Seen) {
        match seen {
            Seen::Number { from, number } => {
                self.messages += 1;
                // History may begin anywhere.
                if let Some(due) = self.next.insert(from, number + 1).filter(|due| *due != number) {
                    self.wrong.push(format!("{from}: {number}, and {due} was due"));
                }
            }
            Seen::Missed { from, missed } => {
                self.lagged += missed;
                self.lagged_here += if from.is_remote() { 0 } else { missed };
                self.next.entry(from).and_modify(|due| *due += missed);
            }
            Seen::Undecodable { from, error } => self.wrong.push(format!("{from}: {error}")),
        }
    }

    /// Whether it has seen this number, or knows that it missed it.
    pub fn has(&self, from: NodeId, number: u64) -> bool {
        self.next.get(&from).is_some_and(|next| *next > number)
    }

    pub fn json(&self) -> Value {
        let Audit { next, messages, lagged, lagged_here, wrong, .. } = self;
        json!({ "next": next, "messages": messages, "lagged": lagged, "lagged_here": lagged_here, "wrong": wrong })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(seen: &[(u64, u64)]) -> Audit {
        let mut audit = Audit::default();
        audit.begin();
        for &(number, missed) in seen {
            let from = NodeId::node(1);
            if missed > 0 {
                audit.note(Seen::Missed { from, missed });
            }
            audit.note(Seen::Number { from, number });
        }
        audit
    }

    #[test]
    fn a_gap_is_wrong_unless_it_was_told_and_so_is_a_number_that_comes_twice() {
        assert!(audit(&[(5, 0), (6, 0), (9, 2)]).wrong.is_empty());
        for wrong in [[(5, 0), (7, 0)], [(5, 0), (5, 0)], [(5, 0), (7, 2)]] {
            assert_eq!(audit(&wrong).wrong.len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_number_is_had_when_it_came_or_was_told_as_missed() {
        let mut audit = audit(&[(5, 0)]);
        let (one, two) = (NodeId::node(1), NodeId::node(2));
        assert!(audit.has(one, 5) && !audit.has(one, 6) && !audit.has(two, 0));
        audit.note(Seen::Missed { from: one, missed: 1 });
        assert!(audit.has(one, 6));
    }
}
