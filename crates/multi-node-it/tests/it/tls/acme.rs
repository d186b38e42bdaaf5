//! The example in which one node runs an ACME client. A script stands for the client and for its authority.

use std::path::Path;

use multi_node_it::example::Example;
use multi_node_it::port::Held;
use multi_node_it::{get, needs, within};
use tokio::process::Command;

/// Makes a certificate and puts it in the place of the one before.
const ISSUE: &str =
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout new-key.pem -out new-cert.pem 2> /dev/null
mv new-key.pem key.pem
mv new-cert.pem cert.pem
";

async fn shell(folder: &Path, lines: &str) -> bool {
    let status = Command::new("sh").args(["-ec", lines]).current_dir(folder).status().await;
    status.expect("a shell").success()
}

#[tokio::test]
async fn one_node_renews_the_certificate_and_every_node_answers_the_challenge() {
    if !needs::program("openssl") || !needs::program("curl") {
        return;
    }
    within(60, async {
        let (folder, http) = (tempfile::tempdir().expect("a folder"), Held::new().expect("a port"));
        let (at, url) = (folder.path(), format!("http://{}/.well-known/acme-challenge", http.addr()));
        let file = |name: &str| at.join(name).display().to_string();
        let read = |name: &str| std::fs::read_to_string(at.join(name)).unwrap_or_default();
        assert!(shell(at, ISSUE).await);
        let first = read("cert.pem");
        let client = format!(
            "set -e\ncd {}\necho run >> runs\nmkdir -p webroot/.well-known/acme-challenge\n\
            echo proof > webroot/.well-known/acme-challenge/a-token_1\n\
            for n in 1 2 3 4 5 6 7 8; do curl --silent --fail {url}/a-token_1 >> proofs; done\n{ISSUE}",
            at.display()
        );
        std::fs::write(at.join("client.sh"), client).expect("a file of ours");
        let (cert, key, webroot) = (file("cert.pem"), file("key.pem"), file("webroot"));
        let (acme, addr) = (format!("sh {}", file("client.sh")), http.addr().to_string());
        let variables = [("CERT", &*cert), ("KEY", &key), ("WEBROOT", &webroot), ("ACME", &acme), ("HTTP", &addr)];
        let https = [("PORT", "0"), ("HOST", "127.0.0.1"), ("NODES", "4")];
        let example = Example::start("acme", &[&variables[..], &https].concat()).await.expect("it serves");

        // Each of these certificates is its own authority, so that curl takes no other than that in the file.
        let curl = format!("curl --silent --cacert cert.pem https://localhost:{}/ > answer", example.addr.port());
        while read("cert.pem") == first || !shell(at, &curl).await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(read("answer"), "hello over TLS\n");
        assert_eq!((&*read("proofs"), &*read("runs")), (&*"proof\n".repeat(8), "run\n"), "{}", example.log());
        for token in ["..%2f..%2f..%2fkey.pem", "none"] {
            let answer = get(http.addr(), &format!("/.well-known/acme-challenge/{token}")).await.expect("an answer");
            assert_eq!(answer.status, 404, "{token}");
        }
        example.stop().await.expect("it ends well");
    })
    .await;
}
