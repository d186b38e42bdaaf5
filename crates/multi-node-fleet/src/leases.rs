//! Leases: which process does a job that only one process may do at a time, and which one does it next.
//!
//! A lease has a name, at most one holder, and those who wait for it. It passes on only after its holder has returned it, or has ended.

#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Generation, NodeId};

/// The length of the longest name of a lease, in bytes.
pub const LONGEST_LEASE_NAME: usize = 255;

/// How many leases a process may hold and wait for at a time.
pub const MOST_LEASES: usize = 64;

/// Checks that a lease can have this name.
///
/// # Errors
/// [`LeaseRefused::Name`].
pub fn check_lease_name(name: &str) -> Result<(), LeaseRefused> {
    if (1..=LONGEST_LEASE_NAME).contains(&name.len()) { Ok(()) } else { Err(LeaseRefused::Name) }
}

/// All leases of a program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Leases(BTreeMap<String, Lease>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Lease {
    holder: Option<Claim>,
    /// In the order in which they have asked.
    waiting: Vec<Claim>,
}

/// What a process asks for. `ticket` is a number that it uses once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub id: NodeId,
    pub ticket: u64,
}

/// Whether a process may hold leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It serves, and runs this generation's program.
    Serves(Generation),
    /// It does not serve yet, or is about to be replaced.
    Waits,
    /// It is to end. It keeps what it holds until it has returned it.
    Leaves,
    /// Its process has been reaped, or never was.
    Gone,
}

/// Why a process cannot wait for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseRefused {
    #[error("the name of a lease has 1 to {LONGEST_LEASE_NAME} bytes")]
    Name,
    #[error("the process holds and waits for {MOST_LEASES} leases already, which is the most")]
    TooMany,
}

impl Leases {
    /// A process asks for a lease. Nothing changes if it asks once more with the same ticket.
    ///
    /// # Errors
    /// Where the name is empty or too long, and where the process has too many claims.
    pub fn seek(&mut self, name: &str, claim: Claim) -> Result<(), LeaseRefused> {
        check_lease_name(name)?;
        if self.claims().any(|known| known == claim) {
            return Ok(());
        }
        if self.claims().filter(|known| known.id == claim.id).count() >= MOST_LEASES {
            return Err(LeaseRefused::TooMany);
        }
        self.0.entry(name.to_owned()).or_default().waiting.push(claim);
        Ok(())
    }

    /// A process returns a lease, or no longer waits for it.
    pub fn give_back(&mut self, claim: Claim) {
        self.retain(|known| known != claim);
    }

    /// Brings all leases up to date with the processes, and grants those that are free: to a process of the newest generation, and of
    /// these to the one that asked first. Returns the new holders.
    pub fn settle(&mut self, standing: impl Fn(NodeId) -> Standing) -> Vec<Claim> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.retain(|claim| standing(claim.id) != Standing::Gone);
        let granted = self.0.values_mut().filter_map(|lease| lease.settle(&standing)).collect();
        self.0.retain(|_, lease| !lease.is_idle());
        granted
    }

    fn claims(&self) -> impl Iterator<Item = Claim> {
        self.0.values().flat_map(|lease| lease.holder.iter().chain(&lease.waiting)).copied()
    }

    fn retain(&mut self, keep: impl Fn(Claim) -> bool) {
        for lease in self.0.values_mut() {
            lease.holder = lease.holder.filter(|claim| keep(*claim));
            lease.waiting.retain(|claim| keep(*claim));
        }
        self.0.retain(|_, lease| !lease.is_idle());
    }
}

impl Lease {
    fn settle(&mut self, standing: &impl Fn(NodeId) -> Standing) -> Option<Claim> {
        self.waiting.retain(|claim| standing(claim.id) != Standing::Leaves);
        if self.holder.is_some() {
            return None;
        }
        let generation = |claim: &Claim| match standing(claim.id) {
            Standing::Serves(generation) => Some(generation),
            _ => None,
        };
        let newest = self.waiting.iter().filter_map(generation).max()?;
        let next = self.waiting.iter().position(|claim| generation(claim) == Some(newest))?;
        self.holder = Some(self.waiting.remove(next));
        self.holder
    }

    fn is_idle(&self) -> bool {
        self.holder.is_none() && self.waiting.is_empty()
    }
}
