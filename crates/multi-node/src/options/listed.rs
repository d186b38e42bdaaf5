//! The options in force, for people.

use std::fmt::Display;

use super::{OptionGroup, OptionInForce, Options, Origin, Settings};

impl Settings {
    /// Each option with its value and where that comes from.
    pub(crate) fn listed(&self) -> Vec<OptionInForce> {
        if let Some(listed) = &self.origins.listed {
            return listed.clone();
        }
        let defaults = Options::new().check(self.cores).map(|defaults| defaults.all()).unwrap_or_default();
        let of = |(name, value): (&'static str, String)| {
            let from = if self.origins.environment.contains(name) {
                Origin::Environment
            } else if defaults.contains(&(name, value.clone())) {
                Origin::Default
            } else {
                Origin::Code
            };
            OptionInForce::new(name, value, from)
        };
        self.all().into_iter().map(of).collect()
    }

    /// Each option's method with its value, without the values of environment variables.
    fn all(&self) -> Vec<(&'static str, String)> {
        let all = [self.serving(), self.replacing(), self.seeing(), self.starting()];
        all.into_iter().flatten().collect()
    }

    /// What is served, and by how many.
    fn serving(&self) -> Vec<(&'static str, String)> {
        let own = [
            ("bind", joined(&self.addresses)),
            ("nodes", self.nodes.to_string()),
            ("heartbeat", set(self.heartbeat.is_some())),
            ("affinity", or_off(self.affinity.as_ref())),
            ("join", or_off(self.join.as_ref())),
        ];
        own.into_iter()
            .chain(self.values.listed(&[OptionGroup::Addresses, OptionGroup::Nodes, OptionGroup::Health]))
            .collect()
    }

    /// When nodes are replaced, and how.
    fn replacing(&self) -> Vec<(&'static str, String)> {
        let own = [
            ("backoff", format!("{:?} to {:?}", self.backoff.0, self.backoff.1)),
            ("crash_loop", format!("{} within {:?}", self.crash_loop.0, self.crash_loop.1)),
            (
                "canary",
                self.canary.map_or_else(off, |(time, limits)| {
                    format!("{time:?}, at least {} requests, margin {}", limits.min_requests, limits.margin)
                }),
            ),
        ];
        own.into_iter().chain(self.values.listed(&[OptionGroup::Restarting, OptionGroup::Replacing])).collect()
    }

    /// By what the program is seen from outside.
    fn seeing(&self) -> Vec<(&'static str, String)> {
        let gauges = self.metering.gauges.iter().map(|(name, rule)| format!("{name}: {rule:?}"));
        let buckets = self.metering.buckets.iter().map(|(name, bounds)| format!("{name}: {bounds:?}"));
        vec![
            ("control", or_off(self.control.name().as_ref())),
            ("control_path", or_off(self.control_path.as_ref().map(|path| path.display()).as_ref())),
            ("metrics", or_off(self.metrics.as_ref())),
            ("aggregate_gauge", joined(gauges)),
            ("buckets", joined(buckets)),
            ("metrics_source", set(self.metering.meter.is_some())),
        ]
    }

    /// The program of nodes, and their user and group.
    fn starting(&self) -> Vec<(&'static str, String)> {
        let launch = &self.launch;
        let own = || "as this program was started".to_owned();
        let args = |args: &[std::ffi::OsString]| format!("{args:?}");
        let same = || "as the master".to_owned();
        vec![
            ("program", launch.program.as_ref().map_or_else(own, |path| path.display().to_string())),
            ("args", launch.args.as_deref().map_or_else(own, args)),
            ("slot_args", set(launch.slot_args.is_some())),
            ("started_as", launch.started_as.as_ref().map_or_else(own, |(path, _)| path.display().to_string())),
            ("gateway_program", launch.gateway.as_ref().map_or_else(own, |(path, _)| path.display().to_string())),
            ("env", joined(launch.env.iter().map(|(name, _)| name.to_string_lossy()))),
            ("user", launch.user.clone().unwrap_or_else(same)),
            ("group", launch.group.clone().unwrap_or_else(same)),
            ("umask", launch.umask.map_or_else(same, |mask| format!("{mask:#o}"))),
        ]
    }
}

fn joined(values: impl IntoIterator<Item = impl Display>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}

fn off() -> String {
    "off".to_owned()
}

fn or_off(value: Option<&impl Display>) -> String {
    value.map_or_else(off, ToString::to_string)
}

/// For what cannot be shown.
fn set(is: bool) -> String {
    if is { "set" } else { "not set" }.to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn value(listed: &[OptionInForce], name: &str) -> (String, Origin) {
        let option = listed.iter().find(|option| option.name == name).unwrap_or_else(|| panic!("no {name}"));
        (option.value.clone(), option.from)
    }

    #[test]
    fn options_are_listed_with_their_origin_and_without_the_values_of_variables() {
        let environment = |name| (name == "NODES").then(|| "3".to_owned());
        let options = Options::new().port(8080).env("TOKEN", "secret").max_age(Duration::from_secs(60));
        let settings = options.with_variables(environment).and_then(|options| options.check(1)).expect("valid");
        let listed = settings.listed();
        let expected = [
            ("bind", "0.0.0.0:8080", Origin::Code),
            ("nodes", "3", Origin::Environment),
            ("drain_timeout", "30s", Origin::Default),
            ("max_age", "60s", Origin::Code),
            ("max_memory", "off", Origin::Default),
            ("env", "TOKEN", Origin::Code),
        ];
        for (name, shown, from) in expected {
            assert_eq!(value(&listed, name), (shown.to_owned(), from), "{name}");
        }
        assert!(!format!("{listed:?}").contains("secret"));
    }

    #[test]
    fn who_has_other_names_for_options_shows_those() {
        let other = OptionInForce::new("drain-timeout", "5s", Origin::File);
        let settings = Options::new().described_as([other.clone()]).check(1).expect("valid");
        assert_eq!(settings.listed(), [other]);
    }
}
