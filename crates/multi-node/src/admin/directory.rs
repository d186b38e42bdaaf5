//! Where control sockets are: a folder of the user's own.

use std::fs::Permissions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::options::is_instance_name;
use crate::{environment, sys};

/// What follows the name in the name of a socket's file.
const SUFFIX: &str = ".sock";

/// A control socket that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Place {
    /// The program's name.
    pub name: String,
    /// The socket's path.
    pub path: PathBuf,
}

/// The control sockets of this user's programs, by name. One that a killed program has left behind is among them.
///
/// # Errors
/// Where the runtime directory cannot be read, or belongs to somebody else, who must not pose as our programs.
pub fn instances() -> io::Result<Vec<Place>> {
    let directory = runtime_directory();
    let entries = match check(&directory).and_then(|()| std::fs::read_dir(&directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| named(&directory, &error))?,
    };
    let place = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_str()?.strip_suffix(SUFFIX).filter(|name| is_instance_name(name))?.to_owned();
        Some(Place { name, path: entry.path() })
    };
    let mut places: Vec<Place> = entries.flatten().filter_map(place).collect();
    places.sort();
    Ok(places)
}

/// Why programs of this user that are started as this one could have no control socket in the runtime directory, and so are not
/// among [`instances`]; `Ok` where they could.
///
/// # Errors
/// Where the directory cannot be made, cannot be written to, or is not this user's alone. The error names it.
pub fn check_runtime_directory() -> io::Result<()> {
    let directory = runtime_directory();
    let checked = match check(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(directory.parent().unwrap_or(&directory)),
        checked => checked.map(|()| directory.as_path()),
    };
    checked.and_then(sys::process::may_write).map_err(|error| named(&directory, &error))
}

/// Where the control socket of this user's program of that name is, whether it runs or not.
pub fn socket_path(name: &str) -> PathBuf {
    runtime_directory().join(format!("{name}{SUFFIX}"))
}

/// As [`socket_path`], where nobody else can have made it.
pub(super) fn checked_socket_path(name: &str) -> Result<PathBuf, (PathBuf, io::Error)> {
    let directory = runtime_directory();
    match check(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((directory, error)),
        _ => Ok(socket_path(name)),
    }
}

/// Removes the sockets of this name and a process id whose process has gone: nobody will open one of that name again.
pub(super) fn remove_left(name: &str) {
    let is_left = |place: &Place| {
        let pid = place.name.strip_prefix(name)?.strip_prefix('-')?.parse().ok()?;
        Some(sys::process::entry_of(pid).is_none())
    };
    for place in instances().unwrap_or_default() {
        if is_left(&place) == Some(true)
            && let Err(error) = std::fs::remove_file(&place.path)
        {
            crate::log::debug!(path = %place.path.display(), %error, "cannot remove the control socket of a process that has gone");
        }
    }
}

fn named(directory: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {}", directory.display(), crate::error::describe(error)))
}

/// The session's, if it is this user's: what `sudo` leaves of another's environment is not to be used.
fn runtime_directory() -> PathBuf {
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
pub(crate) fn shared_script(stem: &str, text: &str, for_others: bool) -> io::Result<PathBuf> {
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
pub(super) fn prepare() -> Result<PathBuf, (PathBuf, io::Error)> {
    prepared(runtime_directory())
}

fn prepared(directory: PathBuf) -> Result<PathBuf, (PathBuf, io::Error)> {
    let made = match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    match made.and_then(|()| check(&directory)) {
        Ok(()) => Ok(directory),
        Err(error) => Err((directory, error)),
    }
}

/// Somebody else who may write here could put a socket of their own in the place of ours.
fn check(directory: &Path) -> io::Result<()> {
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
