//! The control socket's file. It is made where no other program's file is, and removed at the end.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::Instant;

use super::directory;
use crate::error::Error;
use crate::runtime_directory;

/// Connections that wait to be accepted. More of them are refused by the kernel.
const BACKLOG: u32 = 64;

/// Two programs that start at once take turns; each needs a moment.
const TURN: Duration = Duration::from_secs(5);

/// A control socket that is listened on. Dropped, its file is removed.
#[derive(Debug)]
pub(super) struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode: they show whether another program has replaced the file.
    file: (u64, u64),
}

impl ControlSocket {
    /// Opens the socket of this name; one that a killed program has left is replaced.
    pub(super) async fn open(name: &str) -> Result<ControlSocket, Error> {
        let directory = runtime_directory::prepare().map_err(|(path, source)| failed(&path, source))?;
        let path = directory::socket_path(name);
        ControlSocket::open_in(&directory, &path).await.map_err(|failure| match failure {
            Failure::Taken(pid) => taken(name, pid),
            Failure::Io(path, source) => failed(&path, source),
        })
    }

    /// The same, and where another program has the name, with this process's id behind it.
    pub(super) async fn open_preferred(name: &str) -> Result<ControlSocket, Error> {
        match ControlSocket::open(name).await {
            Err(Error::NameTaken { .. }) => {
                directory::remove_left(name);
                ControlSocket::open(&format!("{name}-{}", std::process::id())).await
            }
            opened => opened,
        }
    }

    /// The name of the socket's file, without what follows it.
    pub(super) fn name(&self) -> Option<String> {
        self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
    }

    /// Opens the socket at this path, whichever directory that is in.
    pub(super) async fn open_at(path: &Path) -> Result<ControlSocket, Error> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let opened = ControlSocket::open_in(directory, path).await;
        opened.map_err(|failure| {
            let (source, remedy) = match failure {
                Failure::Taken(_) => {
                    (io::ErrorKind::AddrInUse.into(), "another program listens there; choose another path")
                }
                Failure::Io(_, source) => (source, "choose a path whose directory exists and can be written to"),
            };
            Error::ControlSocket { path: path.display().to_string(), source, remedy: remedy.to_owned() }
        })
    }

    async fn open_in(directory: &Path, path: &Path) -> Result<ControlSocket, Failure> {
        // Whether a socket is stale must not change between the look at it and its removal.
        let _turn = turn(directory).await.map_err(|source| Failure::Io(directory.to_owned(), source))?;
        match UnixStream::connect(path).await {
            Ok(other) => return Err(Failure::Taken(other.peer_cred().ok().and_then(|peer| peer.pid()))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Failure::Taken(None)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => remove_socket(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
        .and_then(|()| ControlSocket::bind(path))
        .map_err(|source| Failure::Io(path.to_owned(), source))
    }

    fn bind(path: &Path) -> io::Result<ControlSocket> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        // Before it listens no client can connect, so there is no moment with a wider mode.
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let file = identity(path)?;
        Ok(ControlSocket { listener: socket.listen(BACKLOG)?, path: path.to_owned(), file })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            crate::log::debug!(path = %self.path.display(), %error, "cannot remove the control socket");
        }
    }
}

/// Why a socket is not open.
enum Failure {
    /// Another program listens there, with this pid if the system shows it.
    Taken(Option<i32>),
    Io(PathBuf, io::Error),
}

/// Who connects to a file that is no socket is refused too.
fn remove_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path)?.file_type().is_socket() {
        true => std::fs::remove_file(path),
        false => Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is in the way")),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Waits for this program's turn among those that open a control socket; it lasts until the file is closed.
async fn turn(directory: &Path) -> io::Result<File> {
    let file = File::open(directory)?;
    let deadline = Instant::now() + TURN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn taken(name: &str, pid: Option<i32>) -> Error {
    Error::NameTaken { name: name.to_owned(), pid: pid.and_then(|pid| pid.try_into().ok()) }
}

fn failed(path: &Path, source: io::Error) -> Error {
    let remedy = match source.kind() {
        io::ErrorKind::PermissionDenied => "remove the directory, or set XDG_RUNTIME_DIR to one that is yours alone",
        io::ErrorKind::InvalidInput => "107 bytes are the most; choose a shorter name, or a shorter XDG_RUNTIME_DIR",
        io::ErrorKind::TimedOut => "another process holds a lock on the directory",
        _ => "check the directory, or set XDG_RUNTIME_DIR to another",
    };
    Error::ControlSocket { path: path.display().to_string(), source, remedy: remedy.to_owned() }
}
