//! A launcher for one process beside the nodes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::{Image, Launcher, OwnCommand};
use crate::held::{hold, locate};
use crate::id::Generation;

impl Launcher {
    /// A launcher that starts what this one starts of a generation, and continues independently of this one.
    ///
    /// # Errors
    /// Where the generation is not held.
    pub fn alone(&self, generation: Generation) -> io::Result<Launcher> {
        let image =
            self.images.get(&generation).ok_or_else(|| io::Error::other("its generation is not held any more"))?;
        Ok(Launcher {
            own: OwnCommand {
                program: self.own.program.clone(),
                arg0: self.own.arg0.clone(),
                args: self.own.args.clone(),
            },
            run: self.run.clone(),
            program: self.program.clone(),
            arg0: self.arg0.clone(),
            args: self.args.clone(),
            slot_args: self.slot_args.clone(),
            env: self.env.clone(),
            identity: self.identity.clone(),
            umask: self.umask,
            directory: self.directory.clone(),
            output: self.output.clone(),
            reading: BTreeMap::new(),
            images: BTreeMap::from([(generation, Image { master: None, ..image.clone() })]),
            launch: self.launch.clone(),
        })
    }

    /// Starts another program in place of that of nodes.
    ///
    /// # Errors
    /// Where it is not there.
    pub(crate) fn running(mut self, program: &Path, args: &[OsString]) -> io::Result<Launcher> {
        let held = hold(&locate(program, &self.directory))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        self.images.values_mut().for_each(|image| image.program = held.clone());
        (self.arg0, self.args, self.slot_args) = (program.into(), args.to_vec(), None);
        Ok(self)
    }
}
