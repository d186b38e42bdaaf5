//! What people read: texts made of values, without printing.

pub(crate) mod answer;
mod fit;
mod instance;
mod log;
mod machines;
mod paint;
mod table;
mod units;

pub(crate) use fit::{Column, fit};
#[cfg(test)]
pub(crate) use instance::tests::example;
pub(crate) use instance::{instance, list, serving, state_colour};
pub(crate) use log::lines;
pub(crate) use machines::machines;
pub(crate) use paint::{Colour, Paint};
pub(crate) use table::Table;
pub(crate) use units::{UNKNOWN, bytes, count, span, sum};
