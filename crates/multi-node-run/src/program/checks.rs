//! What is known of a program before it is started, and what is refused.

use std::ffi::OsString;
use std::path::Path;

use super::lookup::{self, Found};
use super::{FIRST, Program, Readiness, Sockets};
use crate::{Error, environment};

/// The most descriptors that an exec shim may number.
const HIGHEST_FD: u32 = 1000;

impl Program {
    /// What only shows with the number of sockets.
    pub(crate) fn check(&self, sockets: usize) -> Result<(), Error> {
        let refused = |option, value: String, allowed: String| Err(Error::Option { option, value, allowed });
        let first_free = FIRST + u32::try_from(sockets).unwrap_or(HIGHEST_FD);
        match (self.ready_fd, &self.readiness) {
            (Some(number), _) if !(first_free..=HIGHEST_FD).contains(&number) => {
                refused("ready_fd", number.to_string(), format!("expected {first_free} to {HIGHEST_FD}, since the sockets come before"))
            }
            (_, Readiness::Http(path)) if !path.starts_with('/') || path.contains(char::is_whitespace) => {
                refused("readiness", path.clone(), "expected a path that begins with /".to_owned())
            }
            (_, Readiness::Http(path)) if !self.wants_node_port() => refused(
                "readiness",
                path.clone(),
                "to be asked over HTTP a node needs a port of its own: give it {node_port} in an argument or a variable".to_owned(),
            ),
            _ => self.check_affinity().and_then(|()| self.check_primary()),
        }
    }

    fn check_affinity(&self) -> Result<(), Error> {
        let Some(affinity) = &self.affinity else { return Ok(()) };
        let other = "only Node.js programs that run a script, such as `node server.js`; a program that links multi-node sets it in its own options";
        let refused = if self.is_node_js() { affinity.check().err() } else { Some(other) };
        refused.map_or(Ok(()), |allowed| {
            Err(Error::Option { option: "affinity", value: affinity.to_string(), allowed: allowed.to_owned() })
        })
    }

    fn check_primary(&self) -> Result<(), Error> {
        let Some(file) = &self.primary else { return Ok(()) };
        let refused = |allowed: &str| {
            let (option, value) = ("primary", file.to_string_lossy().into_owned());
            Err(Error::Option { option, value, allowed: allowed.to_owned() })
        };
        if !self.is_node_js() {
            return refused("only Node.js programs that run a script, such as `node server.js`, have a primary");
        }
        let directory = environment::working_directory().unwrap_or_default();
        if directory.join(file).is_file() { Ok(()) } else { refused("there is no such file") }
    }

    /// Whether the node's channel is that of a cluster worker.
    pub(crate) fn is_node_js(&self) -> bool {
        let directory = environment::working_directory().unwrap_or_default();
        // Without a script Node sets no worker up, though the variable says that there is one.
        let evaluates = |arg: &OsString| ["-e", "-p", "--eval", "--print"].iter().any(|option| arg == option);
        let is = || !self.args.iter().any(evaluates) && lookup::is_run_by_node(Path::new(&self.program), &directory);
        self.node_js.unwrap_or_else(is)
    }

    /// Whether a program that links this crate is to find its master. One that does not would leave the descriptor to all that
    /// it starts.
    pub(crate) fn offers_parent_info(&self) -> bool {
        let directory = environment::working_directory().unwrap_or_default();
        self.sockets == Sockets::All && !lookup::never_links(Path::new(&self.program), &directory)
    }

    /// Where it is. If the program is missing, the command fails at once, before any node does.
    pub(crate) fn find(&self) -> Result<Found, Error> {
        let failed = |source| Error::Program { program: self.program.to_string_lossy().into_owned(), source };
        let directory = environment::working_directory().map_err(failed)?;
        lookup::find(Path::new(&self.program), &directory).map_err(failed)
    }
}
