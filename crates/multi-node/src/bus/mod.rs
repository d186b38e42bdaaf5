//! The library's own stream beside each peer stream, and what rides on it: connections that a draining node hands over.

mod giver;
mod link;
mod message;

pub(crate) use giver::Heirs;
pub(crate) use link::Links;
