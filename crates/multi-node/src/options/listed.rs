//! The options in force, for people.

use std::fmt::Debug;
use std::time::Duration;

use super::Settings;

impl Settings {
    /// Each option's method with its value. Values of environment variables are nobody's business.
    pub(crate) fn listed(&self) -> Vec<(String, String)> {
        let text = |name: &str, value: &dyn Debug| (name.to_owned(), format!("{value:?}"));
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let variables: Vec<_> = self.launch.env.iter().map(|(name, _)| name.to_string_lossy()).collect();
        vec![
            ("bind".to_owned(), addresses.join(", ")),
            ("unix_mode".to_owned(), format!("{:#o}", self.unix_mode)),
            text("backlog", &self.backlog),
            text("nodes", &self.nodes),
            text("max_nodes", &self.max_nodes),
            text("master_listen", &self.master_listen),
            text("restart", &self.restart),
            ("backoff".to_owned(), format!("{:?} to {:?}", self.backoff.0, self.backoff.1)),
            text("backoff_jitter", &self.backoff_jitter),
            ("crash_loop".to_owned(), format!("{} within {:?}", self.crash_loop.0, self.crash_loop.1)),
            text("surge", &self.surge),
            text("start_timeout", &self.start_timeout),
            text("drain_timeout", &self.drain_timeout),
            text("shutdown_delay", &self.shutdown_delay),
            text("hang_timeout", &self.hang_timeout.unwrap_or(Duration::ZERO)),
            text("signals", &self.signals),
            text("peers", &self.peers),
            text("orders_from_nodes", &self.orders_from_nodes),
            ("control".to_owned(), self.control.clone().unwrap_or_default()),
            ("control_path".to_owned(), self.control_path.iter().map(|path| path.display().to_string()).collect()),
            ("metrics".to_owned(), self.metrics.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("env".to_owned(), variables.join(", ")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::Options;

    #[test]
    fn options_are_listed_without_the_values_of_variables() {
        let settings = Options::new().port(8080).nodes(3).env("TOKEN", "secret").check(1).expect("valid");
        let listed = settings.listed();
        let value = |name| listed.iter().find(|(listed, _)| listed == name).map(|(_, value)| value.as_str());
        assert_eq!(value("bind"), Some("0.0.0.0:8080"));
        assert_eq!((value("nodes"), value("drain_timeout"), value("env")), (Some("3"), Some("30s"), Some("TOKEN")));
        assert!(!format!("{listed:?}").contains("secret"));
    }
}
