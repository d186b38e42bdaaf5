//! Settings that a reload leaves as they are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A setting that has changed since the master has read it, and that a reload does not apply.
///
/// Shown as `nodes: 2 is in force, 4 is wanted; "scale" applies it`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NotApplied {
    /// The setting's name.
    pub setting: String,
    /// The value in force; `None`: the default.
    pub in_force: Option<String>,
    /// The value that is wanted now.
    pub wanted: Option<String>,
    /// What applies it.
    pub applied_by: AppliedBy,
}

/// What applies a setting that a reload does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AppliedBy {
    /// An upgrade of the master.
    Upgrade,
    /// A change of the number of nodes.
    Scale,
    /// A restart of the whole program.
    Restart,
}

impl NotApplied {
    /// This setting, its two values, and what makes the second one hold.
    pub fn new(
        setting: impl Into<String>,
        in_force: Option<String>,
        wanted: Option<String>,
        applied_by: AppliedBy,
    ) -> NotApplied {
        NotApplied { setting: setting.into(), in_force, wanted, applied_by }
    }
}

impl fmt::Display for NotApplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "the default".to_owned());
        let by = match self.applied_by {
            AppliedBy::Upgrade => "an upgrade applies it",
            AppliedBy::Scale => "`scale` applies it",
            AppliedBy::Restart => "a restart of the whole applies it",
        };
        write!(f, "{}: {} is in force, {} is wanted; {by}", self.setting, shown(&self.in_force), shown(&self.wanted))
    }
}
