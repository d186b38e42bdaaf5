//! A folder of the user's own, where control sockets are and files that nodes read.

use std::fs::Permissions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{environment, sys};

/// The error with the path that it is about.
pub fn named(directory: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {}", directory.display(), crate::error::describe(error)))
}

/// The session's, if it is this user's: what `sudo` leaves of another's environment is not to be used.
pub fn runtime_directory() -> PathBuf {
    let user = sys::process::user();
    let own = |path: &PathBuf| path.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == user);
    match environment::session_directory().filter(own) {
        Some(session) => session.join("multi-node"),
        None if user == 0 => PathBuf::from("/run/multi-node"),
        None => PathBuf::from(format!("/tmp/multi-node-{user}")),
    }
}

/// A file of this JavaScript that nodes read, made if it was not there: in the runtime directory, or for nodes of other users in a
/// directory that every user can read. Another text has another name, so that the file of a program that runs is never replaced.
pub fn shared_script(stem: &str, text: &str, for_others: bool) -> io::Result<PathBuf> {
    let made = if for_others { prepare_readable() } else { prepare() };
    let directory = made.map_err(|(directory, error)| named(&directory, &error))?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let name = format!("{stem}-{:016x}.js", hasher.finish());
    let path = directory.join(&name);
    if std::fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(path);
    }
    let begun = directory.join(format!("{name}.{}", std::process::id()));
    let written = std::fs::write(&begun, text)
        .and_then(|()| std::fs::set_permissions(&begun, Permissions::from_mode(0o644)))
        .and_then(|()| std::fs::rename(&begun, &path));
    written.map(|()| path).map_err(|error| named(&begun, &error))
}

fn prepare_readable() -> Result<PathBuf, (PathBuf, io::Error)> {
    let directory = match sys::process::user() {
        0 => PathBuf::from("/run/multi-node-shared"),
        user => PathBuf::from(format!("/tmp/multi-node-shared-{user}")),
    };
    let directory = prepared(directory)?;
    match std::fs::set_permissions(&directory, Permissions::from_mode(0o755)) {
        Ok(()) => Ok(directory),
        Err(error) => Err((directory, error)),
    }
}

/// The runtime directory, made if it was not there, and checked.
pub fn prepare() -> Result<PathBuf, (PathBuf, io::Error)> {
    prepared(runtime_directory())
}

/// This directory, made if it was not there, and checked.
pub(crate) fn prepared(directory: PathBuf) -> Result<PathBuf, (PathBuf, io::Error)> {
    let made = match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    match made.and_then(|()| check(&directory)) {
        Ok(()) => Ok(directory),
        Err(error) => Err((directory, error)),
    }
}

/// Another user who may write here could replace our socket by their own.
pub fn check(directory: &Path) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(directory)?;
    let denied = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if !meta.is_dir() {
        return denied("the runtime directory is no directory");
    }
    if meta.uid() != sys::process::user() {
        return denied("the runtime directory belongs to another user");
    }
    if meta.mode() & 0o022 != 0 {
        return denied("the runtime directory can be written to by others");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_shared_script_is_made_once_and_made_anew_where_it_is_another() {
        let stem = format!("directory-test-{}", std::process::id());
        let path = shared_script(&stem, "one", false).expect("made");
        let inode = || path.metadata().expect("there").ino();
        let first = inode();
        assert_eq!(shared_script(&stem, "one", false).expect("there"), path);
        assert_eq!(inode(), first);
        std::fs::write(&path, "another").expect("written");
        shared_script(&stem, "one", false).expect("made");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), "one");
        let other = shared_script(&stem, "two", false).expect("made");
        assert_ne!(path, other);
        [path, other].iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let folder = std::env::temp_dir().join(format!("multi-node-directory-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder).expect("made");
        assert!(check(&folder).is_ok());
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o770)).expect("it is ours");
        assert_eq!(check(&folder).expect_err("refused").kind(), io::ErrorKind::PermissionDenied);
        std::fs::remove_dir(&folder).expect("removed");
        assert_eq!(check(&folder).expect_err("gone").kind(), io::ErrorKind::NotFound);
    }
}
