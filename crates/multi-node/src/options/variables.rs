//! What the environment says of options, for programs that go by it.

use super::{Options, settings};
use crate::Error;

impl Options {
    /// These options, changed by what `lookup` says of `PORT`, `HOST` and `NODES`.
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
        Ok(self)
    }
}
