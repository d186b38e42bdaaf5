//! Completions and manual pages, as shells and man(1) read them.

use multi_node_it::needs;
use tokio::process::Command;

use crate::command::output;

/// What is generated, in a file of its own.
async fn generated(args: &[&str]) -> tempfile::NamedTempFile {
    let generated = output(args).await;
    assert!(generated.status.success(), "{args:?}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), generated.stdout).expect("written");
    file
}

/// Has a shell read its completions without running them.
pub(crate) async fn reads(shell: &str, checker: &[&str]) {
    let script = generated(&["completions", shell]).await;
    let checked = Command::new(checker[0]).args(&checker[1..]).arg(script.path()).output().await.expect("a shell");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{shell}: {checked:?}");
}

#[tokio::test]
async fn completions_are_read_by_bash() {
    if needs::program("bash") {
        reads("bash", &["bash", "-n"]).await;
    }
}

#[tokio::test]
async fn manual_pages_are_read_without_a_warning() {
    if !needs::program("man") {
        return;
    }
    const COMMANDS: [&str; 14] = [
        "run",
        "list",
        "status",
        "top",
        "logs",
        "reload",
        "upgrade",
        "restart",
        "scale",
        "stop",
        "signal",
        "describe",
        "completions",
        "man",
    ];
    for args in std::iter::once(vec!["man"]).chain(COMMANDS.iter().map(|command| vec!["man", command])) {
        let page = generated(&args).await;
        let mut man = Command::new("man");
        let read = man.args(["--warnings", "--local-file"]).arg(page.path()).output().await.expect("man starts");
        let (text, warnings) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
        assert!(read.status.success() && warnings.is_empty(), "{args:?}: {warnings}");
        assert!(text.contains("SYNOPSIS") && text.contains("multi-node"), "{args:?}: {text}");
    }
}
