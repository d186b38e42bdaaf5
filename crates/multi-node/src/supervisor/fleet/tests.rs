//! Each rule as a story.

mod hangs;
mod reloads;
mod replacements;
mod restarts;
mod scales;
mod shutdowns;
mod starts;
mod upgrades;
