//! Settings of other process managers as settings of this command.

pub(crate) mod ecosystem;
mod pm2;
mod translated;

pub(crate) use pm2::translate;
pub(crate) use translated::Translated;
