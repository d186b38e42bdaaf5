//! Where the values of options come from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Options;

/// Where an option's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// Nothing sets another value.
    Default,
    /// The program's code.
    Code,
    /// The environment ([`Options::with_env`]).
    Environment,
    /// A file of settings.
    File,
    /// The command line.
    CommandLine,
}

/// An option, as `describe` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OptionInForce {
    /// The name, as it was typed.
    pub name: String,
    /// The value, for people. Of environment variables the names alone.
    pub value: String,
    /// Where the value comes from.
    pub from: Origin,
}

impl OptionInForce {
    /// This option with this value.
    pub fn new(name: impl Into<String>, value: impl Into<String>, from: Origin) -> OptionInForce {
        OptionInForce { name: name.into(), value: value.into(), from }
    }
}

/// What is known of the origins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    /// Options that the environment has set.
    pub(crate) environment: BTreeSet<&'static str>,
    /// What is shown in place of the options themselves.
    pub(crate) listed: Option<Vec<OptionInForce>>,
}

impl Options {
    /// What `describe` shows in place of these options: for programs whose users know them by other names, as those of
    /// `multi-node run`.
    pub fn described_as(mut self, options: impl IntoIterator<Item = OptionInForce>) -> Options {
        self.origins.listed = Some(options.into_iter().collect());
        self
    }
}
