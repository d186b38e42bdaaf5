//! A deploy folder: releases side by side, and a link to the one that is to run.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::server::BROKEN;

/// The name of the program file in each release.
const PROGRAM: &str = "server";

/// The folder, which is removed when this is dropped.
pub(super) struct Releases {
    folder: TempDir,
    current: usize,
    made: usize,
}

impl Releases {
    /// With a first release, which is current.
    pub(super) fn new() -> Result<Releases> {
        let folder = tempfile::Builder::new().prefix("loss-").tempdir()?;
        let mut releases = Releases { folder, current: 0, made: 0 };
        releases.deploy()?;
        Ok(releases)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program's path, which leads to the current release.
    pub(super) fn program(&self) -> PathBuf {
        self.folder().join("current").join(PROGRAM)
    }

    /// The current release's name.
    pub(super) fn current(&self) -> String {
        self.current.to_string()
    }

    /// Makes a new release of a program file of its own, and turns the link to it.
    pub(super) fn deploy(&mut self) -> Result<()> {
        let old = self.current;
        self.make()?;
        self.turn_to(self.made)?;
        self.remove_before(old)
    }

    /// The same with a release that does not come up; gives the one before, to go back to.
    pub(super) fn deploy_broken(&mut self) -> Result<usize> {
        let old = self.current;
        self.make()?;
        fs::write(self.release(self.made).join(BROKEN), "")?;
        self.turn_to(self.made)?;
        Ok(old)
    }

    /// Turns the link in one step.
    pub(super) fn turn_to(&mut self, release: usize) -> Result<()> {
        let next = self.folder().join("next");
        symlink(format!("releases/{release}"), &next)?;
        fs::rename(next, self.folder().join("current"))?;
        self.current = release;
        Ok(())
    }

    fn make(&mut self) -> Result<()> {
        self.made += 1;
        let release = self.release(self.made);
        fs::create_dir_all(&release)?;
        fs::copy(std::env::current_exe()?, release.join(PROGRAM)).context("cannot copy the program")?;
        Ok(())
    }

    /// Fifty copies of a program fill a small disk.
    fn remove_before(&self, release: usize) -> Result<()> {
        for release in fs::read_dir(self.folder().join("releases"))?.flatten().filter(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<usize>().ok())
                .is_some_and(|number| number < release)
        }) {
            fs::remove_dir_all(release.path())?;
        }
        Ok(())
    }

    fn release(&self, number: usize) -> PathBuf {
        self.folder().join("releases").join(number.to_string())
    }
}
