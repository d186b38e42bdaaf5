//! Programs on disk: where a name leads, and what is kept of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{control, environment, sys};

/// A program that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Its file, whatever is put in its place.
    #[serde(with = "control::shared")]
    File(Arc<OwnedFd>),
    /// A script's interpreter opens it by its path.
    Script(PathBuf),
}

impl Held {
    /// Where it can be executed.
    pub fn path(&self) -> PathBuf {
        match self {
            Held::File(file) => sys::process::held(file),
            Held::Script(path) => path.clone(),
        }
    }
}

/// The program's path as it was typed: found in `PATH` where it has no slash, absolute, links not resolved.
pub fn locate(typed: &Path, directory: &Path) -> PathBuf {
    if typed.components().count() > 1 {
        return directory.join(typed);
    }
    let found = environment::search_path().into_iter().map(|folder| directory.join(folder).join(typed));
    found.into_iter().find(|path| path.is_file()).unwrap_or_else(|| directory.join(typed))
}

/// Holds the program at this path, if it can be executed.
///
/// # Errors
/// Where it cannot.
pub fn hold(program: &Path) -> io::Result<Held> {
    use io::Read;
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(program)?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not an executable file"));
    }
    let mut start = [0; 2];
    // A program that may be run but not read is no script: its interpreter could not read it either.
    let script =
        std::fs::File::open(program).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!";
    if script {
        Ok(Held::Script(program.to_owned()))
    } else {
        sys::process::hold(program).map(|file| Held::File(file.into()))
    }
}
