//! The master.
mod fleet;
mod restart;
