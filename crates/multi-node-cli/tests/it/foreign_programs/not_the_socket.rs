//! Servers that no one here wrote, started so that they do not use the socket, or with an application that cannot be loaded.

use std::fs;
use std::path::Path;

use multi_node_it::within;
use tempfile::TempDir;

use super::{hypercorn, python};
use crate::command::{Running, pids, run};

/// A folder with an application, and the variable by which Python finds it and the servers.
struct Application {
    folder: TempDir,
    path: String,
}

impl Application {
    fn new(begins: &str) -> Option<Application> {
        let servers = hypercorn()?.split_once('=').map(|(_, path)| path.to_owned())?;
        let folder = tempfile::tempdir().expect("a folder");
        let path = format!("{}:{servers}:{}", python("uvicorn")?, folder.path().display());
        let application = Application { folder, path };
        application.write(begins);
        Some(application)
    }

    /// What it does before it can be served.
    fn write(&self, begins: &str) {
        let file: &Path = &self.folder.path().join("served.py");
        fs::write(file, format!("{begins}\nfrom server import wsgi, asgi\n")).expect("written");
    }
}

#[tokio::test]
async fn what_to_write_is_said_where_nobody_waits() {
    let Some(application) = Application::new("") else { return };
    let cases: [(&[&str], &str); 3] = [
        (&["python3", "-m", "uvicorn", "--port", "0", "served:asgi"], "write `uvicorn --fd {fd} …`"),
        (&["sh", "-c", "python3 -m gunicorn -b 127.0.0.1:0 served:wsgi; true"], "write `exec gunicorn …`"),
        (&["sh", "-c", "python3 -m hypercorn -b 127.0.0.1:0 served:asgi; true"], "write `hypercorn -b fd://{fd} …`"),
    ];
    for (program, expected) in cases {
        within(40, async {
            let options = ["-n", "2", "--bind", "127.0.0.1:0", "-e", &application.path, "--"];
            let ended = run(&[&options, program].concat()).output().await.expect("the command starts");
            let log = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(1), "{log}");
            assert!(log.contains("nobody waits for connections on 127.0.0.1:"), "{log}");
            assert!(log.contains(") listens on 127.0.0.1:") && log.contains(expected), "{log}");
        })
        .await;
    }
}

#[tokio::test]
async fn an_application_that_cannot_be_loaded_is_never_ready() {
    let Some(application) = Application::new("import nope") else { return };
    within(120, async {
        let options = ["-n", "1", "--bind", "127.0.0.1:0", "--crash-loop", "2", "-e", &application.path, "--"];
        let ended = run(&[&options[..], &["python3", "-m", "gunicorn", "served:wsgi"]].concat());
        let ended = { ended }.output().await.expect("the command starts");
        let log = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{log}");
        assert!(!log.contains("taken for ready"), "{log}");
        assert!(log.contains("its last line of standard error: ") && log.contains("Worker failed to boot"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_release_that_loads_slowly_and_fails_is_not_taken_for_ready() {
    let Some(application) = Application::new("") else { return };
    let servers: [&[&str]; 2] = [
        &["python3", "-m", "gunicorn", "-w", "1", "served:wsgi"],
        &["python3", "-m", "uvicorn", "--fd", "{fd}", "served:asgi"],
    ];
    for server in servers {
        within(120, async {
            application.write("");
            let options = ["-n", "2", "--bind", "127.0.0.1:0", "-e", &application.path, "--"];
            let mut running = Running::start(&[&options, server].concat());
            let addr = running.addr().await;
            running.ready(2).await;
            let before = pids(addr, 2).await;
            application.write("import time; time.sleep(3); raise RuntimeError('this release is broken')");
            let reload = running.command(&["reload", "--wait"]).await;
            assert_eq!(reload.status.code(), Some(1), "{server:?}: {reload:?}");
            assert_eq!(pids(addr, 2).await, before, "{server:?}: the old nodes serve");
            assert_eq!(running.stop().await, Some(0), "{server:?}");
        })
        .await;
    }
}
