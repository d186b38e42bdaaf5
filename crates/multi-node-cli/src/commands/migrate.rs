//! `multi-node migrate`

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::migrate::{self, Translated, ecosystem};
use crate::output;

/// Translates the settings of another process manager into files for `multi-node run --config`, and lists what it could not
/// translate.
#[derive(Args, Debug)]
pub(crate) struct Migrate {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Pm2(Pm2),
}

/// Translates the apps of PM2's ecosystem file. `node` runs it, if it is JavaScript.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node migrate pm2 ecosystem.config.js
  multi-node migrate pm2 ecosystem.config.js --env production --to /etc/multi-node
  systemctl enable --now multi-node@web")]
struct Pm2 {
    /// The file: .js, .cjs, .mjs or .json.
    file: PathBuf,
    /// Also translates the variables of `env_NAME`, as `pm2 start --env NAME` uses them.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// The folder for the files, one for each app, by its name. Files that are there already stay [default: all is printed]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

impl Migrate {
    pub(super) fn run(self) -> Result<()> {
        let From::Pm2(pm2) = self.from;
        pm2.run()
    }
}

impl Pm2 {
    #[tokio::main(flavor = "current_thread")]
    async fn run(self) -> Result<()> {
        let apps = ecosystem::read(&self.file).await?;
        let file = self.file.canonicalize()?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        for app in apps {
            let translated = migrate::translate(&app, folder, self.env.as_deref());
            match &self.to {
                Some(to) => write(&translated, to)?,
                None => output::text(&format!("# {}.toml\n{}", translated.name, translated.text()))?,
            }
        }
        Ok(())
    }
}

/// Writes an app's file, and prints where it is and what it lacks.
fn write(translated: &Translated, folder: &Path) -> Result<()> {
    let path = folder.join(format!("{}.toml", translated.name));
    let failed = || format!("cannot write {}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).with_context(failed)?;
    file.write_all(translated.text().as_bytes()).with_context(failed)?;
    let left_out = translated.left_out.iter().map(|why| format!("\n  not translated: {why}"));
    output::text(&format!("{}{}", path.display(), left_out.collect::<String>()))
}
