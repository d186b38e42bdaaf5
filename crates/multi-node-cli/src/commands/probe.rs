//! `multi-node probe`

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;
use clap::{ArgGroup, Args};
use multi_node_probe::{Kind, Mix, Trust, Url};

use crate::exit::Usage;
use crate::output;
use crate::probe::{self, Job, Sent, Span};
use crate::settings::Time;

/// Counts the requests that a server loses while a command runs.
///
/// Clients of several kinds send requests at a low rate, judge each answer by itself, and count what was lost and how.
/// The server may be any: it needs nothing of multi-node.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("span").args(["during", "for_time"]).required(true).multiple(true),
    after_help = EXAMPLES,
    after_long_help = LONG_EXAMPLES,
)]
pub(crate) struct Probe {
    /// What is asked: http://127.0.0.1:8080/ or https://localhost:8443/health
    url: Url,
    /// A command for the shell, which runs while clients send. What it prints goes to standard error
    #[arg(long, value_name = "COMMAND", help_heading = "What is measured")]
    during: Option<String>,
    /// How long to measure; with --during at least so long
    #[arg(long = "for", id = "for_time", value_name = "TIME", help_heading = "What is measured")]
    for_time: Option<Time>,
    /// How long to measure before the command begins
    #[arg(long, value_name = "TIME", default_value = "2s", requires = "during", help_heading = "What is measured")]
    before: Time,
    /// How long to measure after the command has ended, so that a late break is seen
    #[arg(long, value_name = "TIME", default_value = "3s", requires = "during", help_heading = "What is measured")]
    after: Time,
    /// How long the command may take before it is ended
    #[arg(long, value_name = "TIME", default_value = "10m", requires = "during", help_heading = "What is measured")]
    command_timeout: Time,
    /// Requests per second of all clients together
    #[arg(long, value_name = "NUMBER", default_value_t = 50.0, value_parser = rate, help_heading = "Clients")]
    rate: f64,
    /// How many clients there are, each with one connection
    #[arg(long, value_name = "NUMBER", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Clients")]
    connections: u32,
    /// Which kinds of clients there are: new, kept, pooled, slow, half-closing [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind, hide_possible_values = true, help_heading = "Clients")]
    kinds: Vec<Kind>,
    /// The path of a WebSocket, which further clients open and send pings on
    #[arg(long, value_name = "PATH", value_parser = path, help_heading = "Clients")]
    websocket: Option<String>,
    /// How long a client waits for a whole answer
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Clients")]
    timeout: Time,
    /// The request's method
    #[arg(short = 'X', long, default_value = "GET", value_parser = method, help_heading = "Requests")]
    method: String,
    /// A header of every request, 'NAME: VALUE'. May be given several times
    #[arg(short = 'H', long, value_name = "HEADER", value_parser = header, help_heading = "Requests")]
    header: Vec<(String, String)>,
    /// The request's body
    #[arg(long, value_name = "TEXT", help_heading = "Requests")]
    body: Option<String>,
    /// Which statuses are no loss: 200-399, or 204
    #[arg(long, value_name = "FROM-TO", default_value = "200-399", value_parser = statuses, help_heading = "Requests")]
    status: RangeInclusive<u16>,
    /// Trusts any certificate, such as a self-made one
    #[arg(long, help_heading = "Requests")]
    insecure: bool,
    /// How many lost requests are no failure
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    max_lost: u64,
    /// Allows another host than this one, which you are responsible for
    #[arg(long)]
    remote: bool,
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  multi-node probe http://127.0.0.1:8080/ --during 'multi-node reload --wait'
  multi-node probe http://127.0.0.1:3000/ --during 'pm2 reload web' --json | jq .total
  multi-node probe https://localhost:8443/ --insecure --for 30s";

const LONG_EXAMPLES: &str = "\
Examples:
  Whether a deploy loses a request; the exit code says so too:
    multi-node probe http://127.0.0.1:8080/ --during 'multi-node reload --wait'

  The deploy of another system, at 200 requests a second, with a WebSocket; only the sums:
    multi-node probe http://127.0.0.1:3000/ --during 'pm2 reload web' --rate 200 --websocket /ws --json | jq .total

  Half a minute in which you do something by hand, to a server with a self-made certificate:
    multi-node probe https://localhost:8443/ --insecure --for 30s

Kinds of clients:
  new           a connection for each request
  kept          requests one after the other on a kept connection
  pooled        kept connections whose pauses vary, as those of a proxy's pool do
  slow          the request is sent in 4 pieces within 150 ms
  half-closing  shuts down its writing side after the request, then reads; left out where the server does not
                answer such clients even before the command begins
  websocket     pings on an open WebSocket, where --websocket names one

A request is lost if the connection is refused, reset, closed or ended within the answer, if no whole answer comes in
--timeout, or if its status is not one of --status. A kept connection that the server closes while nothing is under way
is no loss, nor is one that it announces to close; both are counted by themselves.

Exit codes:
  0    no more requests were lost than --max-lost says
  1    more were lost, or the server did not answer before anything was done to it
  2    wrong arguments, or a host that is not this one without --remote
  5    the command failed, was ended after --command-timeout, or could not be started; no more requests were lost than allowed
  130  interrupted by Ctrl-C: what was measured until then is printed";

impl Probe {
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run(self) -> Result<()> {
        let json = self.json;
        let report = probe::run(self.job()?).await?;
        match json {
            true => output::json(&report)?,
            false => output::text(&probe::probed(&report, output::paint()))?,
        }
        Ok(report.judge()?)
    }

    fn job(self) -> Result<Job> {
        let mut kinds = if self.kinds.is_empty() { Kind::ALL[..5].to_vec() } else { self.kinds.clone() };
        kinds.extend(self.websocket.is_some().then_some(Kind::WebSocket));
        let clients = Mix { kinds, connections: self.connections as usize, rate: self.rate };
        clients.check().map_err(Usage)?;
        let span = match self.during {
            Some(command) => Span::Command {
                command,
                before: self.before.0,
                after: self.after.0,
                at_least: self.for_time.map_or(Duration::ZERO, |time| time.0),
                within: self.command_timeout.0,
            },
            None => Span::Time(self.for_time.map_or(Duration::ZERO, |time| time.0)),
        };
        let sent = Sent::new(&self.url, &self.method, self.header, self.body.as_deref(), &self.status, self.websocket);
        Ok(Job {
            sent,
            clients,
            span,
            all_kinds_named: !self.kinds.is_empty(),
            timeout: self.timeout.0,
            trust: if self.insecure { Trust::Anybody } else { Trust::System },
            remote: self.remote,
            max_lost: self.max_lost,
            url: self.url,
        })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=10_000.0).contains(rate));
    rate.ok_or_else(|| "expected requests per second, 0.1 to 10000".to_owned())
}

fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL[..5].iter().find(|kind| kind.name() == text).copied();
    found.ok_or_else(|| "expected new, kept, pooled, slow or half-closing; --websocket names a WebSocket".to_owned())
}

fn path(text: &str) -> Result<String, String> {
    let is_one = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_one.then(|| text.to_owned()).ok_or_else(|| "expected a path, such as /ws".to_owned())
}

fn method(text: &str) -> Result<String, String> {
    let is_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase()) && text != "CONNECT";
    is_one.then(|| text.to_owned()).ok_or_else(|| "expected a method, such as GET, HEAD or POST".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    const OURS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_token || value.chars().any(char::is_control) {
        return Err("expected NAME: VALUE, without control characters".to_owned());
    }
    match OURS.contains(&name.as_str()) {
        true => Err(format!("the probe sets {name} itself")),
        false => Ok((name, value.to_owned())),
    }
}

fn statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
    let range = status(from).zip(status(to)).filter(|(from, to)| from <= to).map(|(from, to)| from..=to);
    range.ok_or_else(|| "expected a range of statuses, such as 200-399".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_a_range_or_one() {
        assert_eq!(["200-399", "204"].map(statuses), [Ok(200..=399), Ok(204..=204)]);
        for text in ["", "2xx", "399-200", "200-", "0-999", "99", "200-300-400"] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_that_would_break_the_request_are_refused() {
        assert_eq!(header("Cookie: a=b: c"), Ok(("cookie".to_owned(), "a=b: c".to_owned())));
        assert_eq!(header("x:"), Ok(("x".to_owned(), String::new())));
        for text in ["", "cookie", ": x", "a b: c", "a: b\r\nc: d", "Connection: close", "content-length: 3"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
