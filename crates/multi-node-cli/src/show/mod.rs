//! What people read: texts made of values, without printing.

mod answer;
mod instance;
mod log;
mod paint;
mod table;
mod units;

pub(crate) use answer::{description, reloaded, replaced, scaled, signalled};
#[cfg(test)]
pub(crate) use instance::tests::example;
pub(crate) use instance::{instance, list, state_colour};
pub(crate) use log::lines;
pub(crate) use paint::{Colour, Paint};
pub(crate) use table::Table;
pub(crate) use units::{bytes, count, span, sum};
