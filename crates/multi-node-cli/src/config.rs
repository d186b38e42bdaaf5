//! `multi-node.toml`

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};

use crate::exit::Usage;
use crate::settings::Settings;

/// Where settings are looked for when no file is named.
const NAME: &str = "multi-node.toml";

/// The settings in this file, or in `multi-node.toml` where there is one.
pub(crate) fn read(named: Option<&PathBuf>) -> Result<Settings, Usage> {
    let path = named.map_or(Path::new(NAME), PathBuf::as_path);
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|why| Usage(format!("{}: {why}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Settings::default()),
        Err(error) => Err(Usage(format!("cannot read {}: {error}", path.display()))),
    }
}

fn parse(text: &str) -> Result<Settings, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let known = names();
    match table.keys().find(|key| !known.contains(key)) {
        Some(key) => Err(format!("there is no setting `{key}`{}", suggestion(key, &known))),
        None => toml::from_str(text).map_err(|error| error.to_string()),
    }
}

/// The names that the command line has too.
fn names() -> Vec<String> {
    let command = Settings::augment_args(Command::new(NAME));
    command.get_arguments().map(|arg| arg.get_long().unwrap_or(arg.get_id().as_str()).to_owned()).collect()
}

fn suggestion(key: &str, known: &[String]) -> String {
    /// Names that have less in common are something else.
    const ALIKE: f64 = 0.75;
    let likeness = |name: &&String| strsim::jaro_winkler(key, name);
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|name| likeness(name) >= ALIKE) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_value_is_read() {
        let text = r#"
            nodes = 3
            port = 8080
            drain-timeout = "1m 30s"
            stop-signal = "QUIT"
            unix-mode = "660"
            ready = "notify"
            program = ["gunicorn", "app:app"]
            [env]
            MODE = "production"
        "#;
        let settings = parse(text).expect("valid");
        assert_eq!(settings.nodes, "3".parse().ok());
        assert_eq!(settings.port, Some(8080));
        assert_eq!(settings.drain_timeout, "90s".parse().ok());
        assert_eq!(settings.stop_signal, "3".parse().ok());
        assert_eq!(settings.env, [("MODE".to_owned(), "production".to_owned())]);
        assert_eq!(settings.program.len(), 2);
    }

    #[test]
    fn mistakes_are_told_with_a_remedy() {
        let cases = [
            ("prot = 8080", "there is no setting `prot`; did you mean `port`?"),
            ("drain_timeout = '1s'", "did you mean `drain-timeout`?"),
            ("zzzzzz = 1", "there are: name, metrics, nodes, port"),
            ("port = 'eighty'", "invalid type: string"),
            ("port = -1", "invalid value: integer `-1`"),
            ("port = 99999", "invalid value: integer `99999`"),
            ("nodes = -2", "expected a number of nodes, or `auto`"),
            ("nodes = 'many'", "expected a number of nodes, or `auto`"),
            ("drain-timeout = 30", "expected a time with its unit"),
            ("stop-signal = 'SIGNONE'", "no such signal"),
            ("nodes = [", "TOML parse error at line 1"),
            ("[env]\nA = 1", "expected a string"),
        ];
        for (text, message) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn the_command_line_wins() {
        let file = parse("port = 1\nnodes = 1\nready-http = '/'\n[env]\nA = 'file'").expect("valid");
        let typed = Settings {
            bind: vec!["unix:/x".to_owned()],
            env: vec![("A".into(), "typed".into())],
            ..Settings::default()
        };
        let settings = typed.or(file);
        assert_eq!(
            (settings.port, settings.bind.len()),
            (None, 1),
            "an address that is typed stands in place of the file's"
        );
        assert_eq!(settings.nodes, "1".parse().ok());
        assert_eq!(settings.env.last(), Some(&("A".into(), "typed".into())));
    }
}
