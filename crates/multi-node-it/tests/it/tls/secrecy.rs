//! Private keys and keys of tickets: who reads them, and where they are not.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use multi_node_it::plan::TlsPlan;
use multi_node_it::program::fixture;
use multi_node_it::{Plan, Program, needs, within};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::authority::Authority;
use super::client::Https;

/// A secret as a program might write it by mistake: as bytes, in hexadecimal, in decimal as `Debug` does, and in PEM.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let part = &secret[..16];
    let each = |form: fn(&u8) -> String, between: &str| part.iter().map(form).collect::<Vec<_>>().join(between);
    let hex = each(|byte| format!("{byte:02x}"), "");
    let decimal = each(u8::to_string, ", ");
    vec![part.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), decimal.into_bytes()]
}

/// All forms of the secrets that a server's files have.
fn secrets(authority: &Authority) -> Vec<Vec<u8>> {
    let pem = fs::read(authority.path("key.pem")).expect("a file of ours");
    let key = PrivateKeyDer::from_pem_slice(&pem).expect("a key");
    // The private number of P-256 stands behind this in PKCS #8 (RFC 5915).
    const BEFORE: &[u8] = &[2, 1, 1, 4, 32];
    let der = key.secret_der();
    let at = der.windows(BEFORE.len()).position(|part| part == BEFORE).expect("a key of P-256") + BEFORE.len();
    let text = String::from_utf8(pem).expect("text");
    let line = text.lines().nth(1).expect("PEM has lines").as_bytes()[40..].to_vec();
    [forms(&der[at..]), forms(&TICKET_KEY), vec![line]].concat()
}

const TICKET_KEY: [u8; 32] = *b"\x5e\x01\x9c\x7fa key that several machines ";

fn has(text: &[u8], secret: &[u8]) -> bool {
    text.windows(secret.len()).any(|part| part == secret)
}

/// The environment, the arguments, and all files that a process has open, but for devices and the program, which was there before the keys.
fn shown_by(pid: u32) -> Vec<(PathBuf, Vec<u8>)> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let program = fs::metadata(process.join("exe")).map_or(0, |program| program.ino());
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = open.filter(|path| fs::metadata(path).is_ok_and(|data| data.is_file() && data.ino() != program));
    let paths = files.chain(["environ", "cmdline"].map(|name| process.join(name)));
    paths.filter_map(|path| Some((path.clone(), fs::read(path).ok()?))).collect()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder of ours").flatten().map(|entry| entry.path());
    entries
        .flat_map(
            |path| if path.is_dir() { files(&path) } else { vec![(path.clone(), fs::read(path).unwrap_or_default())] },
        )
        .collect()
}

/// Looks through the log, the runtime directory, and what each process of the program shows.
fn check(program: &Program, secrets: &[Vec<u8>]) {
    let mut shown = files(&program.faults());
    for pid in program.processes() {
        shown.extend(shown_by(pid));
    }
    let environments = shown.iter().filter(|(path, text)| path.ends_with("environ") && has(text, b"FIXTURE=")).count();
    let is_log = |(path, text): &(PathBuf, Vec<u8>)| path.ends_with("log") && has(text, b" INFO ");
    assert!(environments >= 3, "the processes are looked through: {environments}");
    assert!(shown.iter().any(is_log), "the log is looked through: {}", program.log());
    for (path, text) in &shown {
        for secret in secrets {
            assert!(!has(text, secret), "{} has {:?}", path.display(), String::from_utf8_lossy(secret));
        }
    }
}

#[tokio::test]
async fn keys_are_in_no_environment_argument_log_or_file_of_the_program() {
    within(100, async {
        let authority = Authority::new();
        let hex: String = TICKET_KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        authority.put("tickets", &format!("{hex}\n"));
        fs::set_permissions(authority.path("tickets"), PermissionsExt::from_mode(0o600)).expect("a file of ours");
        let tls = TlsPlan { ticket_keys: Some(authority.path("tickets")), ..TlsPlan::default() };
        let plan = Plan { control: Some("web".to_owned()), ..authority.plan_of(2, tls) };
        let mut program = Program::run(&fixture(), plan, |command| {
            command.env("RUST_LOG", "trace");
        })
        .await;
        program.command("ready").await;
        let mut all = secrets(&authority);
        let own =
            [fs::read(authority.path("key.pem")), fs::read(authority.path("tickets"))].map(|file| file.expect("ours"));
        assert!(own.iter().all(|file| all.iter().any(|secret| has(file, secret))), "the files themselves have them");
        check(&program, &all);

        authority.issue("another");
        all.extend(secrets(&authority));
        program.command("reload").await;
        check(&program, &all);
        // A key that does not belong to the certificate is an error, which does not show it.
        authority.put("key.pem", &authority.make("third").1);
        all.extend(secrets(&authority));
        program.command("reload").await;
        program.logged("does not belong to the first certificate").await;
        check(&program, &all);
        authority.issue("fourth");
        program.upgrade().await.expect("an upgrade");
        Https::new(&authority, "h2").connect(program.addr).await.expect("a handshake");
        all.extend(secrets(&authority));
        check(&program, &all);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_of_another_user_serve_by_files_that_root_alone_may_read() {
    if !needs::root("start nodes as another user") {
        return;
    }
    within(60, async {
        let authority = Authority::new();
        let close = |file: &str, mode| {
            fs::set_permissions(authority.path(file), PermissionsExt::from_mode(mode)).expect("a file of ours");
        };
        close("", 0o700);
        close("key.pem", 0o600);
        let mut program = Program::serving(Plan { user: Some("daemon".into()), ..authority.plan(2) }).await;
        for pid in program.pids().await {
            assert_eq!(fs::metadata(format!("/proc/{pid}")).expect("it lives").uid(), 1, "the node has another user");
        }
        let client = Https::new(&authority, "http/1.1");
        client.ask(program.addr).await.expect("an answer");
        authority.issue("another");
        close("key.pem", 0o600);
        program.status_where(|status| status.certificates[0].names.contains(&"another".to_owned())).await;
        let answer = program.command("reload").await;
        assert_eq!(answer["Ok"]["certificate_errors"], serde_json::json!([]), "{answer}");
        client.ask(program.addr).await.expect("an answer");
        program.stop().await;
    })
    .await;
}
