//! `multi-node top`: a program's slots on a terminal, again every second, with keys to steer it.

mod board;
mod draw;
mod live;
mod picture;
mod rates;

pub(crate) use live::live;
pub(crate) use picture::{picture, values};
