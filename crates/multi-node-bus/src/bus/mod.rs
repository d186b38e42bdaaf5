//! The bus of one process: membership, links, and what is done with their frames.

mod connection;
mod frames;
mod handle;

pub use handle::Bus;
