//! The master of a program that does not link this crate.

use std::path::Path;

use super::Program;
use crate::{Error, Nodes, Options, environment, listen, supervisor};

/// Serves by several processes of `program`. As [`listen`](crate::listen()) in the master, but that there are no servers and
/// no streams between the processes.
///
/// Each node is started as `options` say ([`program`](Options::program), [`args`](Options::args)), and has to reach
/// [`stage`](super::stage()).
///
/// # Errors
/// As `listen`; [`Error::Program`] also where `program` is not found.
///
/// Not cancel-safe, as `listen`.
pub async fn run(options: Options, program: Program) -> Result<Nodes, Error> {
    listen::lead_program(options, program).await
}

impl Program {
    /// Whoever starts a program that is not there wants to know at once, and not from nodes that fail.
    pub(crate) fn find(&self) -> Result<(), Error> {
        let failed = |source| Error::Program { program: self.program.to_string_lossy().into_owned(), source };
        let directory = environment::working_directory().map_err(failed)?;
        supervisor::find(Path::new(&self.program), &directory).map_err(failed)
    }
}
