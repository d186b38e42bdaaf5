//! The library's own stream beside each peer stream, and what rides on it: connections that a draining node hands over.

mod giver;
mod link;
mod message;
#[cfg(test)]
mod transcript_tests;

pub(crate) use giver::Heirs;
pub(crate) use link::Links;
