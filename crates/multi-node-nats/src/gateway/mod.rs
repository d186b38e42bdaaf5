//! The rules of a gateway. Pure: what happens goes in, what to do comes out.

mod places;
mod presence;
mod rules;
#[cfg(test)]
mod tests;
mod wants;

pub(crate) use rules::{Action, Gateway, Local, LocalEvent, process};
