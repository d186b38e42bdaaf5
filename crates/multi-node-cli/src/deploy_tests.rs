//! The deploy kit and the documents name options and commands that there are.

mod yaml;

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};

use crate::Cli;
use crate::commands::Command;
use crate::settings::Settings;

/// The files in which the command is started, with its arguments as a list in JSON.
const FILES: [(&str, &str); 3] = [
    ("node.Dockerfile", include_str!("../../../deploy/docker/node.Dockerfile")),
    ("python.Dockerfile", include_str!("../../../deploy/docker/python.Dockerfile")),
    ("deployment.yaml", include_str!("../../../deploy/kubernetes/deployment.yaml")),
];

const WEB: &str = include_str!("../../../deploy/systemd/web.toml");

/// The list that begins with `run`.
fn args(text: &str) -> Vec<String> {
    let from = text.find("[\"run\"").expect("a list that begins with `run`");
    let list = text[from..].split_inclusive(']').next().expect("its end");
    serde_json::from_str(list).expect("a list of texts")
}

#[test]
fn images_and_manifests_start_the_command_with_options_that_there_are() {
    for (name, text) in FILES {
        let args = args(text);
        let cli = Cli::try_parse_from(["multi-node".to_owned()].into_iter().chain(args)).expect(name);
        assert!(matches!(cli.command, Command::Run(_)), "{name}");
    }
}

#[test]
fn the_file_of_settings_is_taken() {
    let settings = Settings::from_toml(WEB).expect("every setting is known");
    assert!(settings.options().is_ok() && settings.program().is_ok());
}

/// The documents whose lines are typed.
const DOCUMENTS: [(&str, &str); 4] = [
    ("README.md", include_str!("../../../README.md")),
    ("coming-from.md", include_str!("../../../docs/coming-from.md")),
    ("run.md", include_str!("../../../docs/run.md")),
    ("operations.md", include_str!("../../../docs/operations.md")),
];

/// Options of cargo, gunicorn, Puma, uvicorn, curl, systemctl, setpriv and docker.
const OF_OTHERS: [&str; 11] = [
    "bind-to-activated-sockets",
    "cacert",
    "example",
    "fd",
    "features",
    "kill-whom",
    "locked",
    "no-new-privs",
    "path",
    "signal",
    "ssl-keyfile",
];

/// Every command, and every option of every command, by its long name.
fn known() -> (BTreeSet<String>, BTreeSet<String>) {
    let mut cli = Cli::command();
    cli.build();
    let commands: Vec<_> = cli.get_subcommands().collect();
    let names = commands.iter().map(|command| command.get_name().to_owned()).collect();
    let below = commands.iter().flat_map(|command| command.get_subcommands());
    let options = commands.iter().copied().chain(below).flat_map(clap::Command::get_arguments);
    (names, options.filter_map(|option| option.get_long().map(str::to_owned)).collect())
}

/// What stands behind each occurrence of `before`, as far as it is a name.
fn names<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
    let name = |rest: &'a str| rest.split(|c| !is_part(c)).next().unwrap_or_default();
    text.split(before).skip(1).map(name).filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

#[test]
fn documents_name_options_and_commands_that_there_are() {
    let (commands, options) = known();
    for (document, text) in DOCUMENTS {
        let unknown = |name: &&str| !options.contains(*name) && !OF_OTHERS.contains(name);
        let unknown: Vec<_> = names(text, " --").into_iter().chain(names(text, "`--")).filter(unknown).collect();
        assert!(unknown.is_empty(), "{document}: there are no such options: {unknown:?}");
        let typed: Vec<_> = names(text, "`multi-node ").into_iter().chain(names(text, "\nmulti-node ")).collect();
        // The README's first sentence begins with the name.
        let unknown: Vec<_> = typed.iter().filter(|name| !commands.contains(**name) && **name != "runs").collect();
        assert!(typed.len() > 2 && unknown.is_empty(), "{document}: {unknown:?} of {typed:?}");
    }
}
