//! The bus of one process: membership, links, and what is done with their frames.

mod connection;
mod frames;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod handle;
mod relay;

#[cfg(fuzzing)]
pub use fuzz::fuzz_link;
pub use handle::Bus;
pub use relay::Relay;
