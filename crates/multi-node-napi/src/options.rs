//! The library's options, as JavaScript gives them: checked for their types there, and for their values by the library.

use std::time::Duration;

use multi_node::embed::Heartbeat;
use multi_node::options::{CanaryLimits, ControlName, Join, OptionKind, OptionValue};
use multi_node::{Affinity, Options};
use napi::Either;
use napi_derive::napi;

use crate::certificate::CertificateFiles;
use crate::measure::rule_of;

/// Every option that was given. Times are in milliseconds.
#[napi(object)]
pub struct NodeOptions {
    /// Those that are one value each.
    pub table: Vec<TableValue>,
    /// The servers with TLS.
    pub tls_servers: Vec<u32>,
    /// The files of their certificate, in place of their own.
    pub certificates: Option<CertificateFiles>,
    pub affinity: Option<AffinityBy>,
    pub join: Option<JoinSettings>,
    /// The servers whose clients speak HTTP/1 without TLS.
    pub http1: Vec<u32>,
    pub port: Option<u16>,
    pub host: Option<String>,
    pub bind: Vec<String>,
    /// In place of `host` and `port`.
    pub addresses: Option<Vec<String>>,
    pub nodes: Option<u32>,
    pub backoff: Option<Vec<f64>>,
    pub crash_loop: Option<CrashLoop>,
    pub canary: Option<Canary>,
    /// `false`: there is none.
    pub control: Option<Either<bool, String>>,
    /// What is called by its own name where nobody gives it another.
    pub script: String,
    pub metrics: Option<String>,
    /// Pairs of a gauge's name and its rule.
    pub gauge: Vec<Vec<String>>,
    pub env: Vec<Vec<String>>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub umask: Option<u32>,
    pub program: String,
    /// The runtime's own arguments, which go first; then what a slot has for itself, if anything; then the script and its arguments.
    pub exec_args: Vec<String>,
    pub slot_args: Vec<Vec<String>>,
    pub args: Vec<String>,
    /// This process's own program and arguments.
    pub started_as: Vec<String>,
    /// The master's inspector, if it has one.
    pub inspect_port: Option<u32>,
}

/// An option of the library's table, by its name in JavaScript.
#[napi(object)]
pub struct TableValue {
    pub name: String,
    pub value: Either<bool, f64>,
}

/// By what one node answers all requests of a client.
#[napi(object)]
pub struct AffinityBy {
    pub cookie: Option<String>,
    pub query: Option<String>,
    pub header: Option<String>,
    pub client_address: Option<bool>,
}

/// How other machines are joined.
#[napi(object)]
pub struct JoinSettings {
    pub url: String,
    pub machine: Option<String>,
    pub cluster: String,
    pub insecure_bus: Option<bool>,
    pub remote_commands: Option<bool>,
    pub credentials: Option<String>,
    pub nkey: Option<String>,
    /// Certificate and key, or neither.
    pub client_certificate: Vec<String>,
    pub root_certificates: Option<String>,
    /// The program of the gateway and its arguments.
    pub gateway: Vec<String>,
}

/// This number of deaths within that time.
#[napi(object)]
pub struct CrashLoop {
    pub deaths: u32,
    pub within: f64,
}

/// A trial of so long, and what the node has to keep to.
#[napi(object)]
pub struct Canary {
    pub duration: f64,
    pub min_requests: Option<f64>,
    pub margin: Option<f64>,
}

/// Sets what is there by the option's own method.
macro_rules! set {
    ($options:ident, $given:ident: $($name:ident),+) => {
        $(if let Some(value) = $given.$name { $options = $options.$name(value); })+
    };
}

impl NodeOptions {
    /// The library's options. JavaScript has the signals of its process, and beats.
    pub(crate) fn into_options(self, heartbeat: Heartbeat) -> Options {
        let given = self;
        let mut options = Options::new().signals(false).heartbeat(heartbeat).program(given.program).args(given.args);
        set!(options, given: port, host, metrics, user, group, umask);
        options = options.control(match given.control {
            Some(Either::A(_)) => ControlName::Off,
            Some(Either::B(name)) => ControlName::Exactly(name),
            None => ControlName::of_file(given.script),
        });
        if let Some(nodes) = given.nodes {
            options = options.nodes(nodes as usize);
        }
        for TableValue { name, value } in given.table {
            options = set(options, &name, value);
        }
        if let Some(canary) = given.canary {
            options = options.canary(milliseconds(canary.duration), canary.limits());
        }
        if let Some(affinity) = given.affinity.and_then(AffinityBy::rule) {
            options = options.affinity(affinity);
        }
        if let Some(join) = given.join {
            options = join.set(options);
        }
        if let Some(addresses) = given.addresses {
            options = options.addresses(addresses);
        }
        for address in given.bind {
            options = options.bind(address);
        }
        for gauge in given.gauge {
            if let [name, rule] = &gauge[..] {
                options = options.aggregate_gauge(name, rule_of(rule));
            }
        }
        for variable in given.env {
            if let [name, value] = &variable[..] {
                options = options.env(name, value);
            }
        }
        if let Some([initial, longest]) = given.backoff.as_deref() {
            options = options.backoff(milliseconds(*initial), milliseconds(*longest));
        }
        if let Some(CrashLoop { deaths, within }) = given.crash_loop {
            options = options.crash_loop(deaths as usize, milliseconds(within));
        }
        if let Some((program, args)) = given.started_as.split_first() {
            options = options.started_as(program, args);
        }
        let (exec_args, slot_args, inspect_port) = (given.exec_args, given.slot_args, given.inspect_port);
        options.slot_args(move |slot| {
            let inspect = inspect_port.map(|port| inspect_at(port, slot.index()));
            let own = slot_args.get(slot.index()).cloned().unwrap_or_default();
            exec_args.iter().cloned().chain(inspect).chain(own).collect::<Vec<_>>()
        })
    }
}

/// Sets an option of the table. JavaScript has checked that there is one, and its type.
fn set(options: Options, name: &str, value: Either<bool, f64>) -> Options {
    let Some(option) = Options::table().into_iter().find(|option| camel_case(option.name) == name) else {
        return options;
    };
    let value = match value {
        Either::A(flag) => OptionValue::Flag(flag),
        Either::B(time) if option.kind == OptionKind::Time => OptionValue::Time(milliseconds(time)),
        Either::B(number) => OptionValue::Whole(number as u64),
    };
    options.clone().set(option.name, value).unwrap_or(options)
}

/// `drain_timeout` as JavaScript writes it: `drainTimeout`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| all + &word[..1].to_uppercase() + &word[1..])
}

impl AffinityBy {
    /// JavaScript has checked that there is one.
    fn rule(self) -> Option<Affinity> {
        let AffinityBy { cookie, query, header, client_address } = self;
        let by_name = cookie.map(Affinity::cookie).or(query.map(Affinity::query)).or(header.map(Affinity::header));
        by_name.or(client_address.map(|_| Affinity::client_address()))
    }
}

impl JoinSettings {
    fn set(self, options: Options) -> Options {
        let join = Join::new(self.url).cluster(self.cluster);
        let join = self.machine.into_iter().fold(join, Join::machine);
        let join = self.insecure_bus.into_iter().fold(join, Join::insecure_bus);
        let join = self.remote_commands.into_iter().fold(join, Join::remote_commands);
        let join = self.credentials.into_iter().fold(join, Join::credentials);
        let join = self.nkey.into_iter().fold(join, Join::nkey);
        let join = match &self.client_certificate[..] {
            [certificate, key] => join.client_certificate(certificate, key),
            _ => join,
        };
        let join = self.root_certificates.into_iter().fold(join, Join::root_certificates);
        match self.gateway.split_first() {
            Some((program, args)) => options.join(join).gateway_program(program, args),
            None => options.join(join),
        }
    }
}

impl Canary {
    fn limits(&self) -> CanaryLimits {
        let mut limits = CanaryLimits::new();
        if let Some(requests) = self.min_requests {
            limits = limits.min_requests(requests as u64);
        }
        if let Some(margin) = self.margin {
            limits = limits.margin(margin);
        }
        limits
    }
}

/// Each node's inspector has a port of its own: the master's, plus one, plus the slot. 0 lets the system choose. The last of several
/// such arguments counts.
fn inspect_at(port: u32, slot: usize) -> String {
    let port = if port == 0 { 0 } else { port as usize + 1 + slot };
    format!("--inspect-port={port}")
}

pub(crate) fn milliseconds(time: f64) -> Duration {
    // What is no time is refused by JavaScript; a longer one than the library allows, by the library.
    Duration::try_from_secs_f64(time / 1000.0).unwrap_or(Duration::MAX)
}
