//! Programs on disk: where a name leads, and what is kept of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::{environment, sys};

#[derive(Debug)]
pub(crate) enum Held {
    File(OwnedFd),
    /// A script's interpreter opens it by its path.
    Script(PathBuf),
}

impl Held {
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Held::File(file) => sys::process::held(file),
            Held::Script(path) => path.clone(),
        }
    }
}

/// The program's path as it was typed: found in `PATH` where it has no slash, absolute, links not resolved.
pub(super) fn locate(typed: &Path, directory: &Path) -> PathBuf {
    if typed.components().count() > 1 {
        return directory.join(typed);
    }
    let found = environment::search_path().into_iter().map(|folder| directory.join(folder).join(typed));
    found.into_iter().find(|path| path.is_file()).unwrap_or_else(|| directory.join(typed))
}

/// A program that could be executed.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// What was there; of a script nothing, since its interpreter opens it by its path.
    pub(crate) file: Option<OwnedFd>,
}

/// Finds a program of this name or path.
pub(crate) fn find(typed: &Path, directory: &Path) -> io::Result<Found> {
    let path = locate(typed, directory);
    let file = match hold(&path)? {
        Held::File(file) => Some(file),
        Held::Script(_) => None,
    };
    Ok(Found { path, file })
}

/// Whether the program is Node.js, or a script that names it in its first line.
pub(crate) fn is_run_by_node(typed: &Path, directory: &Path) -> bool {
    use io::Read;
    let is_node = |path: &Path| path.file_name().is_some_and(|name| name == "node" || name == "nodejs");
    let Ok(program) = locate(typed, directory).canonicalize() else { return false };
    let mut start = Vec::new();
    let read = std::fs::File::open(&program).and_then(|file| file.take(256).read_to_end(&mut start));
    let line = start.split(|&byte| byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
    let script = line.filter(|_| read.is_ok()).and_then(|line| line.strip_prefix("#!"));
    is_node(&program) || script.is_some_and(|line| line.split_whitespace().any(|word| is_node(Path::new(word))))
}

pub(super) fn hold(program: &Path) -> io::Result<Held> {
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
    if script { Ok(Held::Script(program.to_owned())) } else { sys::process::hold(program).map(Held::File) }
}
