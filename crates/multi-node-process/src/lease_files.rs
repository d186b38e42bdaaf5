//! The files of leases: the holder of a lease has its file locked (flock(2)) while its process lives.
//!
//! They are in a directory of the instance, which is the same for later runs. So no process of a later run holds a lease beside one that an
//! earlier run has left.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use multi_node_fleet::hash::fnv1a;

use crate::environment;
use crate::family::{Run, Token};
use crate::run_directory;
use crate::runtime_directory::{self, prepared, runtime_directory};
use crate::sys;

/// File names may have 255 bytes (pathname(7)). This leaves room for what stands before the encoded text.
const LONGEST_ENCODED: usize = 200;

/// Where the files of one instance's leases are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseDirectory(PathBuf);

/// A lease's file, locked until this is dropped.
#[derive(Debug)]
pub struct LeaseFile(File);

impl LeaseDirectory {
    /// That of a run. Later runs of its instance have the same, if an instance can be told by its name or its addresses.
    pub fn of(run: &Run) -> LeaseDirectory {
        let name = match run.lasting_instance() {
            Some(instance) => format!("leases-{}-{}", run.user(), encoded(instance)),
            None => run_directory::name_of(run.master),
        };
        LeaseDirectory(runtime_directory().join(name))
    }

    /// That of the instance whose node this process is, or was started by.
    pub fn of_node() -> Option<LeaseDirectory> {
        let token = environment::instance()?;
        Token::parse(&token).map(|token| LeaseDirectory::of(&token.run))
    }

    /// The path, which need not exist.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Locks the file of the lease of this name. `None`: another process has it.
    ///
    /// # Errors
    /// With the path that cannot be used, or that others can write to.
    pub fn try_lock(&self, name: &str) -> Result<Option<LeaseFile>, (PathBuf, io::Error)> {
        runtime_directory::prepare()?;
        let path = prepared(self.0.clone())?.join(format!("{}.lease", encoded(name)));
        try_lock(&path).map_err(|error| (path, error))
    }
}

impl From<PathBuf> for LeaseDirectory {
    fn from(path: PathBuf) -> LeaseDirectory {
        LeaseDirectory(path)
    }
}

impl LeaseFile {
    /// Lets programs that this process becomes or starts inherit the lock.
    ///
    /// # Errors
    /// Those of the system.
    pub fn inherit(&self) -> io::Result<()> {
        sys::exec::let_inherit(self.0.as_fd())
    }
}

fn try_lock(path: &Path) -> io::Result<Option<LeaseFile>> {
    // The directory is ours alone, so this is no link of another user's.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        // Somebody may have removed the file since: then the lock excludes nobody who comes later.
        Ok(()) if is_at(&file, path) => Ok(Some(LeaseFile(file))),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    let (file, path) = (file.metadata().map(identity), path.metadata().map(identity));
    file.is_ok_and(|file| path.is_ok_and(|path| file == path))
}

/// The text as a part of a file's name. Different texts have different ones: of a long one the end is a hash.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b':' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02x}")),
        }
    }
    if encoded.len() > LONGEST_ENCODED {
        encoded.truncate(LONGEST_ENCODED - 17);
        encoded.push_str(&format!("~{:016x}", fnv1a(text.bytes())));
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::ProcessId;

    fn directory(name: Option<&str>, addresses: &[&str]) -> LeaseDirectory {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        LeaseDirectory::of(&Run::new(name, &[addresses], 1000, ProcessId { pid: 4711, start: 9 }))
    }

    fn name(directory: &LeaseDirectory) -> &str {
        directory.path().file_name().and_then(|name| name.to_str()).expect("a name")
    }

    #[test]
    fn an_instance_has_its_directory_if_it_can_be_told_from_others() {
        assert_eq!(name(&directory(Some("web"), &[])), "leases-1000-web");
        assert_eq!(
            name(&directory(None, &["0.0.0.0:80", "127.0.0.1:0"])),
            "leases-1000-%400%2e0%2e0%2e0:80%2c127%2e0%2e0%2e1:0"
        );
        for addresses in [&[][..], &["127.0.0.1:0"], &["[::1]:0", "0.0.0.0:0"]] {
            assert_eq!(name(&directory(None, addresses)), "run-4711-9", "{addresses:?} are another program's too");
        }
    }

    #[test]
    fn names_of_leases_are_no_paths() {
        assert_eq!(encoded("cron"), "cron");
        assert_eq!(encoded("../a b/ä"), "%2e%2e%2fa%20b%2f%c3%a4");
        let (one, other) = (encoded(&"/".repeat(255)), encoded(&"/".repeat(254)));
        assert!(one != other && one.len() <= LONGEST_ENCODED && other.len() <= LONGEST_ENCODED);
    }

    #[test]
    fn a_lock_excludes_until_it_is_dropped() {
        let run = Run::new(None, &[], 0, ProcessId { pid: std::process::id(), start: 7 });
        let directory = LeaseDirectory::of(&run);
        let lock = |name: &str| directory.try_lock(name).expect("usable");
        let held = lock("../cron").expect("nobody has it");
        assert!(lock("../cron").is_none() && lock("mail").is_some());
        std::fs::remove_file(directory.path().join("%2e%2e%2fcron.lease")).expect("there");
        assert!(lock("../cron").is_some(), "the file is another");
        drop(held);
        std::fs::remove_dir_all(directory.path()).expect("ours");
    }
}
