//! What the environment says of options, for programs that go by it.

use super::{Options, settings};
use crate::{Error, environment};

impl Options {
    /// The defaults, changed by the environment: `PORT`, `HOST`, and `NODES` (a number, or `auto` for the available
    /// cores); with the feature `nats` also `JOIN` (the servers of `Options::join`) and `MACHINE` (this machine's name).
    ///
    /// # Errors
    /// [`Error::Option`] for a value that is not allowed.
    pub fn from_env() -> Result<Options, Error> {
        Options::new().with_env()
    }

    /// These options, changed by the environment as in [`from_env`](Options::from_env): for defaults of the program's
    /// own.
    ///
    /// # Errors
    /// [`Error::Option`] for a value that is not allowed.
    pub fn with_env(self) -> Result<Options, Error> {
        self.with_variables(environment::variable)
    }

    /// These options, changed by what `lookup` says of these variables.
    pub(crate) fn with_variables(mut self, lookup: impl Fn(&'static str) -> Option<String>) -> Result<Options, Error> {
        if let Some(text) = lookup("PORT") {
            self.port = settings::number("PORT", &text, 0..=u16::MAX.into())? as u16;
            self.origins.environment.insert("bind");
        }
        if let Some(text) = lookup("HOST") {
            self.host = text;
            self.origins.environment.insert("bind");
        }
        let nodes = lookup("NODES");
        self.origins.environment.extend(nodes.is_some().then_some("nodes"));
        match nodes.as_deref() {
            None => {}
            Some("auto") => self.nodes = None,
            Some(text) => self.nodes = Some(settings::number("NODES", text, 0..=settings::MOST_NODES)?),
        }
        #[cfg(feature = "join")]
        self.join_by(lookup);
        Ok(self)
    }

    /// `JOIN` names the servers, in place of the program's own; `MACHINE` counts if there are some.
    #[cfg(feature = "join")]
    fn join_by(&mut self, lookup: impl Fn(&'static str) -> Option<String>) {
        let join = lookup("JOIN");
        self.origins.environment.extend(join.is_some().then_some("join"));
        let join = join.map(super::Join::new).or(self.join.take());
        self.join = join.map(|join| lookup("MACHINE").into_iter().fold(join, super::Join::machine));
    }
}
