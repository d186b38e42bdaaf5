//! The lines of README.md for HTTPS, as they are written.

use std::path::Path;

use multi_node_it::example::Example;
use multi_node_it::within;
use tokio::process::Command;

/// Runs a line in this folder.
async fn shell(line: &str, folder: &Path) -> String {
    let output = Command::new("sh").args(["-ec", line]).current_dir(folder).output().await.expect("a shell");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{line}: {said}");
    said
}

#[tokio::test]
async fn three_lines_serve_https_with_a_certificate_of_ones_own() {
    within(60, async {
        let readme = include_str!("../../../../../README.md");
        let line = |begin: &str| readme.lines().find(|line| line.starts_with(begin)).expect("README.md has it");
        let folder = tempfile::tempdir().expect("a folder");
        shell(line("openssl req"), folder.path()).await;
        assert_eq!(
            line("cargo run -p multi-node --features tls"),
            "cargo run -p multi-node --features tls --example tls"
        );
        // It is built already, and its port may be in use here.
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (cert, key) = (file("cert.pem"), file("key.pem"));
        let variables = [("CERT", &*cert), ("KEY", &*key), ("PORT", "0"), ("HOST", "127.0.0.1")];
        let example = Example::start("tls", &variables).await.expect("it serves");
        let curl = line("curl --cacert").split(" #").next().expect("a command");
        let curl = curl.replace(":8443", &format!(":{}", example.addr.port()));
        let said = shell(&format!("{curl} --silent"), folder.path()).await;
        assert!(said.starts_with("hello from node-") && said.ends_with(" over TLS\n"), "{said}");
        example.stop().await.expect("it ends well");
    })
    .await;
}
