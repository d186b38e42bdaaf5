//! Each rule as a story.

mod hangs;
mod reloads;
mod restarts;
mod scales;
mod shutdowns;
mod starts;
