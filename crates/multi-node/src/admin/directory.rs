//! Where control sockets are: in the runtime directory.

use std::io;
use std::path::PathBuf;

use crate::options::is_instance_name;
use crate::runtime_directory::{check, named, runtime_directory};
use crate::sys;

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

/// The control sockets of this user's programs, by name, including those that killed programs have left.
///
/// # Errors
/// If the runtime directory cannot be read, or belongs to another user, who must not pose as our programs.
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

/// As [`socket_path`], but only if no other user can have made it.
pub(super) fn checked_socket_path(name: &str) -> Result<PathBuf, (PathBuf, io::Error)> {
    let directory = runtime_directory();
    match check(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((directory, error)),
        _ => Ok(socket_path(name)),
    }
}

/// Removes sockets with this name and the process id of a process that is gone: no program will open that name again.
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
