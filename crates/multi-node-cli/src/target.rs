//! Which running program is meant.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use multi_node::admin::{self, Client, ClientError, Place, instances};

use crate::exit::{NoInstance, Usage, system};

/// What says which program is meant. With one running nothing has to be said.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// The program's name; needed where several run.
    #[arg(value_name = "NAME", conflicts_with_all = ["name", "socket"])]
    program: Option<String>,
    #[command(flatten)]
    by_option: ByOption,
}

/// What says which programs are meant, one or several.
#[derive(Args, Clone, Debug)]
pub(crate) struct Targets {
    /// The names of programs; needed where several run.
    #[arg(value_name = "NAME", conflicts_with_all = ["name", "socket"])]
    programs: Vec<String>,
    /// All programs of this user, one after the other.
    #[arg(long, conflicts_with_all = ["programs", "name", "socket"])]
    all: bool,
    #[command(flatten)]
    by_option: ByOption,
}

/// What says by an option which program is meant.
#[derive(Args, Clone, Debug)]
struct ByOption {
    /// The program's name, as an option.
    #[arg(long, value_name = "NAME", conflicts_with = "socket")]
    name: Option<String>,
    /// The path of its control socket, such as that of another user's program, which root may steer.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Targets {
    /// The one program that is meant; `None` where several may be.
    pub(crate) fn one(&self) -> Option<Target> {
        let mut programs = self.programs.iter();
        let program = programs.next().cloned();
        let is_one = programs.next().is_none() && !self.all;
        is_one.then(|| Target { program, by_option: self.by_option.clone() })
    }

    /// Each program that is meant, by its name.
    pub(crate) async fn each(&self) -> Result<Vec<(String, Target)>> {
        let names = match self.all {
            true => running().await?.into_iter().map(|(place, _)| place.name).collect(),
            false => self.programs.clone(),
        };
        if names.is_empty() {
            return Err(Target::of(None, None).nobody().await);
        }
        Ok(names.into_iter().map(|name| (name.clone(), Target::of(Some(name), None))).collect())
    }
}

impl Target {
    /// What options of a command say that has another first word.
    pub(crate) fn of(name: Option<String>, socket: Option<PathBuf>) -> Target {
        Target { program: None, by_option: ByOption { name, socket } }
    }

    fn name(&self) -> Option<&str> {
        self.program.as_deref().or(self.by_option.name.as_deref())
    }

    /// Connects to the program.
    pub(crate) async fn connect(&self) -> Result<Client> {
        if let Some(path) = &self.by_option.socket {
            return Ok(Client::connect_to(path).await?);
        }
        if let Some(name) = self.name() {
            return match Client::connect(name).await {
                Err(ClientError::NotRunning { .. }) => Err(self.nobody().await),
                connected => Ok(connected?),
            };
        }
        let mut running = running().await?;
        match running.len() {
            1 => Ok(running.remove(0).1),
            0 => Err(self.nobody().await),
            _ => Err(Usage(format!("several programs run: {}; name the one that is meant", names(&running))).into()),
        }
    }

    async fn nobody(&self) -> anyhow::Error {
        let running = running().await.unwrap_or_default();
        let what = self.name().map_or_else(|| "no program".to_owned(), |name| format!("no program named {name:?}"));
        let others = match running.len() {
            0 => why_nobody(),
            _ => format!("; running: {}", names(&running)),
        };
        NoInstance(format!("{what} runs with a control socket of this user{others}")).into()
    }
}

/// All programs of this user that answer, by name.
pub(crate) async fn running() -> Result<Vec<(Place, Client)>> {
    let mut running = Vec::new();
    for place in instances().context("cannot look for running programs")? {
        match Client::connect_to(&place.path).await {
            Ok(client) => running.push((place, client)),
            // Left behind by one that was killed.
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(running)
}

/// What keeps programs from being found, or how one can be.
pub(crate) fn why_nobody() -> String {
    match admin::check_runtime_directory() {
        Err(error) => format!(
            ", since there can be none in the runtime directory, {}; a program is reached with `multi-node run --control PATH` by \
             `--socket PATH`, or by signals",
            system(&error)
        ),
        Ok(()) => "; `multi-node run` opens one, and so does a program that links the library, unless it is turned off (`--control off`, \
                   `control(None)`) or at a path of its own (then say --socket)"
            .to_owned(),
    }
}

fn names(running: &[(Place, Client)]) -> String {
    running.iter().map(|(place, _)| place.name.as_str()).collect::<Vec<_>>().join(", ")
}
