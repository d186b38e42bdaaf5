//! Certificates that cannot be used, as the command shows them.

use multi_node_it::plan::TlsPlan;
use multi_node_it::{Plan, Program, within};
use serde_json::Value;

use crate::command::multi_node;

#[tokio::test]
async fn a_reload_with_a_bad_pair_is_done_and_exits_with_1() {
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(file("cert.pem"), made.cert.pem()).expect("a file of ours");
        std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).expect("a file of ours");
        let tls = Some(TlsPlan { cert: file("cert.pem"), key: file("key.pem"), ..TlsPlan::default() });
        let program = Program::serving(Plan { tls, control: Some("web".to_owned()), ..Plan::nodes(1) }).await;
        let runtime = program.faults();
        let says = async |args: &[&str]| {
            let output = multi_node(args).env("XDG_RUNTIME_DIR", &runtime).output().await.expect("it starts");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (code, shown, _) = says(&["reload", "--wait"]).await;
        assert!(code == Some(0) && !shown.contains("certificates"), "{code:?} {shown}");

        std::fs::write(file("cert.pem"), "none").expect("a file of ours");
        let (code, shown, complaint) = says(&["reload", "--wait"]).await;
        assert_eq!(code, Some(1), "{shown}{complaint}");
        assert!(shown.starts_with("generation 2 serves in 1 slots after "), "{shown}");
        let why = "cert.pem has no certificate";
        assert!(shown.contains("the certificates before stay in force: ") && shown.contains(why), "{shown}");
        assert!(
            complaint.contains("the nodes are replaced, but the files of certificates cannot be used"),
            "{complaint}"
        );
        let (code, shown, _) = says(&["reload", "--wait", "--json"]).await;
        let report: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!((code, report["slots"].as_array().map(Vec::len)), (Some(1), Some(1)), "{report}");
        assert!(report["certificate_errors"][0].as_str().is_some_and(|error| error.contains(why)), "{report}");
        let (code, shown, _) = says(&["status"]).await;
        assert!(code == Some(0) && shown.contains(why), "{code:?} {shown}");
        program.stop().await;
    })
    .await;
}
