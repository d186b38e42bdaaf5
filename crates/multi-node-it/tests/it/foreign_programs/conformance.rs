//! Corpora and a suite of others, through this library and through hyper alone: conformance.md lists where they differ, and these
//! tests hold that list.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use multi_node_it::program::fixture;
use multi_node_it::{needs, send, within};
use multi_node_probe::{Answer, Reading};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a server may take with one case of the corpus.
const PATIENCE: Duration = Duration::from_secs(10);
/// Cases at the same time.
const AT_ONCE: usize = 8;

/// A running `describer`.
struct Describer {
    child: Child,
    addr: SocketAddr,
}

impl Describer {
    async fn start(kind: &str) -> Describer {
        let program = fixture().with_file_name("describer");
        let mut child = Command::new(program)
            .arg(kind)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it is built beside the tests");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next_line().await.expect("readable output").expect("its address");
        Describer { child, addr: first.parse().expect("an address") }
    }

    async fn stop(mut self) {
        send(self.child.id().expect("it runs"), Signal::TERM);
        self.child.wait().await.expect("it is our child");
    }
}

/// A case of the corpus.
#[derive(Clone)]
struct Case {
    /// `valid/001`
    name: String,
    bytes: Vec<u8>,
}

/// gunicorn's requests, as its own tests read them; those that have no `Host`, which HTTP/1.1 demands, once more with one.
fn corpus(folder: &Path) -> Vec<Case> {
    let mut cases: Vec<_> = ["valid", "invalid"].into_iter().flat_map(|kind| of_kind(folder, kind)).collect();
    let with_host: Vec<_> = cases.iter().filter_map(Case::with_host).collect();
    cases.extend(with_host);
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn of_kind(folder: &Path, kind: &str) -> Vec<Case> {
    let entries = fs::read_dir(folder.join(kind)).expect("a folder of requests").flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "http"));
    let case = |path: PathBuf| {
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        Case { name: format!("{kind}/{stem}"), bytes: unescaped(&fs::read(&path).expect("readable")) }
    };
    paths.map(case).collect()
}

impl Case {
    fn with_host(&self) -> Option<Case> {
        const LINE: &[u8] = b"HTTP/1.1\r\n";
        if self.bytes.to_ascii_lowercase().windows(5).any(|word| word == b"host:") {
            return None;
        }
        let (mut bytes, mut rest) = (Vec::new(), self.bytes.as_slice());
        while let Some(at) = rest.windows(LINE.len()).position(|line| line == LINE) {
            bytes.extend_from_slice(&rest[..at + LINE.len()]);
            bytes.extend_from_slice(b"Host: added\r\n");
            rest = &rest[at + LINE.len()..];
        }
        bytes.extend_from_slice(rest);
        (bytes != self.bytes).then(|| Case { name: format!("{} with Host", self.name), bytes })
    }
}

/// Line ends are written out in these files, and so are other bytes.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        let escape = |skip: usize, byte: u8| (more.get(skip..).unwrap_or_default(), byte);
        let (after, byte) = match (byte, more) {
            (b'\n', _) => continue,
            (b'\\', [b'r', ..]) => escape(1, b'\r'),
            (b'\\', [b'n', ..]) => escape(1, b'\n'),
            (b'\\', [b't', ..]) => escape(1, b'\t'),
            (b'\\', [b'0', ..]) => escape(1, 0),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("digits");
                escape(3, u8::from_str_radix(digits, 16).expect("hexadecimal digits"))
            }
            (byte, _) => (more, byte),
        };
        rest = after;
        bytes.push(byte);
    }
    bytes
}

/// What a server makes of a case whose client shuts down its writing side behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// Status and body of each answer.
    answers: Vec<(u16, String)>,
    end: &'static str,
}

impl Outcome {
    /// `200 200 closed`
    fn short(&self) -> String {
        let statuses = self.answers.iter().map(|(status, _)| format!("{status} "));
        statuses.collect::<String>() + self.end
    }

    fn accepts(&self) -> bool {
        !self.answers.is_empty() && self.answers.iter().all(|(status, _)| *status == 200)
    }
}

async fn try_case(addr: SocketAddr, case: &Case) -> Outcome {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    // A server that refuses what has come may close before the rest.
    let _ = stream.write_all(&case.bytes).await;
    let _ = stream.shutdown().await;
    let mut bytes = Vec::new();
    let end = match tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await {
        Ok(Ok(_)) => "closed",
        Ok(Err(_)) => "reset",
        Err(_) => "open",
    };
    Outcome { answers: answers(&bytes), end }
}

fn answers(bytes: &[u8]) -> Vec<(u16, String)> {
    let (mut answers, mut reading) = (Vec::new(), Reading::new(false, usize::MAX));
    let mut bytes = bytes;
    while let Ok(Some(answer)) = reading.take_one(std::mem::take(&mut bytes)) {
        answers.push(described(&answer));
        reading = reading.next(false, usize::MAX);
    }
    // The last may last until the end.
    answers.extend(reading.end().ok().as_ref().map(described));
    answers
}

fn described(answer: &Answer) -> (u16, String) {
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

async fn outcomes(cases: &[Case], addr: SocketAddr) -> Vec<Outcome> {
    stream::iter(cases).map(|case| try_case(addr, case)).buffered(AT_ONCE).collect().await
}

/// The part of the document between its marks.
fn documented(part: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/foreign_programs/conformance.md");
    let text = fs::read_to_string(&path).expect("the document");
    let (begin, end) = (format!("<!-- {part} -->\n"), format!("<!-- end of {part} -->"));
    let begun = text.split_once(&begin).unwrap_or_else(|| panic!("{begin:?} in {}", path.display())).1;
    begun.split_once(&end).expect("the part's end").0.trim().to_owned()
}

fn compare(part: &str, found: &str) {
    let documented = documented(part);
    assert!(documented == found.trim(), "conformance.md has in {part}:\n{documented}\nbut this was found:\n{found}");
}

#[tokio::test]
async fn requests_of_gunicorn() {
    let Some(folder) = needs::server("gunicorn-tests/requests") else { return };
    within(60, async {
        let cases = corpus(Path::new(&folder));
        let (ours, plain) = (Describer::start("multi-node").await, Describer::start("hyper").await);
        let (by_ours, by_plain) = tokio::join!(outcomes(&cases, ours.addr), outcomes(&cases, plain.addr));
        compare("http1", &table(&cases, &by_ours, &by_plain));
        ours.stop().await;
        drop(plain);
    })
    .await;
}

/// How many cases there are, where the two differ, and where both do what gunicorn does not.
fn table(cases: &[Case], ours: &[Outcome], plain: &[Outcome]) -> String {
    let mut table = String::new();
    for kind in ["valid", "invalid"] {
        let of_kind = |case: &Case| case.name.starts_with(&format!("{kind}/"));
        let accepted = |outcomes: &[Outcome]| {
            cases.iter().zip(outcomes).filter(|(case, outcome)| of_kind(case) && outcome.accepts()).count()
        };
        let count = cases.iter().filter(|case| of_kind(case)).count();
        let (ours, plain) = (accepted(ours), accepted(plain));
        writeln!(table, "{kind}, {count} cases: multi-node answers {ours} with 200, hyper {plain}.\n").expect("text");
    }
    let mut differences: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for ((case, ours), plain) in cases.iter().zip(ours).zip(plain).filter(|((_, ours), plain)| ours != plain) {
        differences.entry((ours.short(), plain.short())).or_default().push(&case.name);
    }
    table += "\n| multi-node | hyper | cases |\n|---|---|---|\n";
    for ((ours, plain), cases) in differences {
        writeln!(table, "| {ours} | {plain} | {} |", cases.join(", ")).expect("text");
    }
    let other = cases.iter().zip(ours).filter(|(case, ours)| case.name.starts_with("valid/") != ours.accepts());
    let other: Vec<_> = other.map(|(case, outcome)| format!("{} ({})", case.name, outcome.short())).collect();
    writeln!(table, "\nJudged otherwise than gunicorn does: {}.", other.join(", ")).expect("text");
    table
}

#[tokio::test]
async fn the_http2_suite_httpwg() {
    let Some(suite) = needs::server("httpwg/bin/httpwg") else { return };
    within(110, async {
        let (expected, varying) = (documented("http2"), documented("http2 by chance"));
        for kind in ["multi-node", "hyper"] {
            let server = Describer::start(kind).await;
            let failed = failed_cases(&suite, server.addr).await;
            let failed: Vec<_> = failed.into_iter().filter(|case| !varying.contains(case.as_str())).collect();
            assert!(
                failed.join("\n") == expected,
                "{kind} fails these:\n{}\nand not these:\n{expected}",
                failed.join("\n")
            );
            server.stop().await;
        }
    })
    .await;
}

/// The cases that fail, one line each, where all are tried one after the other.
async fn failed_cases(suite: &str, addr: SocketAddr) -> Vec<String> {
    let mut command = Command::new(suite);
    command.args(["--address", &addr.to_string(), "--frame-timeout", "1000"]);
    let output =
        command.env("SEQUENTIAL", "1").env("RUST_LOG", "off").kill_on_drop(true).output().await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let failed = text.lines().filter_map(|line| Some(format!("- {}", line.split_once("Test failed: ")?.1.trim_end())));
    let mut failed: Vec<_> = failed.collect();
    assert!(text.matches("Test passed: ").count() > failed.len(), "{text}");
    failed.sort();
    failed
}
