//! The library's own stream beside each peer stream, and what rides on it: connections that a draining node hands off, those that
//! move to the owner of the next request, and those of a node that computes.

mod busy;
mod link;
mod message;
mod moves;
mod sender;
#[cfg(test)]
mod transcript_tests;

pub(crate) use busy::Busy;
pub(crate) use link::Links;
pub(crate) use sender::Successors;
