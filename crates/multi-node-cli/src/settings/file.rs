//! The text of `multi-node.toml`.

use multi_node::admin;

use super::Settings;

impl Settings {
    /// What the text of such a file says.
    pub(crate) fn from_toml(text: &str) -> Result<Settings, String> {
        let table: toml::Table = text.parse().map_err(|error| for_people(&error))?;
        let known = Settings::names();
        match table.keys().find(|key| !known.contains(key)) {
            Some(key) => Err(format!("there is no setting `{key}`{}", suggestion(key, &known))),
            None => settings(text).map_err(|error| for_people(&error)),
        }
    }
}

/// Reads those of the library's table, those of other machines, and those that this command has beside them.
fn settings(text: &str) -> Result<Settings, toml::de::Error> {
    Ok(Settings { library: toml::from_str(text)?, machines: toml::from_str(text)?, ..toml::from_str(text)? })
}

/// An error of the parser, without Rust's names of types.
fn for_people(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace(error.message(), &admin::in_words(error.message()))
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

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::from_toml(text)
    }

    #[test]
    fn every_form_of_value_is_read() {
        let text = r#"
            nodes = 3
            port = 8080
            drain-timeout = "1m 30s"
            stop-signal = "QUIT"
            unix-mode = "660"
            bind = ":8081"
            ready = "notify"
            program = ["gunicorn", "app:app"]
            [env]
            MODE = "production"
        "#;
        let settings = parse(text).expect("valid");
        assert_eq!(settings.nodes, "3".parse().ok());
        assert_eq!(settings.said()["drain-timeout"], "1m 30s");
        assert_eq!((settings.port, settings.bind), (Some(8080), vec![":8081".to_owned()]));
        assert_eq!(settings.stop_signal, "3".parse().ok());
        assert_eq!(settings.env, [("MODE".to_owned(), "production".to_owned())]);
        assert_eq!(settings.program.len(), 2);
    }

    #[test]
    fn mistakes_are_told_with_a_remedy() {
        let cases = [
            ("prot = 8080", "there is no setting `prot`; did you mean `port`?"),
            ("drain_timeout = '1s'", "did you mean `drain-timeout`?"),
            ("zzzzzz = 1", "there are: name, control, metrics, nodes"),
            ("port = 'eighty'", "\"eighty\" is not allowed; expected a whole number from 0 to 65535"),
            ("port = -1", "`-1` is not allowed; expected a whole number from 0 to 65535"),
            ("surge = -1", "`-1` is not allowed; expected a whole number, 0 or more"),
            ("restart = 1", "expected true or false"),
            ("program = 'sleep 1'", "expected a list, such as [\"gunicorn\", \"app:app\"]"),
            ("bind = 1", "expected an address, or a list of addresses"),
            ("port = 99999", "`99999` is not allowed; expected a whole number from 0 to 65535"),
            ("port = 80.5", "`80.5` is not allowed; expected a whole number from 0 to 65535"),
            ("nodes = 1.5", "expected a number of nodes, or `auto`"),
            ("nodes = true", "expected a number of nodes, or `auto`"),
            ("nodes = [1]", "a list is not allowed; expected a text or a number"),
            ("crash-loop = 1.5", "`1.5` is not allowed; expected a whole number, 0 or more"),
            ("canary-requests = 1.5", "`1.5` is not allowed; expected a whole number, 0 or more"),
            ("canary-margin = 'a'", "\"a\" is not allowed; expected a number"),
            ("name = 1", "`1` is not allowed; expected a string"),
            ("ready = 'soon'", "`soon` is not known; expected one of"),
            ("max-memory = 1.5", "expected a size with its unit"),
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
