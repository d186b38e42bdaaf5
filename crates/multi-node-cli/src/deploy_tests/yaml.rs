//! The files in YAML: they can be read, and what they say of ports, paths, times and files fits together.

use std::path::Path;

use clap::Parser;
use yaml_rust2::{Yaml, YamlLoader};

use super::args;
use crate::Cli;

const MANIFEST: &str = include_str!("../../../../deploy/kubernetes/deployment.yaml");
const COMPOSE: &str = include_str!("../../../../deploy/docker/compose.yaml");
const PYTHON: &str = include_str!("../../../../deploy/docker/python.Dockerfile");
const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yaml");
const METRICS: &str = include_str!("../../../../docs/metrics.md");
const CI: &str = include_str!("../../../../.github/workflows/ci.yml");
const RELEASE: &str = include_str!("../../../../.github/workflows/release.yml");
const PACKAGES: &str = include_str!("../../../multi-node-napi/npm/packages.mjs");

/// `--drain-timeout` by default, in seconds.
const DRAIN: u64 = 30;

fn documents(text: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(text).expect("YAML")
}

fn list(yaml: &Yaml) -> &[Yaml] {
    yaml.as_vec().map(Vec::as_slice).unwrap_or_default()
}

fn texts(yaml: &Yaml) -> Vec<&str> {
    list(yaml).iter().filter_map(Yaml::as_str).collect()
}

/// The value of an option in a list of arguments.
fn value<'a>(args: &'a [String], option: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg == option)?;
    args.get(at + 1).map(String::as_str)
}

/// A time in whole seconds.
fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().expect("a number of seconds")
}

/// The entry of this name, in a list of those that have names.
fn named<'a>(entries: &'a Yaml, name: &str) -> Option<&'a Yaml> {
    list(entries).iter().find(|entry| entry["name"].as_str() == Some(name))
}

#[test]
fn the_manifest_names_ports_and_paths_that_the_command_serves() {
    let manifest = documents(MANIFEST);
    let (template, service) = (&manifest[0]["spec"]["template"], &manifest[1]);
    let container = &template["spec"]["containers"][0];
    let args = args(MANIFEST);
    let port = |name: &str| named(&container["ports"], name).and_then(|port| port["containerPort"].as_i64());
    assert_eq!(port("http").map(|port| port.to_string()).as_deref(), value(&args, "--port"));
    let metrics = value(&args, "--metrics").and_then(|address| address.strip_prefix(':'));
    assert_eq!(port("metrics").map(|port| port.to_string()).as_deref(), metrics);
    assert_eq!(template["metadata"]["annotations"]["prometheus.io/port"].as_str(), metrics);
    assert_eq!(service["spec"]["ports"][0]["targetPort"].as_str(), Some("http"));
    for (probe, path) in [("readinessProbe", "/readyz"), ("startupProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        let asked = &container[probe]["httpGet"];
        assert_eq!((asked["path"].as_str(), asked["port"].as_str()), (Some(path), Some("metrics")), "{probe}");
        assert!(METRICS.contains(&format!("`{path}`")), "{path}");
    }
    let labels = &template["metadata"]["labels"];
    assert!(!labels.is_badvalue() && &service["spec"]["selector"] == labels);
    assert_eq!(&manifest[0]["spec"]["selector"]["matchLabels"], labels);
}

#[test]
fn the_manifest_gives_a_pod_time_to_end_and_no_rights_that_it_does_not_need() {
    let manifest = documents(MANIFEST);
    let pod = &manifest[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let args = args(MANIFEST);
    let sleep = texts(&container["lifecycle"]["preStop"]["exec"]["command"]);
    let [delay, drain] = ["--shutdown-delay", "--drain-timeout"].map(|name| seconds(value(&args, name).expect(name)));
    let needed = seconds(sleep[1]) + delay + drain;
    let grace = pod["terminationGracePeriodSeconds"].as_i64().and_then(|grace| u64::try_from(grace).ok());
    assert!(sleep[0] == "sleep" && grace > Some(needed), "{grace:?} s, for {needed} s");

    assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true));
    let rights = &container["securityContext"];
    assert_eq!(rights["readOnlyRootFilesystem"].as_bool(), Some(true));
    assert_eq!(rights["allowPrivilegeEscalation"].as_bool(), Some(false));
    assert_eq!(texts(&rights["capabilities"]["drop"]), ["ALL"]);
    let mount = &container["volumeMounts"][0];
    let runtime = named(&container["env"], "XDG_RUNTIME_DIR").expect("the runtime directory");
    assert_eq!(mount["mountPath"].as_str(), runtime["value"].as_str());
    assert!(named(&pod["volumes"], mount["name"].as_str().expect("a name")).is_some());
}

#[test]
fn compose_names_an_image_and_a_port_that_there_are() {
    let compose = documents(COMPOSE);
    let web = &compose[0]["services"]["web"];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/docker");
    let file = web["build"]["dockerfile"].as_str().expect("a file");
    assert!(folder.join(file).is_file() && file == "python.Dockerfile", "{file}");
    let image = args(PYTHON);
    let inside = texts(&web["ports"])[0].split_once(':').expect("two ports").1;
    assert_eq!(Some(inside), value(&image, "--port"));
    let delay = seconds(value(&image, "--shutdown-delay").expect("a delay"));
    assert!(seconds(web["stop_grace_period"].as_str().expect("a time")) > delay + DRAIN);
    let check = texts(&web["healthcheck"]["test"]);
    assert!(check[0] == "CMD" && Cli::try_parse_from(&check[1..]).is_ok(), "{check:?}");
    assert_eq!(web["read_only"].as_bool(), Some(true));
}

#[test]
fn each_alert_has_what_prometheus_needs() {
    let alerts = documents(ALERTS);
    let rules: Vec<&Yaml> = list(&alerts[0]["groups"]).iter().flat_map(|group| list(&group["rules"])).collect();
    assert!(rules.len() > 4, "{rules:?}");
    for rule in rules {
        let severity = rule["labels"]["severity"].as_str();
        assert!(rule["alert"].as_str().is_some() && rule["expr"].as_str().is_some(), "{rule:?}");
        assert!(matches!(severity, Some("critical" | "warning")), "{rule:?}");
        assert!(rule["annotations"]["summary"].as_str().is_some_and(|summary| summary.contains("$labels.instance")));
    }
}

/// The commands of a job's steps.
fn commands(job: &Yaml) -> String {
    list(&job["steps"]).iter().filter_map(|step| step["run"].as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_workflows_do_what_make_does_and_build_each_platform_that_has_a_package() {
    let ci = documents(CI);
    assert!(commands(&ci[0]["jobs"]["ci"]).contains(" make ci"), "{CI}");

    let release = documents(RELEASE);
    let jobs = &release[0]["jobs"];
    let built = list(&jobs["build"]["strategy"]["matrix"]["include"]);
    let mut built: Vec<&str> = built.iter().filter_map(|platform| platform["name"].as_str()).collect();
    let names = PACKAGES.lines().filter_map(|line| line.split_once("name: '")?.1.split('\'').next());
    let mut packages: Vec<&str> = names.collect();
    built.sort_unstable();
    packages.sort_unstable();
    assert!(built == packages && built.len() == 4, "{built:?} {packages:?}");

    let publish = commands(&jobs["publish"]);
    for step in ["release-check.mjs", "sha256sum", "npm publish", "cargo publish"] {
        assert!(publish.contains(step), "{step}");
    }
}
