//! Standard output, where it is a terminal and where it is not.

use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use ratatui::crossterm::terminal;
use serde::Serialize;

use crate::show::Paint;

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    text(&serde_json::to_string(value)?)
}

/// Prints a text with a newline at its end. If the reader closes early, such as `head`, the command ends quietly.
pub(crate) fn text(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    bytes(format!("{text}\n").as_bytes())
}

/// As [`text`], without a newline.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Enough.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// The reader of the output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads on")]
pub(crate) struct Enough;

/// Colours for a terminal, unless `NO_COLOR` says otherwise.
pub(crate) fn paint() -> Paint {
    if colours_wanted() && io::stdout().is_terminal() { Paint::Colours } else { Paint::Plain }
}

/// Whether a terminal may be given colours (<https://no-color.org>).
pub(crate) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether standard output goes to the journal of systemd, which names the file in the environment (systemd.exec(5)).
pub(crate) fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM");
    let stdout = std::fs::metadata("/proc/self/fd/1");
    matches!((named, stdout), (Ok(named), Ok(file)) if named == format!("{}:{}", file.dev(), file.ino()))
}

/// How many characters a line of the terminal has; where there is none, whatever is needed.
pub(crate) fn width() -> usize {
    let columns = io::stdout().is_terminal().then(terminal::size).and_then(Result::ok);
    columns.map(|(columns, _)| columns.into()).filter(|&columns| columns > 0).unwrap_or(usize::MAX)
}
