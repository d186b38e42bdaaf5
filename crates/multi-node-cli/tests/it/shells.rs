//! Completions and manual pages, as shells and man(1) read them.

use tokio::process::Command;

use crate::command::{is_there, output};
use crate::installed::installed;

/// What is generated, in a file of its own.
async fn generated(args: &[&str]) -> tempfile::NamedTempFile {
    let generated = output(args).await;
    assert!(generated.status.success(), "{args:?}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), generated.stdout).expect("written");
    file
}

/// Has a shell read its completions without running them.
async fn reads(shell: &str, checker: &[&str]) {
    let script = generated(&["completions", shell]).await;
    let checked = Command::new(checker[0]).args(&checker[1..]).arg(script.path()).output().await.expect("a shell");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{shell}: {checked:?}");
}

#[tokio::test]
async fn completions_are_read_by_their_shells() {
    if is_there("bash") {
        reads("bash", &["bash", "-n"]).await;
    }
    for (shell, option) in [("zsh", "-n"), ("fish", "--no-execute")] {
        if let Some(with) = installed(&format!("{shell}/with")) {
            reads(shell, &[&with, shell, option]).await;
        }
    }
}

#[tokio::test]
async fn manual_pages_are_read_without_a_warning() {
    if !is_there("man") {
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
