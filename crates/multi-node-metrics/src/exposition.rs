//! The Prometheus text format, version 0.0.4: for each metric a help line, a type line, and its samples.

use std::fmt::{self, Display, Formatter, Write};

use super::series::Kind;

/// The content type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics as text.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a metric; its samples follow.
    pub fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        self.line(format_args!("# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n")));
        self.line(format_args!("# TYPE {name} {}", kind.name()));
    }

    /// One sample; a label's value may hold anything.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
            self.line_part(format_args!("{{{}}}", labels.collect::<Vec<_>>().join(",")));
        }
        self.line(format_args!(" {value}"));
    }

    /// The page.
    pub fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, text: impl Display) {
        self.line_part(text);
        self.0.push('\n');
    }

    fn line_part(&mut self, text: impl Display) {
        write!(self.0, "{text}").expect("a string takes what is written");
    }
}

/// A value as Prometheus writes those that are no numbers or have no end.
pub(super) struct Number(pub(super) f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => value.fmt(f),
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.metric("requests_total", Kind::Counter, "Requests.\nAll of them.");
        text.sample("requests_total", &[], 7);
        text.sample("requests_total", &[("slot", "0"), ("path", "a\"b\\c\nd")], 1.5);
        let expected = "\
# HELP requests_total Requests.\\nAll of them.
# TYPE requests_total counter
requests_total 7
requests_total{slot=\"0\",path=\"a\\\"b\\\\c\\nd\"} 1.5
";
        assert_eq!(text.into_text(), expected);
    }

    #[test]
    fn values_without_end_are_spelt_as_prometheus_does() {
        let spelt = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5, 3.0].map(|value| Number(value).to_string());
        assert_eq!(spelt, ["NaN", "+Inf", "-Inf", "0.5", "3"]);
    }
}
