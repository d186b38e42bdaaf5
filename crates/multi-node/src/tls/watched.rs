//! The files of one server's certificates, and what was read of them.

use std::sync::Arc;
use std::time::SystemTime;

use multi_node_tls::{CertificateError, Certificates, Loaded, Pair, PairFiles, Stamp};

use crate::Error;
use crate::serve::Terminator;
use multi_node_fleet::status::CertificateStatus;

/// The certificates of one server.
#[derive(Debug)]
pub(super) struct Watched {
    server: usize,
    terminator: Arc<Terminator>,
    /// What is in force.
    pub(super) loaded: Loaded,
    /// How the files were when they were read last.
    read: Stamp,
    /// How they were at the last look.
    seen: Stamp,
    /// What was wrong with them then.
    error: Option<CertificateError>,
}

/// A look at the files that is still to be done.
pub(super) struct Look {
    terminator: Arc<Terminator>,
    read: Stamp,
    seen: Stamp,
    at_once: bool,
}

/// What a look has shown.
pub(super) enum Looked {
    /// They are as they were.
    Same,
    /// They have changed, and may be changing still: a pair is written as two files.
    Changing(Stamp),
    /// They have been read.
    Read(Stamp, Result<Loaded, CertificateError>),
}

impl Look {
    /// Reads the files if they have changed, and were the same at the look before. It may wait for the disk, and for the code that shakes
    /// hands.
    pub(super) fn look(self) -> Looked {
        let certificates = self.terminator.certificates();
        let stamp = multi_node_tls::stamp(certificates);
        if stamp == self.read {
            return Looked::Same;
        }
        if !self.at_once && stamp != self.seen {
            return Looked::Changing(stamp);
        }
        let loaded = multi_node_tls::load(certificates, SystemTime::now());
        let checked = loaded.and_then(|loaded| self.terminator.check(&loaded.material).map(|()| loaded));
        Looked::Read(stamp, checked)
    }
}

/// Reads and checks the first certificate of a server as the master does.
///
/// # Errors
/// [`Error::Certificate`] where it cannot be used.
pub fn read(certificates: &Certificates) -> Result<Option<Pair>, Error> {
    let loaded = multi_node_tls::load(certificates, SystemTime::now()).map_err(|error| refused(&error))?;
    Ok(loaded.material.pairs.into_iter().next())
}

/// What was read at the start, and is an error of the program.
fn refused(error: &CertificateError) -> Error {
    Error::Certificate { file: error.file().display().to_string(), cause: error.to_string() }
}

impl Watched {
    /// Reads the files for the first time.
    pub(super) fn load(server: usize, terminator: Arc<Terminator>) -> Result<Watched, Error> {
        let read = multi_node_tls::stamp(terminator.certificates());
        let loaded = multi_node_tls::load(terminator.certificates(), SystemTime::now());
        let loaded = loaded.map_err(|error| refused(&error))?;
        Ok(Watched { server, terminator, loaded, seen: read.clone(), read, error: None })
    }

    /// Whether there are files to look at.
    pub(super) fn has_files(&self) -> bool {
        self.terminator.certificates().all_files().next().is_some()
    }

    /// The next look at the files. It runs on a thread that may wait.
    pub(super) fn look(&self, at_once: bool) -> Look {
        // What was wrong may be right by now without a change of the files, such as the time.
        let read = if self.error.is_some() && at_once { Stamp::default() } else { self.read.clone() };
        Look { terminator: self.terminator.clone(), read, seen: self.seen.clone(), at_once }
    }

    /// Takes in what a look has shown; true where that changes what is in force or shown.
    pub(super) fn take_in(&mut self, looked: Looked) -> bool {
        let (stamp, loaded) = match looked {
            Looked::Same => return false,
            Looked::Changing(stamp) => {
                self.seen = stamp;
                return false;
            }
            Looked::Read(stamp, loaded) => (stamp, loaded),
        };
        (self.seen, self.read) = (stamp.clone(), stamp);
        match loaded {
            Ok(loaded) => self.replace(loaded),
            Err(error) => {
                crate::log::error!(
                    target: "multi_node",
                    server = self.server,
                    "the files of certificates have changed and cannot be used, so what they had before stays in force: {error}"
                );
                self.error = Some(error);
                true
            }
        }
    }

    fn replace(&mut self, loaded: Loaded) -> bool {
        let had_error = self.error.take().is_some();
        if loaded == self.loaded {
            return had_error;
        }
        self.loaded = loaded;
        for shown in self.shown() {
            let (file, expires) = (&shown.file, multi_node_tls::date(shown.expires));
            crate::log::info!(target: "multi_node", server = self.server, file, expires, "new certificate");
        }
        true
    }

    /// What is shown.
    pub(super) fn shown(&self) -> Vec<CertificateStatus> {
        let pairs = self.terminator.certificates().pairs();
        let of = |files: &PairFiles| files.cert.display().to_string();
        let infos = pairs.iter().zip(&self.loaded.infos);
        let mut shown: Vec<_> = infos
            .map(|(files, info)| CertificateStatus::new(self.server, of(files), info.names.clone(), info.not_after))
            .collect();
        if let Some(error) = &self.error {
            let has = |files: &PairFiles| files.cert == error.file() || files.key == error.file();
            // Another file of the server is shown with its first certificate.
            let index = pairs.iter().position(has).unwrap_or(0);
            shown[index].error = Some(error.to_string());
        }
        shown
    }
}
