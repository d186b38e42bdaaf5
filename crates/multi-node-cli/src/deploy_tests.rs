//! The deploy kit names options that there are.

use clap::Parser;

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
