//! Each rule as a story.

mod canaries;
mod drains;
mod hangs;
mod leases;
mod meetings;
mod proofs;
mod recycling;
mod reloads;
mod replacements;
mod restarts;
mod scales;
mod shutdowns;
mod signals;
mod starts;
mod upgrades;
