//! A skipped test is listed by its name, and fails in CI.

use std::process::{Command, Output};

/// Runs the test [`skips`] with and without `CI`; what it has listed and how it ended.
fn run(ci: &str) -> (String, Output) {
    let list = tempfile::NamedTempFile::new().expect("a file");
    let mut test = Command::new(std::env::current_exe().expect("this test program"));
    test.args(["--exact", "needs::tests::skips", "--ignored", "--nocapture"]);
    let output = test.env(super::LIST, list.path()).env("CI", ci).output().expect("it starts");
    (std::fs::read_to_string(list.path()).expect("readable"), output)
}

#[test]
#[ignore = "what the other tests start"]
fn skips() {
    assert!(!super::program("no-such-program"));
}

const LINE: &str = "no-such-program is not in PATH; scripts/install-tools.sh installs it";

#[test]
fn a_test_that_is_skipped_passes_and_is_listed() {
    let (listed, output) = run("");
    assert!(output.status.success(), "{output:?}");
    // The thread has the test's name, but where there is one core and all tests have the main thread.
    let (test, why) = listed.trim_end().split_once(": ").expect("a reason");
    assert!(test == "needs::tests::skips" || test.contains("needs/tests.rs"), "{test}");
    assert_eq!(why, LINE);
}

#[test]
fn in_ci_it_fails_and_is_listed() {
    let (listed, output) = run("true");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(LINE), "{output:?}");
    assert!(listed.trim_end().ends_with(LINE), "{listed}");
}

#[test]
fn what_is_there_is_not_skipped() {
    assert!(super::program("sh"));
}
