//! Standard output, where it is a terminal and where it is not.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use serde::Serialize;

use crate::show::Paint;

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    text(&serde_json::to_string(value)?)
}

/// Prints a text with a newline at its end. A reader who has seen enough, such as `head`, ends the command quietly.
pub(crate) fn text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    if text.is_empty() {
        return Ok(());
    }
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Enough.into()),
        written => Ok(written?),
    }
}

/// Whoever read the output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads on")]
pub(crate) struct Enough;

/// Colours for a terminal, unless `NO_COLOR` says otherwise.
pub(crate) fn paint() -> Paint {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && io::stdout().is_terminal() { Paint::Colours } else { Paint::Plain }
}
