//! Settings for one program, as the text of a file.

use toml::{Table, Value};

/// The settings for an app, and what there is no setting for.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    pub(crate) name: String,
    pub(super) settings: Table,
    pub(super) env: Table,
    /// Why something is in no setting, with its name in front.
    pub(crate) left_out: Vec<String>,
}

impl Translated {
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    pub(super) fn leave_out(&mut self, name: &str, why: &str) {
        // It becomes a comment of one line.
        self.left_out.push(format!("{name}: {why}").replace(['\n', '\r'], " "));
    }

    /// The text of the file, which says itself what is missing.
    pub(crate) fn text(&self) -> String {
        let mut table = self.settings.clone();
        if !self.env.is_empty() {
            table.insert("env".to_owned(), Value::Table(self.env.clone()));
        }
        let comments: String = self.left_out.iter().map(|why| format!("# Not translated: {why}\n")).collect();
        format!("{comments}{table}")
    }
}
