//! What a program says of its primary process (`--primary FILE`).

use std::ffi::OsString;
use std::io;
use std::path::Path;

use tokio::sync::mpsc;

use super::node_js::{PrimaryHandle, ToPrimary};
use super::programs::Foreign;
use crate::id::{Generation, NodeId};
use crate::program::Program;
use crate::serve::Socket;
use crate::status::Exit;

/// What the primary process runs.
#[derive(Debug)]
pub(super) struct PrimaryProgram {
    /// Node.js.
    pub(super) program: OsString,
    pub(super) file: OsString,
    /// The variables that the program was given, too.
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) open_files: Option<u64>,
    /// Whether it runs as another user than the master.
    pub(super) for_others: bool,
}

impl Foreign {
    /// The generation to run from now on.
    pub(super) fn newest(&self) -> Option<Generation> {
        self.programs.last_key_value().map(|(generation, _)| *generation)
    }

    /// `None`: this generation has no primary process.
    pub(super) fn primary_program(&self, generation: Generation) -> Option<PrimaryProgram> {
        let program = &self.programs.get(&generation)?.program;
        Some(PrimaryProgram {
            program: node_js(program),
            file: program.primary.clone()?,
            env: program.env.clone(),
            open_files: self.open_files,
            for_others: self.nodes_are_others,
        })
    }

    /// The way to the primary, which relays. `given`: the sockets that the master was given.
    pub(super) fn primary_inbox(&mut self, given: &[Socket]) -> io::Result<mpsc::Sender<ToPrimary>> {
        Ok(self.primary_handle(given)?.inbox())
    }

    /// A node's process has ended.
    pub(super) fn exited(&self, id: NodeId, exit: Exit) {
        let Some(primary) = self.primary.as_ref().map(PrimaryHandle::inbox) else { return };
        tokio::spawn(async move { primary.send(ToPrimary::Exited { id, exit }).await });
    }
}

/// The Node.js that runs the program; that of `PATH` where the program is a script.
fn node_js(program: &Program) -> OsString {
    let is_node = Path::new(&program.program).file_name().is_some_and(|name| name == "node" || name == "nodejs");
    if is_node { program.program.clone() } else { "node".into() }
}
