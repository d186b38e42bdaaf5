//! The servers, as `peers/rows.toml` describes them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Options;

/// The folder of what the servers are configured by.
pub(super) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rows {
    apps: BTreeMap<String, App>,
    pub(super) rows: Vec<Row>,
}

/// An application.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    /// The file that a deploy changes.
    pub(super) file: String,
    /// In front of a sound release, what makes it fail at its start.
    pub(super) broken: String,
}

/// A server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) name: String,
    #[serde(default)]
    pub(super) ours: bool,
    /// Whether the library promises that nothing is lost.
    #[serde(default)]
    pub(super) promises_none: bool,
    /// Whether it serves HTTPS.
    #[serde(default)]
    pub(super) tls: bool,
    /// Whether it is upgraded in place of being deployed.
    #[serde(default)]
    pub(super) upgrades: bool,
    app: String,
    /// What it has beside its application.
    #[serde(default)]
    pub(super) files: Vec<String>,
    /// What has to be there, below the folder of servers.
    #[serde(default)]
    needs: Vec<PathBuf>,
    pub(super) start: String,
    pub(super) deploy: String,
    /// Where its end takes more than a signal.
    #[serde(default)]
    pub(super) stop: String,
}

/// Where all that is started is found.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) bench: PathBuf,
    pub(super) command: PathBuf,
    pub(super) servers: PathBuf,
    pub(super) package: PathBuf,
}

pub(super) fn all() -> Result<Rows> {
    let path = Path::new(FOLDER).join("rows.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

impl Rows {
    pub(super) fn app(&self, row: &Row) -> Result<&App> {
        self.apps.get(&row.app).with_context(|| format!("{}: there is no application {}", row.name, row.app))
    }
}

impl Parts {
    pub(super) fn find(options: &Options) -> Result<Parts> {
        let bench = std::env::current_exe()?;
        let command = options.command.clone().unwrap_or_else(|| bench.with_file_name("multi-node"));
        let command = command.canonicalize().with_context(|| {
            format!(
                "there is no command {}: cargo build -p multi-node-cli, in the same profile, makes it",
                command.display()
            )
        })?;
        let absolute = |path: &Path| std::path::absolute(path);
        Ok(Parts { bench, command, servers: absolute(&options.servers)?, package: absolute(&options.package)? })
    }

    /// What is not there and would have to be.
    pub(super) fn missing(&self, row: &Row) -> Option<PathBuf> {
        let mut needed = row.needs.iter().map(|path| self.servers.join(path));
        let binary = || row.files.iter().any(|file| file == "nodes.js") && !self.package_is_built();
        needed.find(|path| !path.exists()).or_else(|| binary().then(|| self.package.join("*.node")))
    }

    /// Whether the package has its binary, which `node build.mjs` makes.
    fn package_is_built(&self) -> bool {
        let is_binary = |path: &Path| path.extension().is_some_and(|extension| extension == "node");
        std::fs::read_dir(&self.package).is_ok_and(|folder| folder.flatten().any(|entry| is_binary(&entry.path())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_application_and_files() {
        let rows = all().expect("they are read");
        for row in &rows.rows {
            let app = rows.app(row).unwrap_or_else(|error| panic!("{error:#}"));
            for file in row.files.iter().chain([&app.file]) {
                assert!(Path::new(FOLDER).join(file).exists(), "{}: {file}", row.name);
            }
        }
    }
}
