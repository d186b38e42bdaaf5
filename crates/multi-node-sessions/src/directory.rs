//! The directory and the files in it, which must be this user's alone.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::SessionError;

/// The files of one database.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Makes the directory where it is missing (its parent must exist), and checks that no other user can write in it.
    pub(crate) fn prepare(directory: &Path) -> Result<Files, SessionError> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(SessionError::files("make the directory", directory)(error));
            }
            _ => {}
        }
        // systemd gives some services a symbolic link.
        let directory = fs::canonicalize(directory).map_err(SessionError::files("open", directory))?;
        let found = fs::metadata(&directory).map_err(SessionError::files("open", &directory))?;
        check_directory(&directory, &found)?;
        Ok(Files { directory })
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join("sessions.db")
    }

    /// The log of what is not in the database yet.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("sessions.db-wal")
    }

    /// The index of the log, which all processes map.
    pub(crate) fn index(&self) -> PathBuf {
        self.directory.join("sessions.db-shm")
    }

    /// Where a new database is made.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.directory.join("sessions.db.new")
    }

    /// Held by the process that opens the database.
    pub(crate) fn opening_lock(&self) -> PathBuf {
        self.directory.join("sessions.lock")
    }

    /// Held by the process that removes expired sessions.
    pub(crate) fn housekeeping_lock(&self) -> PathBuf {
        self.directory.join("sessions.housekeeping.lock")
    }
}

/// Opens a file of ours, made with mode 0600 where it is missing.
pub(crate) fn open_private(path: &Path) -> Result<File, SessionError> {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    let opened = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            check_file(path)?;
            options.open(path)
        }
        opened => opened,
    };
    opened.map_err(SessionError::files("open", path))
}

/// The file is a plain one of ours, which no other user can open.
pub(crate) fn check_file(path: &Path) -> Result<(), SessionError> {
    let found = fs::symlink_metadata(path).map_err(SessionError::files("open", path))?;
    if !found.is_file() {
        return Err(not_private(path, "is no plain file".to_owned(), "remove it"));
    }
    check_owner(path, &found)?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem = format!("can be opened by other users (mode {mode:04o})");
        return Err(not_private(path, problem, "set its mode to 0600, and consider what is in it known"));
    }
    Ok(())
}

pub(crate) fn remove(path: &Path) -> Result<(), SessionError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(SessionError::files("remove", path)(error)),
        _ => Ok(()),
    }
}

fn check_directory(path: &Path, found: &Metadata) -> Result<(), SessionError> {
    if !found.is_dir() {
        return Err(not_private(path, "is no directory".to_owned(), "use another path"));
    }
    check_owner(path, found)?;
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let problem = format!("can be written to by other users (mode {mode:04o})");
        return Err(not_private(path, problem, "set its mode to 0700, or use another directory"));
    }
    Ok(())
}

fn check_owner(path: &Path, found: &Metadata) -> Result<(), SessionError> {
    match user() {
        Some(user) if user != found.uid() => {
            let problem = format!("belongs to user {}, and this process runs as user {user}", found.uid());
            Err(not_private(path, problem, "run as that user, change the owner, or use another directory"))
        }
        _ => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn user() -> Option<u32> {
    Some(multi_node_sys::process::user())
}

#[cfg(not(target_os = "linux"))]
fn user() -> Option<u32> {
    None
}

fn not_private(path: &Path, problem: String, remedy: &'static str) -> SessionError {
    SessionError::NotPrivate { path: path.to_owned(), problem, remedy }
}
