//! A directory that one run of a program has to itself, for files that its processes share. It goes when the run has ended.
//!
//! It is named by the master's process id and start, which every process of the run knows. So no message has to say where it is, and it
//! stays the same over reloads and upgrades.

use std::io;
use std::path::{Path, PathBuf};

use crate::family::ProcessId;
use crate::runtime_directory::{self, check, prepared, runtime_directory};
use crate::{log, sys};

const PREFIX: &str = "run-";

/// The directory of the run that this master leads, made if it was not there. Directories of runs that have ended are removed.
///
/// # Errors
/// With the path that could not be made, or that others can write to.
pub fn prepare(master: u32) -> Result<PathBuf, (PathBuf, io::Error)> {
    let runtime = runtime_directory::prepare()?;
    let directory = runtime.join(name(master));
    let is_new = !directory.exists();
    let directory = prepared(directory)?;
    if is_new {
        remove_ended(&runtime);
    }
    Ok(directory)
}

/// The run of this master ends.
pub fn remove(master: u32) {
    let runtime = runtime_directory();
    // Nothing of this run is in a directory that is not there, or not ours alone.
    if check(&runtime).is_ok() {
        remove_one(&runtime.join(name(master)));
    }
}

fn name(master: u32) -> String {
    // Where /proc hides processes of other users, the number alone has to do.
    let start = sys::process::entry_of(master).map_or(0, |entry| entry.start);
    name_of(ProcessId { pid: master, start })
}

/// What the directory of the run of this master is called.
pub(crate) fn name_of(master: ProcessId) -> String {
    format!("{PREFIX}{}-{}", master.pid, master.start)
}

/// A master that was killed has left its directory.
fn remove_ended(runtime: &Path) {
    let entries = std::fs::read_dir(runtime).into_iter().flatten().flatten();
    let has_ended = |entry: &std::fs::DirEntry| entry.file_name().to_str().is_some_and(has_ended);
    entries.filter(has_ended).for_each(|entry| remove_one(&entry.path()));
}

fn has_ended(name: &str) -> bool {
    let parts = name.strip_prefix(PREFIX).and_then(|parts| parts.split_once('-'));
    let Some((Ok(pid), Ok(start))) = parts.map(|(pid, start)| (pid.parse(), start.parse::<u64>())) else {
        return false;
    };
    let is_another = sys::process::entry_of(pid).is_some_and(|entry| start != 0 && entry.start != start);
    is_another || !sys::process::exists(pid)
}

fn remove_one(directory: &Path) {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!(path = %directory.display(), %error, "cannot remove the files of a run that has ended; remove them by hand");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_run_stays_until_its_end() {
        let own = std::process::id();
        let directory = prepare(own).expect("made");
        assert_eq!(prepare(own).expect("there"), directory);
        let runtime = directory.parent().expect("the runtime directory").to_owned();
        let (ended, another) = (runtime.join("run-4194304-5"), runtime.join(format!("run-{own}-1")));
        let (alive, unknown) = (runtime.join("run-1-0"), runtime.join("run-x"));
        for made in [&ended, &another, &alive, &unknown] {
            std::fs::create_dir_all(made).expect("made");
        }
        std::fs::write(ended.join("file"), "left").expect("written");
        remove_ended(&runtime);
        assert_eq!([&ended, &another].map(|path| path.exists()), [false; 2]);
        assert_eq!([&alive, &unknown, &directory].map(|path| path.exists()), [true; 3]);
        remove(own);
        assert!(!directory.exists());
        remove(own);
        [alive, unknown].iter().for_each(|path| std::fs::remove_dir(path).expect("ours"));
    }
}
